"""Rows as parquet files in the form that the Hub's viewer and its storage like best."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longvpo.io.files import file_hash
from longvpo.io.records import reading_parquet

if TYPE_CHECKING:
    import datasets

SHARD_BYTES = 1 << 30  # a file is closed above it; the Hub's documentation advises 0.5 to 5 GB
SHARD = re.compile(r"train-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?\.parquet")  # the name of such a file
GROUP_ROWS = 1000  # a row group at most; rows with pictures: as many as make GROUP_BYTES
GROUP_BYTES = 64 << 20


def write_shards(folder: Path, rows: Iterable[dict[str, Any]], columns: datasets.Features) -> list[Path]:
    """Write the rows into `folder`, which is made, a row group at a time: all of them do not have to fit in memory.

    Content-defined chunks and a page index let the Hub store what two versions share once, and its viewer read a
    page by itself. A file's name changes with its content. load_dataset caches a local folder only by its name and its
    README (datasets 5.2). So it would answer from the cache when a dataset was made again.

    Returns:
        The files. Without rows there are none, and no folder: load_dataset reads no split without rows.
    """
    import pyarrow
    from pyarrow import parquet

    schema = columns.arrow_schema
    written: list[Path] = []
    left = _groups(rows)
    group = next(left, None)
    while group is not None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{len(written):05d}.parquet"
        with (
            path.open("wb") as file,
            parquet.ParquetWriter(file, schema, use_content_defined_chunking=True, write_page_index=True) as writer,
        ):
            while group is not None and file.tell() <= SHARD_BYTES:
                writer.write_table(pyarrow.Table.from_pylist(group, schema))
                group = next(left, None)
        written.append(path)
    return [
        path.rename(folder / f"train-{number:05d}-of-{len(written):05d}-{file_hash(path)[:16]}.parquet")
        for number, path in enumerate(written)
    ]


def shards(folder: Path) -> list[Path]:
    """The files of a config, in order. What lies beside them under another name is not ours."""
    return sorted(path for path in folder.glob("*.parquet") if SHARD.fullmatch(path.name))


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The rows in groups that are written together."""
    group: list[dict[str, Any]] = []
    size = 0  # bytes of pictures
    for row in rows:
        group.append(row)
        size += sum(len(picture["bytes"]) for picture in row.get("frames") or ())
        if size > GROUP_BYTES or len(group) == GROUP_ROWS:
            yield group
            group, size = [], 0
    if group:
        yield group


def column_types(paths: list[Path]) -> dict[str, str]:
    """Type of each column, as the viewer shows it."""

    def text(feature: Any) -> str:
        if isinstance(feature, dict):
            return "{" + ", ".join(feature) + "}"
        inner = getattr(feature, "feature", None)
        return f"list of {text(inner)}" if inner is not None else str(getattr(feature, "dtype", feature))

    return {name: text(one) for name, one in _schema(paths[0]).items()}


def _schema(path: Path) -> Any:
    """The features of a parquet file."""
    from datasets import Features
    from pyarrow import parquet as arrow

    with reading_parquet(path):
        return Features.from_arrow_schema(arrow.read_schema(path))


def dataset_info(config: str, paths: list[Path]) -> dict[str, Any]:
    """The entry of `dataset_info` that lets readers know a config before they read it."""
    from datasets import DatasetInfo, SplitDict, SplitInfo
    from pyarrow import parquet as arrow

    known = []
    for path in paths:
        with reading_parquet(path):
            known.append(arrow.read_metadata(path))
    size = sum(one.row_group(group).total_byte_size for one in known for group in range(one.num_row_groups))
    splits = SplitDict()
    splits.add(SplitInfo("train", num_bytes=size, num_examples=sum(one.num_rows for one in known)))
    info = DatasetInfo(
        features=_schema(paths[0]),
        splits=splits,
        download_size=sum(path.stat().st_size for path in paths),
        dataset_size=size,
    )
    return {"config_name": config, **info._to_yaml_dict()}
