"""Rows that others may have written, held against what training reads.

The rule: a row that cannot be trained on is a mistake that names the row and its column; one that would teach nothing
is left out and counted.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from longvpo.errors import LongVPOError

if TYPE_CHECKING:
    from datasets import Dataset

TEXTS = ("prompt", "chosen", "rejected")
COLUMNS = [*TEXTS, "context", "anchors"]  # the columns that are trained on
CLIP = "an object with source, video, start and end"


def check_rows(rows: Dataset, where: str) -> None:
    """Raises LongVPOError at the first row that is not a triplet.

    Args:
        rows: a dataset with COLUMNS.
        where: the config's name.
    """
    for number, row in enumerate(rows.select_columns(COLUMNS)):
        fault = _fault(row)
        if fault:
            raise LongVPOError(f"row {number} of config {where}: {fault}; build the dataset again")


def _fault(row: dict[str, Any]) -> str | None:
    for name in TEXTS:
        if not isinstance(row[name], str):
            return f"its {name} is {_told(row[name])}, and a text is expected"
    context, anchors = row["context"], row["anchors"]
    if not isinstance(context, list) or not context:
        return f"its context is {_told(context)}, and a list of clips is expected, each {CLIP}"
    for place, clip in enumerate(context):
        if not isinstance(clip, dict):
            return f"clip {place} of its context is {_told(clip)}, and {CLIP} is expected"
        for name in ("source", "video"):
            if not isinstance(clip.get(name), str):
                return f"the {name} of clip {place} of its context is {_told(clip.get(name))}, and a text is expected"
        start, end = clip.get("start"), clip.get("end")
        if not _is_span(start, end):
            return f"clip {place} of its context goes from {_told(start)} to {_told(end)}, and seconds are expected"
    known = range(len(context))
    if not anchors or not isinstance(anchors, list) or any(type(at) is not int or at not in known for at in anchors):
        return f"its anchors {_told(anchors)} are not places in its context of {len(context)} clips"
    return None


def teaching(rows: Dataset) -> tuple[Dataset, Counter[str]]:
    """The rows that teach something, and how many others there are, by reason."""
    answers = zip(rows["chosen"], rows["rejected"], strict=True)
    reasons = [_taught_nothing(chosen, rejected) for chosen, rejected in answers]
    left_out = Counter(reason for reason in reasons if reason)
    if not left_out:
        return rows, left_out
    return rows.select([number for number, reason in enumerate(reasons) if not reason]), left_out


def _taught_nothing(chosen: str, rejected: str) -> str:
    chosen, rejected = chosen.strip(), rejected.strip()
    if not chosen or not rejected:
        return f"{'rejected' if chosen else 'chosen'} is empty"
    return "chosen equals rejected" if chosen == rejected else ""


def _is_span(start: Any, end: Any) -> bool:
    numbers = all(type(value) in (int, float) and math.isfinite(value) for value in (start, end))
    return numbers and 0 <= start < end


def _told(value: Any) -> str:
    """A value in a line: what it says, or at least its beginning."""
    text = "null" if value is None else repr(value)
    text = text if len(text) <= 80 else text[:77] + "..."
    messages = isinstance(value, list) and value and isinstance(value[0], dict) and "role" in value[0]
    return f"a list of messages ({text})" if messages else text
