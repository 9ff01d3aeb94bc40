"""The rows of sources: tables beside the videos, and datasets that are streamed."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError, first_line
from longvpo.sections import SourceSection

SHUFFLED = {"bytes": 32}  # rows in memory while a stream is shuffled; those that hold videos are large
SHUFFLED_TEXT = 20_000
LONGEST_CELL = 2**30  # characters; csv's own limit is 131,072
BRACES = re.compile(r"\{([^{}]+)\}")


def find_table(source: SourceSection) -> Path:
    """The path of a source's table. Raises LongVPOError where there is none."""
    for name in READERS:
        if (source.folder / name).is_file():
            return source.folder / name
    raise LongVPOError(
        f"source {source.name}: no {', no '.join(READERS)} in {source.folder}; "
        "set the source's folder to one that holds videos and such a table"
    )


def read_table(source: SourceSection, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of a source's table.

    Args:
        columns: it must have these beside video and caption.

    Raises:
        LongVPOError: there is no table, it cannot be read, it is empty, or a column is missing.
    """
    path = find_table(source)
    try:
        rows = READERS[path.name](path)
    except UnicodeError as error:
        raise LongVPOError(f"source {source.name}: cannot read {path}: save it as text in UTF-8") from error
    except (ValueError, OSError, csv.Error) as error:  # of json, csv and pyarrow
        raise LongVPOError(f"source {source.name}: cannot read {path}: {first_line(error)}") from error
    if not rows:
        raise LongVPOError(f"source {source.name}: {path} has no rows: give each video one")
    check_columns(source, rows[0], columns, path.name)
    return rows


def check_columns(source: SourceSection, row: dict[str, Any], columns: tuple[str, ...], where: str) -> None:
    """Raises LongVPOError when the first row shows that a column is missing."""
    named = source.columns
    wanted = (named.video, *((named.caption,) if source.captions == "table" else ()), *columns)
    missing = [name for name in wanted if name not in row and cell(row, name) is None]
    if missing:
        raise LongVPOError(
            f"source {source.name}: {where} has no column {' and no column '.join(missing)} "
            f"(it has {', '.join(filter(None, row))}); "
            "rename a column, add it, or name it under the source's `columns`"
        )


def cell(row: dict[str, Any], column: str) -> Any:
    """A row's value; a dot in the name goes into what the cell holds. None where there is no such place.

    Several cells make one value where the name has them in braces, as in `{id}/{part.name}.mp4`.
    """
    if column in row:
        return row[column]
    if "{" in column:
        cells = {name: cell(row, name) for name in BRACES.findall(column)}
        if any(value is None or value == "" for value in cells.values()):
            return None
        return BRACES.sub(lambda found: str(cells[found[1]]), column)
    value: Any = row
    for part in column.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return value


def stream_rows(
    source: SourceSection, seed: int, columns: tuple[str, ...] = (), limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of a source's dataset, without decoding its videos; shuffled where the recipe uses a part of them.

    Args:
        columns: it must have these beside video and caption.

    Raises:
        LongVPOError: the dataset cannot be read, has no rows, or a column is missing.
    """
    from datasets import Video, load_dataset

    revision = None if Path(str(source.dataset)).is_dir() else source.revision
    number = -1
    try:
        rows = load_dataset(source.dataset, source.config, split=source.split, revision=revision, streaming=True)
        for name, feature in (rows.features or {}).items():
            if isinstance(feature, Video):
                rows = rows.cast_column(name, Video(decode=False))
        if source.clips is not None and limit is None:
            rows = rows.shuffle(seed=seed, buffer_size=SHUFFLED.get(source.videos, SHUFFLED_TEXT))
            if source.videos == "bytes":  # its videos are written as they come: no more than are needed
                rows = rows.take(source.clips)
        for number, row in enumerate(rows if limit is None else rows.take(limit)):
            if number == 0:
                check_columns(source, row, columns, f"{source.dataset}")
            yield row
    except LongVPOError:
        raise
    except StopIteration:  # of datasets, for a file that is empty
        pass
    except Exception as error:  # of datasets, huggingface_hub, pyarrow, fsspec: no common base
        raise LongVPOError(
            f"source {source.name}: cannot read the dataset {source.dataset}: {first_line(error).rstrip('.')}; check "
            f"the source's dataset, config ({source.config}), split ({source.split}) and revision ({source.revision})"
        ) from error
    if number < 0:
        raise LongVPOError(f"source {source.name}: the dataset {source.dataset} has no rows in split {source.split}")


def count_rows(source: SourceSection) -> int | None:
    """Rows of a source's dataset as its card says, without reading them; None where it says nothing."""
    from datasets import load_dataset_builder

    revision = None if Path(str(source.dataset)).is_dir() else source.revision
    splits = load_dataset_builder(source.dataset, source.config, revision=revision).info.splits or {}
    return splits[source.split].num_examples or None if source.split in splits else None


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    rows = []
    # not splitlines: a caption may hold characters that end a line elsewhere; editors of Windows put a mark in front
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} is no JSON object: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f'line {number} is no JSON object, such as {{"file_name": ..., "caption": ...}}')
            rows.append(row)
    return rows


def _read_csv(path: Path) -> list[dict[str, Any]]:
    csv.field_size_limit(LONGEST_CELL)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        twice = [name for name, count in Counter(reader.fieldnames or ()).items() if count > 1]
        if twice:
            raise ValueError(f"it has two columns {twice[0]}: rename one")
        return list(reader)


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet

    return parquet.read_table(path).to_pylist()


READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "metadata.jsonl": _read_jsonl,
    "metadata.csv": _read_csv,
    "metadata.parquet": _read_parquet,
}
