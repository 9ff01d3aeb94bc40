"""The rows of sources: tables beside the videos, and datasets that are streamed.

The rule: a column is missing when no row has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from longvpo.clips.cells import cell, columns_of
from longvpo.clips.readers import READERS, apart
from longvpo.errors import LongVPOError, first_line
from longvpo.io.home import meant_folder
from longvpo.recipe.sources import SourceSection

SHUFFLED = {"bytes": 32}  # rows in memory while a stream is shuffled; those that hold videos are large
SHUFFLED_TEXT = 20_000
# pandas, by which datasets read CSV, makes the first column one of this name where cells are too many
SHIFTED = "__index_level_0__"


def find_table(source: SourceSection) -> Path:
    """The path of a source's table. Raises LongVPOError where there is none, or more than one."""
    here = sorted(source.folder.iterdir()) if source.folder.is_dir() else []
    found = [path for path in here if path.name.lower() in READERS and path.is_file()]
    if not found:
        where = source.folder if source.folder.exists() else f"{source.folder}, which is not there"
        raise LongVPOError(
            f"source {source.name}: no {', no '.join(READERS)} in {where}{meant_folder(source.folder)}; "
            "set the source's folder to one that holds videos and such a table"
        )
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise LongVPOError(
            f"source {source.name}: {source.folder} holds more than one table, {names}, and they may differ: keep one"
        )
    return found[0]


def read_table(
    source: SourceSection, columns: tuple[str, ...], optional: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """The rows of a source's table.

    Args:
        columns: it must have these beside video and caption.
        optional: it may have these.

    Raises:
        LongVPOError: the table is missing, cannot be read or is empty, or lacks a column.
    """
    path = find_table(source)
    columns = needed(source, columns)
    try:
        table = READERS[path.name.lower()](path, columns, (source.columns.start, source.columns.end, *optional))
    except (ValueError, OSError) as error:
        raise LongVPOError(f"source {source.name}: cannot read {path}: {first_line(error)}") from error
    missing = [name for name in columns if not _has(table.rows, table.names, name)]
    if missing and (table.rows or table.names):
        raise _no_column(source, path.name, missing, table.names)
    if not table.rows:
        raise LongVPOError(f"source {source.name}: {path} has no rows: give each video one")
    return table.rows


def needed(source: SourceSection, columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that a source must have, the video's first."""
    named = source.columns
    return (named.video, *((named.caption,) if source.captions == "table" else ()), *columns)


def _has(rows: list[dict[str, Any]], names: list[str], column: str) -> bool:
    if not rows:
        return all(name in names for name in columns_of(column, names))
    return column in names or any(cell(row, column) is not None for row in rows)


def _no_column(source: SourceSection, where: str, missing: list[str], names: list[str]) -> LongVPOError:
    has = ", ".join(name if name == name.strip() else repr(name) for name in names if name)
    mend = apart(names) or "rename a column, add it, or name it under the source's `columns`"
    return LongVPOError(
        f"source {source.name}: {where} has no column {' and no column '.join(missing)} (it has {has}); {mend}"
    )


def stream_rows(
    source: SourceSection, seed: int, columns: tuple[str, ...] = (), limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of a source's dataset, without decoding its videos; shuffled where the recipe uses a part of them.

    Args:
        columns: it must have these beside video and caption.

    Raises:
        LongVPOError: the dataset cannot be read, has no rows, or a column is missing.
    """
    from datasets import load_dataset

    revision = None if Path(str(source.dataset)).is_dir() else source.revision
    missing = list(needed(source, columns))
    names: dict[str, None] = {}
    found = False
    try:
        rows = load_dataset(source.dataset, source.config, split=source.split, revision=revision, streaming=True)
        typed = list(rows.features or ())
        absent = [name for name in missing if typed and not set(columns_of(name, typed)) <= set(typed)]
        if absent:
            raise _no_column(source, str(source.dataset), absent, typed)
        if typed:
            rows = rows.decode(False)  # videos, pictures and sound stay what they are: a path, or bytes
        if source.clips is not None and limit is None:
            rows = rows.shuffle(seed=seed, buffer_size=SHUFFLED.get(source.videos, SHUFFLED_TEXT))
            if source.videos == "bytes":  # its videos are written as they come: no more than are needed
                rows = rows.take(source.clips)
        for row in rows if limit is None else rows.take(limit):
            found = True
            if not typed and SHIFTED in row:
                raise LongVPOError(
                    f"source {source.name}: a CSV file of {source.dataset} has more cells in its rows than in its "
                    "header. Put a text that holds commas between double quotes"
                )
            names |= dict.fromkeys(row)
            missing = [name for name in missing if name not in row and cell(row, name) is None]
            yield row
    except LongVPOError:
        raise
    except StopIteration:  # datasets raises it for a file that is empty
        pass
    except Exception as error:  # errors of datasets, huggingface_hub, pyarrow, fsspec have no common base
        raise LongVPOError(
            f"source {source.name}: cannot read the dataset {source.dataset}: {first_line(error).rstrip('.')}; check "
            f"the source's dataset, config ({source.config}), split ({source.split}) and revision ({source.revision})"
        ) from error
    if not found:
        raise LongVPOError(f"source {source.name}: the dataset {source.dataset} has no rows in split {source.split}")
    if missing:
        raise _no_column(source, str(source.dataset), missing, list(names))


def count_rows(source: SourceSection) -> int | None:
    """Rows of a source's dataset as its card says, without reading them; None where it says nothing."""
    from datasets import load_dataset_builder

    revision = None if Path(str(source.dataset)).is_dir() else source.revision
    splits = load_dataset_builder(source.dataset, source.config, revision=revision).info.splits or {}
    return splits[source.split].num_examples or None if source.split in splits else None
