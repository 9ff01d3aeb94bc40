"""Tables with preference pairs from other tools: files, folders or Hub ids, and their columns.

The rule: a shape that is known is read without a word in the recipe, and what was read is said. A column that is
missing names all that are missing, and the mapping to write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from longvpo.clips.cells import columns_of
from longvpo.clips.readers import Table, apart, read_csv, read_jsonl, read_parquet
from longvpo.clips.stored import config_names, load_rows
from longvpo.errors import LongVPOError, first_line
from longvpo.recipe.pairs import PairSection

NONE = ("\0",)  # a column that no table has: only the names of its columns are read
# files beside rows that hold none; those of our own results and of LLaMA-Factory
NO_ROWS = ("facts", "provenance", "release", "export", "dataset_info", "dataset_infos", "results", "source", "config")
TEXTS = (  # columns of prompt, chosen and rejected; the first that exists counts
    ("messages", "messages", "rejected_response"),  # ms-swift
    ("query", "response", "rejected_response"),  # ms-swift, too
    ("conversations", "chosen", "rejected"),  # LLaMA-Factory
    ("messages", "chosen", "rejected"),  # LLaMA-Factory, with the tags of OpenAI
    ("prompt", "chosen", "rejected"),  # TRL's; with a video LLaVA-NeXT's and LLaVA-Hound's, as TPO trains
    ("question", "chosen", "rejected"),  # LongVPO's
)
VIDEOS = ("video", "videos", "file_name", "images", "images_file_names")  # the last two hold frames
WORDS = {  # what others call them
    "video": (*VIDEOS, "video_path", "video_file", "path", "file", "clip", "frames"),
    "prompt": ("question", "query", "instruction", "problem", "messages", "conversations", "input", "text"),
    "chosen": ("accepted", "preferred", "positive", "response", "answer", "output", "better", "winner", "messages"),
    "rejected": ("rejected_response", "dispreferred", "negative", "rejected_answer", "worse", "loser"),
}


class Foreign(NamedTuple):
    """A table from another tool.

    Attributes:
        config: the config that load_dataset read; None for files.
        file: the one file that it is; None: load_dataset reads it.
        rows: as datasets.Dataset where load_dataset reads them.
    """

    names: list[str]
    config: str
    file: Path | None
    rows: Any = None

    def __call__(self, video: str, columns: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Its rows, with the column of their video and, as far as they are there, some others.

        Raises:
            LongVPOError: the file is damaged.
        """
        columns = (video, *columns)
        if self.file is not None:
            yield from _read(self.file, (video,), columns).rows
            return
        here = dict.fromkeys(name for column in columns for name in columns_of(column, self.names))
        yield from _undecoded(self.rows.select_columns([name for name in here if name in self.names]))


def open_foreign(dataset: str, config: str, split: str, revision: str) -> Foreign:
    """The table, with the names of its columns.

    Raises:
        LongVPOError: it cannot be read, or has no rows.
    """
    file = table_of(dataset)
    if file is not None:
        if split != "train":
            raise LongVPOError(
                f"{dataset} is one table, and has no split {split}: name the split train, or for data.eval a share"
            )
        return Foreign(_read(file, NONE, ()).names, "default", file)
    try:
        rows = load_rows(dataset, config, split, revision)
    except LongVPOError:
        own = _only_config(dataset, revision)
        if own is None:
            raise
        config, rows = own, load_rows(dataset, own, split, revision)
    return Foreign(rows.column_names, config, None, rows)


def table_of(dataset: str) -> Path | None:
    """The one table that a dataset is: a file, or the only one in a folder. None: load_dataset reads it.

    Raises:
        LongVPOError: the file is of another kind.
    """
    path = Path(dataset)
    if path.is_file():
        if path.suffix.lower() not in READ:
            raise LongVPOError(
                f"{dataset} is not a table that can be read: give a file {', '.join(READ)}, or a folder"
            )
        return path
    if not path.is_dir():
        return None
    tables = [one for one in sorted(path.iterdir()) if one.suffix.lower() in READ and one.is_file()]
    tables = [one for one in tables if one.suffix != ".json" or one.stem not in NO_ROWS]
    return tables[0] if len(tables) == 1 else None


def _only_config(dataset: str, revision: str) -> str | None:
    """The config of a dataset with a single config that is not longvpo's: a recipe does not have to name it."""
    try:
        names = config_names(dataset, revision)
    except Exception:  # errors of datasets, huggingface_hub and fsspec have no common base
        return None
    return names[0] if len(names) == 1 and names[0] not in ("stage1", "stage2") else None


def _read(path: Path, needed: tuple[str, ...], optional: tuple[str, ...]) -> Table:
    try:
        table = READ[path.suffix.lower()](path, needed, optional)
    except (ValueError, OSError) as error:
        raise LongVPOError(f"cannot read {path}: {first_line(error)}") from error
    if not table.names:
        raise LongVPOError(f"{path} has no rows")
    return table


def _read_json(path: Path, needed: tuple[str, ...], optional: tuple[str, ...]) -> Table:
    """A list of objects, or an object a line."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return read_jsonl(path, needed, optional)
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or any(not isinstance(row, dict) for row in rows):
        raise ValueError("it is not a list of objects")
    return Table(rows, list(dict.fromkeys(name for row in rows for name in row)))


READ = {".jsonl": read_jsonl, ".json": _read_json, ".csv": read_csv, ".parquet": read_parquet}


def _undecoded(rows: Any) -> Iterator[dict[str, Any]]:
    """Rows whose videos and pictures stay what they are: a path, or bytes."""
    from datasets.features.features import require_decoding

    if any(require_decoding(feature) for feature in rows.features.values()):
        rows = rows.to_iterable_dataset().decode(False)
    yield from rows


def known_columns(names: list[str]) -> PairSection | None:
    """The columns of a shape that is known, where all that it needs are there."""
    video = next((name for name in VIDEOS if name in names), None)
    for prompt, chosen, rejected in TEXTS:
        if video and {prompt, chosen, rejected} <= set(names):
            return PairSection(video=video, prompt=prompt, chosen=chosen, rejected=rejected)
    return None


def missing_columns(names: list[str], columns: PairSection) -> list[str]:
    """Our words of the columns that are needed, and are not there."""
    return [
        word
        for word in PairSection.NEEDED
        if any(name not in names for name in columns_of(getattr(columns, word), names))
    ]


def no_columns(dataset: str, names: list[str], columns: PairSection | None) -> LongVPOError:
    """What is said of rows that lack a column: all that are missing, those that are there, the mapping to write."""
    named = columns or PairSection()
    missing = missing_columns(names, named)
    lacks = ", ".join(f"{word} ({getattr(named, word)})" if columns else word for word in missing)
    mapping = {
        word: getattr(named, word) if word not in missing else next((one for one in WORDS[word] if one in names), "?")
        for word in PairSection.NEEDED
    }
    written = ", ".join(f"{word}: {_yaml(name)}" for word, name in mapping.items())
    mend = apart(names)
    if mend:
        lacking = " and no column ".join(missing)
        return LongVPOError(f"{dataset} has no column {lacking} (it has {shown_name(names[0])}); {mend}")
    clips = "Of captioned clips, build-dataset makes triplets. Of pairs: " if "caption" in names else ""
    unknown = " with the columns' names for `?`" if "?" in mapping.values() else ""
    return LongVPOError(
        f"{dataset} holds no triplets, and no column is known for {lacks}; "
        f"it has {', '.join(map(shown_name, names[:40]))}. "
        f"{clips}Say which is which{unknown}: data.columns='{{{written}}}' on the command line, or in the recipe "
        f"data: {{columns: {{{written}}}}}"
    )


def shown_name(name: str) -> str:
    """A column's name on a terminal: whoever wrote it, it moves no cursor."""
    return name if name.isprintable() and name == name.strip() and name else repr(name)


def _yaml(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][\w.]*", name) else json.dumps(name, ensure_ascii=False)
