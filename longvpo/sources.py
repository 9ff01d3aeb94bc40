"""Where clips come from: a folder of videos with a table of captions beside them, the VideoFolder convention."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from longvpo.errors import LongVPOError, VideoError
from longvpo.folder import file_hash
from longvpo.recipe import SourceSection
from longvpo.triplet import Clip, Dropped
from longvpo.video import duration


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

    Raises:
        LongVPOError: there is no table, it cannot be read, it is empty, or a column is missing.
    """
    path = find_table(source)
    try:
        rows = READERS[path.name](path)
    except (ValueError, OSError) as error:  # of json, csv, unicode and pyarrow
        raise LongVPOError(f"source {source.name}: cannot read {path}: {error}") from error
    if not rows:
        raise LongVPOError(f"source {source.name}: {path} has no rows")
    missing = [name for name in columns if name not in rows[0]]
    if missing:
        raise LongVPOError(
            f"source {source.name}: {path.name} has no column {' and no column '.join(missing)} "
            f"(it has {', '.join(rows[0])}); rename a column or add it"
        )
    return rows


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip():
            try:
                rows.append(dict(json.loads(line)))
            except (ValueError, TypeError) as error:
                raise ValueError(f"line {number} is no JSON object: {error}") from error
    return rows


def _read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet

    return parquet.read_table(path).to_pylist()


READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "metadata.jsonl": _read_jsonl,
    "metadata.csv": _read_csv,
    "metadata.parquet": _read_parquet,
}


def read_clips(
    source: SourceSection, columns: tuple[str, ...] = ()
) -> tuple[list[Clip], list[dict[str, Any]], list[Dropped]]:
    """One clip for each row of the table; the rows that these clips stand for; the rows that cannot be used.

    `start` and `end`, in seconds, are read from the table where it has them; without them a clip is the whole video.
    """
    clips, kept, dropped = [], [], []
    videos: dict[str, tuple[float, str]] = {}  # seconds and sha256 of each file
    known: set[str] = set()
    rows = read_table(source, ("file_name", "caption", *columns))
    for number, row in enumerate(tqdm(rows, desc=f"source {source.name}", leave=False)):
        name = str(row.get("file_name") or f"row {number}")
        try:
            empty = [column for column in ("file_name", "caption", *columns) if not row.get(column)]
            if empty:
                raise VideoError(f"{name} has no {empty[0]}")
            if name not in videos:
                path = source.folder / name
                videos[name] = duration(path), file_hash(path)
            seconds, sha256 = videos[name]
            start, end = _span(row, seconds)
            clip_id = f"{source.name}/{name}" + (f"#{start:g}-{end:g}" if row.get("end") else "")
            if clip_id in known:
                raise VideoError(f"{name} is in the table twice")
        except VideoError as error:
            dropped.append(Dropped(name, "video", str(error)))
            continue
        known.add(clip_id)
        clips.append(Clip(clip_id, source.name, name, start, end, str(row["caption"]), source.license, sha256))
        kept.append(row)
    return clips, kept, dropped


def _span(row: dict[str, Any], seconds: float) -> tuple[float, float]:
    """Start and end of the row's clip. Raises VideoError when the video of this length has no such span."""
    try:
        start, end = float(row.get("start") or 0), float(row.get("end") or seconds)
    except ValueError:
        raise VideoError(f"{row['file_name']}: start and end must be seconds") from None
    if not 0 <= start < end <= seconds + 1:  # headers round their length
        raise VideoError(f"{row['file_name']} has no span from {start} to {end} s: it lasts {seconds:.2f} s")
    return start, min(end, seconds)
