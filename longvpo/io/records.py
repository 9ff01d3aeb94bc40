"""The files that lie beside a result are read; the error about a damaged or changed one says what makes it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from longvpo.errors import LongVPOError, first_line
from longvpo.io.files import BENCHMARKS, KEY, RELEASE, WORK, read_json, read_yaml

REMEDIES = {
    "results.json": "evaluate again, with another --output",
    BENCHMARKS: "delete it, and give lmms-eval's results to `longvpo push --results` again",
    "adapter_config.json": "train again with another --output, or fetch the adapter again",
    "trainer_state.json": "delete it, or train again with another --output",
    RELEASE: "delete it: the next `longvpo push` writes it again",
    "world.json": "delete its folder: it is drawn again",
    "stories.json": "delete its folder: it is drawn again",
}


class Record(dict[str, Any]):
    """What such a file says. A key that it lacks is an error of the user, wherever it is asked for."""

    def __init__(self, values: dict[str, Any], file: Path, place: str = "") -> None:
        super().__init__((key, _records(value, file, f"{place}{key}.")) for key, value in values.items())
        self._file, self._place = file, place

    def __missing__(self, key: str) -> Any:
        raise LongVPOError(
            f"{self._file} has no {self._place}{key}: it is another program's, or another version's; "
            f"{remedy(self._file)}"
        )


yaml.SafeDumper.add_representer(Record, yaml.SafeDumper.represent_dict)  # it is written as any dict is


def unfinished(folder: Path) -> bool:
    """Whether a folder holds a build that was begun, and not yet its result."""
    return (folder / WORK / KEY).is_file() and not (folder / "facts.json").is_file()


def read_record(file: Path) -> Record:
    """The object in a JSON or YAML file beside a result.

    Raises:
        LongVPOError: it holds none.
    """
    try:
        values = read_yaml(file) if file.suffix == ".yaml" else read_json(file)
    except LongVPOError as error:
        raise LongVPOError(f"{error}; {remedy(file)}") from None
    if not isinstance(values, dict):
        raise LongVPOError(f"{file} is damaged: it holds no keys with values; {remedy(file)}")
    return Record(values, file)


def remedy(file: Path) -> str:
    """What makes a file beside a result again."""
    if file.parent.parent.name == "work":
        return "delete it: it is made again"
    if file.name.endswith("_results.json"):
        return "run lmms-eval again"
    answers = file.parent / "work" / "journal"
    kept = f", and --journal {answers} for its answers" if answers.is_dir() else ""
    return REMEDIES.get(file.name, f"make {file.parent} again with another --output{kept}")


@contextmanager
def understood(*files: Path) -> Iterator[None]:
    """What is read out of these files, all of which can be read, is what this version of longvpo writes.

    Raises:
        LongVPOError: a value is of another kind.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        names = ", ".join([str(files[0]), *(file.name for file in files[1:])])
        raise LongVPOError(
            f"{names}: something in there is not as this version of longvpo writes it "
            f"({type(error).__name__}: {first_line(error)}); {remedy(files[0])}"
        ) from error


@contextmanager
def reading_parquet(file: Path) -> Iterator[None]:
    """A parquet file of a result is read. Raises LongVPOError when it is damaged."""
    try:
        with file.open("rb") as opened:
            if opened.read(4) != b"PAR1":  # pyarrow looks only at the end
                raise ValueError("it does not begin as one")
        yield
    except UnicodeEncodeError as error:  # a ValueError, too
        raise LongVPOError(f"{file}: this locale cannot write its name: set PYTHONUTF8=1") from error
    except (ValueError, OSError, LookupError, TypeError) as error:  # pyarrow's own are ValueErrors
        raise LongVPOError(
            f"{file} is damaged: it is not parquet, {first_line(error)}; {remedy(file.parent)}"
        ) from error


def _records(value: Any, file: Path, place: str) -> Any:
    if isinstance(value, dict):
        return Record(value, file, place)
    return [_records(item, file, place) for item in value] if isinstance(value, list) else value
