"""What is looked at: a dataset or results, in a folder or on the Hub at a revision, with the files beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from longvpo.errors import LongVPOError, first_line
from longvpo.io.home import split
from longvpo.io.private import public
from longvpo.io.records import Record, read_record

ANSWERS = "answers.jsonl"  # the file of evaluate with every answer of every model
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
CONFIGS = ("stage1", "stage2")


@dataclass(frozen=True)
class Subject:
    """A dataset, or what evaluate found.

    Attributes:
        place: a folder, or the id of a repository.
        revision: None for a folder.
        about: facts.json of a dataset, with nothing of this machine; empty where there is none. results.json.
    """

    kind: Literal["dataset", "results"]
    place: str
    revision: str | None
    about: dict[str, Any]

    @property
    def name(self) -> str:
        if self.kind == "dataset" and self.about.get("name"):
            return str(self.about["name"])
        return Path(self.place).resolve().name if self.revision is None else self.place

    def file(self, name: str) -> Path | None:
        """A file beside it; None where it has none."""
        if self.revision is None:
            file = Path(self.place) / name
            return file if file.is_file() else None
        return _fetched(self.place, name, "dataset" if self.kind == "dataset" else "model", self.revision)


def find_subject(given: str) -> Subject:
    """A folder, or a repository as ID or ID@REVISION.

    Raises:
        LongVPOError: there is none of that name, or it holds neither triplets nor results.
    """
    place, revision = split(given)
    if Path(place).is_dir():
        return _in_folder(Path(place))
    if not REPOSITORY.fullmatch(place) or Path(place).exists():
        raise LongVPOError(f"{given} is neither a folder nor the id of a repository: give what build-dataset made")
    try:
        facts = _fetched(place, "facts.json", "dataset", revision)
        if facts:
            return Subject("dataset", place, revision, _public(read_record(facts)))
        results = _fetched(place, "results.json", "model", revision)
    except LongVPOError:
        raise
    except Exception as error:  # errors of huggingface_hub and its HTTP client have no common base
        raise LongVPOError(f"cannot read {given}: {first_line(error)}") from error
    if not results:
        raise LongVPOError(
            f"{given}: the Hub has no dataset of longvpo and no adapter with results of that name there. Check the "
            "id and the revision, and that HF_TOKEN may read it"
        )
    return Subject("results", place, revision, _public(read_record(results)))


def _in_folder(folder: Path) -> Subject:
    facts = folder / "facts.json"
    if (folder / "results.json").is_file():
        return Subject("results", str(folder), None, _public(read_record(folder / "results.json")))
    if any((folder / config).is_dir() for config in CONFIGS):
        return Subject("dataset", str(folder), None, _public(read_record(facts)) if facts.is_file() else {})
    if (folder / "adapter_config.json").is_file():
        raise LongVPOError(f"{folder} is an adapter without results: give the folder that `longvpo evaluate` made")
    raise LongVPOError(
        f"{folder} holds no triplets and no results: give the folder that `longvpo build-dataset` or `longvpo "
        "evaluate` made; an unfinished build has none yet"
    )


def _public(values: Record) -> dict[str, Any]:
    cut: dict[str, Any] = public(values)
    return cut


def _fetched(repository: str, name: str, kind: str, revision: str) -> Path | None:
    """A file of a repository; None where there is none. Raises what huggingface_hub raises."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(hf_hub_download(repository, name, repo_type=kind, revision=revision))
    except LocalEntryNotFoundError:  # no network
        raise
    except (EntryNotFoundError, RepositoryNotFoundError):
        return None
