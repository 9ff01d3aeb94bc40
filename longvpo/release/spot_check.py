"""What a person found who looked at some rows: the file that the page of `longvpo view` saves, strictly read.

The rule: a card counts marks only on rows that are in the dataset as they were looked at. The file holds no name, no
time and no path; a note is what the person chose to write.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError, first_line
from longvpo.io.files import read_json
from longvpo.io.records import reading_parquet
from longvpo.release.parquet import shards

FILE = "spot_check.json"
FORMAT = "longvpo spot check 1"
MARKS = ("good", "bad")
NOTE = 1000  # characters of a note, at most
STAGES = ("stage1", "stage2")
LOOKED_AT = ("id", "prompt", "chosen", "rejected")  # columns that tell one state of the rows from another


def rows_hash(rows: Iterable[Mapping[str, Any]]) -> str:
    """A hash of the triplets of both stages: it changes with their texts, and not with their order or their files."""
    lines = (json.dumps([row[name] for name in LOOKED_AT]).encode() for row in rows)
    return hashlib.sha256(b"".join(sorted(hashlib.sha256(line).digest() for line in lines))).hexdigest()


def read_spot_check(folder: Path) -> dict[str, Any] | None:
    """What the file in a dataset's folder counts, for its card: n, good and bad; None where there is no such file.

    Raises:
        LongVPOError: it is not as the page saves it, or is of other rows.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    values = read_json(file)
    rows = list(_rows(folder))
    try:
        marks = _marks(values)
        if values["dataset"] != rows_hash(rows):
            raise ValueError("it is of other rows than these")
        known = {row["id"] for row in rows}
        strange = next((name for name in marks if name not in known), None)
        if strange is not None:
            raise ValueError(f"no row has the id {strange!r}")
    except ValueError as error:
        raise LongVPOError(
            f"{file} is not a spot check of this dataset ({first_line(error)}): save the marks again from the page of "
            "`longvpo view`, or delete the file"
        ) from None
    good = sum(mark == "good" for mark in marks.values())
    return {"n": len(marks), "good": good, "bad": len(marks) - good, "of": len(rows)}


def _marks(values: Any) -> dict[str, str]:
    """Marks by id. Raises ValueError where the file is another."""
    names = set(values) if isinstance(values, dict) else set()
    if names != {"format", "dataset", "rows"} or values["format"] != FORMAT or not isinstance(values["rows"], dict):
        raise ValueError("it is not in this form")
    for name, row in values["rows"].items():
        note = row.get("note", "") if isinstance(row, dict) else None
        if (
            not isinstance(note, str)
            or set(row) - {"mark", "note"}
            or row.get("mark") not in MARKS
            or len(note) > NOTE
        ):
            raise ValueError(f"row {name!r} has no mark, or something beside a mark and a note")
    if not values["rows"]:
        raise ValueError("it has no marks")
    return {name: row["mark"] for name, row in values["rows"].items()}


def _rows(folder: Path) -> Iterable[dict[str, Any]]:
    from pyarrow import parquet

    for stage in STAGES:
        for path in shards(folder / stage):
            with reading_parquet(path):
                yield from parquet.read_table(path, columns=list(LOOKED_AT)).to_pylist()
