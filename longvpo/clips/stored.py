"""Datasets where they are stored: in a folder as it is now, or on the Hub.

The rule: a folder's rows are those that lie in it. load_dataset keeps what it read under the folder's last name and
its README (datasets 5.2). It answers from there after an edit in place, or for another folder of that name. It also
takes brackets in a path for a pattern. So it is given links to the files, in a folder that is named after all that
tells an edit.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError, did_you_mean, first_line
from longvpo.io.home import may_be_id, meant_folder
from longvpo.io.records import unfinished
from longvpo.io.temporary import own_folder

STAGES = ("stage1", "stage2")  # configs of triplets
SAVED = ("dataset_dict.json", "state.json")  # files of Dataset.save_to_disk, which keeps no configs


def load_rows(dataset: str, config: str, split: str, revision: str | None) -> Any:
    """The rows of one config, as datasets.Dataset.

    Args:
        dataset: a folder, or a Hub id.
        revision: the revision of the Hub id.

    Raises:
        LongVPOError: the dataset, its config or its split is missing, cannot be read, or has no rows.
    """
    from datasets import load_dataset

    check_there(dataset)
    saved = next((name for name in SAVED if (Path(dataset) / name).is_file()), None)
    if saved:
        raise LongVPOError(
            f"{dataset} was written by save_to_disk, which keeps no configs: write each into a folder of its own, "
            f'rows.to_parquet("FOLDER/{config}/{split}.parquet"), and give FOLDER'
        )
    with as_it_is(dataset) as place, _quiet():
        try:
            rows = load_dataset(place, config, split=split, revision=None if place != dataset else revision)
        except Exception as error:  # errors of datasets, huggingface_hub, pyarrow, fsspec have no common base
            said = _why(error).replace(place, dataset)
            said = _not_there(dataset, config, place, said) or said
            raise LongVPOError(f"cannot load {dataset}, config {config}: {said}") from error
    if not len(rows):
        raise LongVPOError(f"{dataset}, config {config}, has no rows in split {split}")
    return rows


def config_names(dataset: str, revision: str | None) -> list[str]:
    """The configs of a folder or a Hub id.

    Raises LongVPOError where it is neither, or lacks a file that its card names; else what datasets raises.
    """
    from datasets import get_dataset_config_names

    check_there(dataset)
    with as_it_is(dataset) as place:
        try:
            names: list[str] = get_dataset_config_names(place, revision=None if place != dataset else revision)
        except FileNotFoundError as error:
            gone = _gone(error)
            raise (LongVPOError(f"cannot load {dataset}: {gone}") if gone else error) from None
    return names


def check_there(dataset: str) -> None:
    """Raises LongVPOError where a name is of nothing here, and can be of nothing on the Hub: nobody is asked then."""
    if not Path(dataset).exists() and ("/" not in dataset or not may_be_id(dataset)):
        told = "" if "/" in dataset else "; the id of one on the Hub is NAMESPACE/NAME"
        raise LongVPOError(f"cannot load {dataset}: there is no such folder{meant_folder(dataset)}{told}")


def _gone(error: Exception) -> str:
    """That a file of the card is not there, where datasets says it; else empty."""
    found = re.search(r"Unable to find '.*/longvpo-[0-9a-f]{16}/([^']+)'", str(error))
    return f"{found[1]} is named by its card and is not there" if found else ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars of datasets, which stay where they ended."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()


def _not_there(dataset: str, config: str, place: str, why: str) -> str:
    """Why a dataset cannot be loaded: it is not a dataset yet, is mistyped, or has other configs. Else empty.

    Args:
        place: what load_dataset was given.
        why: what it said.
    """
    from datasets import get_dataset_config_names

    folder = Path(dataset)
    if not folder.is_dir():
        return f"there is no such folder{meant_folder(folder)}, and on the Hub: {why}"
    if unfinished(folder):
        return (
            f"its build has not finished. Run its `longvpo build-dataset` again with --output {dataset}: it resumes, "
            "or says why no triplet was left"
        )
    with suppress(Exception):  # as above
        names = get_dataset_config_names(place)
        if names == ["default"]:
            return f"it has no configs: build-dataset makes such a folder, with {STAGES[0]}, {STAGES[1]} or both"
        if config not in names:
            triplets = [name for name in names if name in STAGES]
            why = f"it has no config {config}{did_you_mean(config, names)}, and has {', '.join(names)}"
            if config in STAGES and triplets:
                why = f"it was built without {config}"
            return why + (f": choose {' or '.join(triplets)}" if triplets else "")
    return ""


def _why(error: Exception) -> str:
    from datasets.exceptions import DatasetGenerationError
    from datasets.table import CastError

    if isinstance(error, DatasetGenerationError) and error.__cause__:  # it says no more than that there was one
        error = error.__cause__
    if isinstance(error, CastError):
        return "its files differ in their columns, or in what these hold; write all of them alike"
    if _gone(error):
        return _gone(error)
    if "corresponds to no data" in str(error):
        return "it has no rows"
    return first_line(error)


@contextmanager
def as_it_is(dataset: str) -> Iterator[str]:
    """What load_dataset is given: for a folder, one of links, with a name that no other state of it has.

    Its name changes with the path, and with the size, time of change and number of every file. An edit that keeps size
    and time of writing still changes the time of change. A Hub id stays as it is.
    """
    if not Path(dataset).is_dir():
        yield dataset
        return
    folder, digest = Path(dataset).resolve(), hashlib.sha256()
    files = _files(folder)
    for path in files:
        facts = path.stat()
        digest.update(bytes(path) + repr((facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)).encode())
    with own_folder("rows") as temporary:
        links = temporary / f"longvpo-{digest.hexdigest()[:16]}"
        links.mkdir()
        for path in files:
            link = links / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
        yield str(links)


def _files(folder: Path) -> list[Path]:
    """All files below, in the order of their names; a folder that is linked into itself is entered once."""
    found, entered = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        found += [path for name in names if (path := Path(place) / name).is_file()]
    return sorted(found)
