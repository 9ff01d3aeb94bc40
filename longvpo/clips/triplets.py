"""Published triplets, held against what reads them, and what a model sees of one.

The rule: a row that is not a triplet is a mistake, and its error names the row and the column. A row that would teach
nothing is left out and counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from longvpo.clips.pairs import read_pairs
from longvpo.clips.rows import COLUMNS, TEXTS
from longvpo.clips.stored import load_rows
from longvpo.errors import LongVPOError
from longvpo.recipe.pairs import PairSection
from longvpo.recipe.training import Reference
from longvpo.video.frames import ClipFrames
from longvpo.video.joined import Shown, canvas, read, shown

CLIP = "an object with source, video, start and end"
NamedClips = Sequence[Mapping[str, Any]]  # clips as the column `context` names them
EMPTY, EQUAL = "{} is empty", "chosen equals rejected"
TEACHES_NOTHING = (EMPTY.format("chosen"), EMPTY.format("rejected"), EQUAL)


def load_config(
    dataset: str,
    config: str,
    split: str,
    revision: str,
    more: Sequence[str] = (),
    columns: PairSection | None = None,
    folders: Mapping[str, Path] | None = None,
    left_out: Counter[str] | None = None,
) -> Dataset:
    """The triplets of one config: its COLUMNS, and `more` where it has them.

    Args:
        columns: columns of a dataset from another tool, as pairs.settle found them; its rows become triplets.
        folders: folders of the videos of such a dataset.
        left_out: rows of it that cannot be used are counted here, by reason.

    Raises:
        LongVPOError: the dataset cannot be loaded, or its rows are not triplets.
    """
    if columns is not None:
        rows, others = read_pairs(dataset, config, split, revision, columns, folders or {})
        if left_out is not None:
            left_out.update(others)
        return rows
    rows = load_rows(dataset, config, split, revision)
    missing = [name for name in COLUMNS if name not in rows.column_names]
    if missing:
        raise LongVPOError(f"{dataset} holds no triplets: it has no column {missing[0]}")
    # those of configs differ, and one may be named as ours
    rows = rows.select_columns(COLUMNS + [name for name in more if name in rows.column_names])
    check_rows(rows, config)
    return rows


def check_context(context: NamedClips, number: int, config: str, budget: int | None) -> None:
    """Raises LongVPOError when a row's context has more clips than the frame budget has frames."""
    if budget is not None and len(context) > budget:
        raise LongVPOError(
            f"row {number} of config {config} has {len(context)} clips, which do not fit into a frame_budget of "
            f"{budget}. Set it to {len(context)} or more, or build the dataset with smaller contexts"
        )


def check_rows(rows: Dataset, where: str) -> None:
    """Raises LongVPOError at the first row that is not a triplet.

    Args:
        rows: a dataset with COLUMNS.
        where: the config's name.
    """
    for number, row in enumerate(rows.select_columns(COLUMNS).to_list()):
        fault = _fault(row)
        if fault:
            raise LongVPOError(f"row {number} of config {where}: {fault}; mend that row, or build the dataset again")


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
            whole = "; a whole video begins at 0.0 and ends at its length" if None in (start, end) else ""
            said = f"clip {place} of its context goes from {_told(start)} to {_told(end)}, and seconds are expected"
            return said + whole
    known = range(len(context))
    if not anchors or not isinstance(anchors, list) or any(type(at) is not int or at not in known for at in anchors):
        return f"its anchors {_told(anchors)} are not places in its context of {len(context)} clips"
    return None


def teaching(rows: Dataset) -> tuple[Dataset, Counter[str]]:
    """The rows that teach something, and how many others there are, by reason."""
    reasons = [_taught_nothing(*answers) for answers in zip(rows["chosen"][:], rows["rejected"][:], strict=True)]
    left_out = Counter(reason for reason in reasons if reason)
    kept = [number for number, reason in enumerate(reasons) if not reason]
    return rows.select(kept) if left_out else rows, left_out


def _taught_nothing(chosen: str, rejected: str) -> str:
    chosen, rejected = chosen.strip(), rejected.strip()
    if not chosen or not rejected:
        return EMPTY.format("rejected" if chosen else "chosen")
    return EQUAL if chosen == rejected else ""


def _is_span(start: Any, end: Any) -> bool:
    numbers = all(type(value) in (int, float) and math.isfinite(value) for value in (start, end))
    return numbers and 0 <= start < end


def _told(value: Any) -> str:
    """A value in a line: what it says, or at least its beginning."""
    text = "null" if value is None else repr(value)
    text = text if len(text) <= 80 else text[:77] + "..."
    messages = isinstance(value, list) and value and isinstance(value[0], dict) and "role" in value[0]
    return f"a list of messages ({text})" if messages else text


def places_of(row: Mapping[str, Any], kind: Reference) -> list[int]:
    """Places of the clips that a side sees, in the context of its row."""
    anchors = row["anchors"]
    return {"anchor": anchors[:1], "relevant": sorted(anchors), "full": list(range(len(row["context"])))}[kind]


def told_of(clips: NamedClips, frames_of: ClipFrames, budget: int | None) -> Shown:
    """When the frames of clips are on screen that are shown one after the other, thinned to the budget."""
    counts = [frames_of.count(clip) for clip in clips]
    return shown([(clip["start"], clip["end"]) for clip in clips], counts, budget)


def on_canvas(
    context: NamedClips, places: Sequence[int], frames_of: ClipFrames, budget: int | None
) -> tuple[list[np.ndarray], tuple[int, int]]:
    """The frames of the clips at these places, thinned to the budget, and (height, width) of the whole context."""
    kept = read(frames_of, [context[place] for place in places], budget)
    others = [clip for place, clip in enumerate(context) if place not in places]
    return kept, canvas([*(clip.shape[1:3] for clip in kept), *(frames_of.size(clip) for clip in others)])
