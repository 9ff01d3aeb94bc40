"""Where clips come from: a folder of videos with a table of captions beside them, the VideoFolder convention."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tqdm import tqdm

from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe import SourceSection
from longvpo.triplet import Clip, Dropped
from longvpo.video import duration

TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


def read_table(source: SourceSection, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of a source's table.

    Raises:
        LongVPOError: there is no table, it cannot be read, it is empty, or a column is missing.
    """
    import datasets

    path = next((source.folder / name for name in TABLES if (source.folder / name).is_file()), None)
    if path is None:
        raise LongVPOError(
            f"source {source.name}: no {', '.join(TABLES[:-1])} or {TABLES[-1]} in {source.folder}; "
            "set the source's folder to one that holds videos and such a table"
        )
    loader = {".jsonl": datasets.Dataset.from_json, ".csv": datasets.Dataset.from_csv}.get(
        path.suffix, datasets.Dataset.from_parquet
    )
    datasets.disable_progress_bars()
    try:
        rows = loader(str(path), keep_in_memory=True)
    except (datasets.exceptions.DatasetGenerationError, ValueError, OSError) as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise LongVPOError(f"source {source.name}: cannot read {path}: {cause}") from error
    finally:
        datasets.enable_progress_bars()
    missing = [name for name in columns if name not in rows.column_names]
    if missing:
        raise LongVPOError(
            f"source {source.name}: {path.name} has no column {' and no column '.join(missing)} "
            f"(it has {', '.join(rows.column_names)}); rename a column or add it"
        )
    if len(rows) == 0:
        raise LongVPOError(f"source {source.name}: {path} has no rows")
    table: list[dict[str, Any]] = rows.to_list()
    return table


def read_clips(
    source: SourceSection, columns: tuple[str, ...] = ()
) -> tuple[list[Clip], list[dict[str, Any]], list[Dropped]]:
    """One clip for each row of the table; the rows that these clips stand for; the rows that cannot be used.

    `start` and `end`, in seconds, are read from the table where it has them; without them a clip is the whole video.
    """
    clips, kept, dropped = [], [], []
    rows = read_table(source, ("file_name", "caption", *columns))
    hashes: dict[str, tuple[float, str]] = {}
    for row in tqdm(rows, desc=f"source {source.name}", leave=False):
        name = str(row["file_name"])
        try:
            if not row["caption"]:
                raise VideoError(f"{name} has no caption")
            if name not in hashes:
                path = source.folder / name
                hashes[name] = duration(path), _sha256(path)
            seconds, sha256 = hashes[name]
            start, end = float(row.get("start") or 0.0), float(row.get("end") or seconds)
            if not 0 <= start < end:
                raise VideoError(f"{name} has no span from {start} to {end} s: it lasts {seconds:.2f} s")
        except VideoError as error:
            dropped.append(Dropped(name, "video", str(error)))
            continue
        clip_id = f"{source.name}/{name}" + (f"#{start:g}-{end:g}" if row.get("end") else "")
        clips.append(Clip(clip_id, source.name, name, start, end, str(row["caption"]), source.license, sha256))
        kept.append(row)
    return clips, kept, dropped


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
