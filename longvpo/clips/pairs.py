"""Preference pairs from other tools, as triplets, for everything that reads triplets.

The rule: a row becomes what it says, or is left out with a reason that is counted. A video is one clip, and its
reference sees all of it. Where a row says the anchor's span, the video is cut there into up to three clips. So the
reference is scored only on the anchor, as in longvpo's own triplets. The policy sees all of them, in order.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset, Features, List, Value
from tqdm import tqdm

from longvpo.clips.cells import cell, is_empty
from longvpo.clips.conversations import LeftOutError, answer_in, question_in
from longvpo.clips.foreign import known_columns, missing_columns, no_columns, open_foreign
from longvpo.clips.placed import KEPT, Placed, kept_folder, placed
from longvpo.clips.rows import COLUMNS, features
from longvpo.errors import LongVPOError, VideoError, say
from longvpo.io.names import video_file
from longvpo.recipe.pairs import PairSection
from longvpo.video.extent import extent, look_at
from longvpo.video.probe import SLACK

THREADS = 4  # that look at videos
SHORTEST = 0.5  # seconds; what is left of a video beside its anchor, and shorter, belongs to the anchor
BESIDE = {  # columns of other tools that say more than a question about a video
    "system": "it has a system prompt",
    "images": "it shows images beside its video",
    "audios": "it has sound or tools",
    "tools": "it has sound or tools",
    "rejected_videos": "its rejected answer is about another video",
    "rejected_images": "its rejected answer is about another video",
}


class Settled(NamedTuple):
    """What a recipe leaves open about a dataset from another tool.

    Attributes:
        folders: folders of videos, by the name of their source; the dataset's own folder is the last.
        anchored: whether it may say the anchor's span.
    """

    config: str
    columns: PairSection
    folders: dict[str, Path]
    anchored: bool


def settle(
    dataset: str, config: str, split: str, revision: str, columns: PairSection | None, folders: Mapping[str, Path]
) -> Settled | None:
    """How the rows of a dataset from another tool are read; None where it holds longvpo's triplets.

    Args:
        columns: as the recipe maps them; None: a known shape is looked for.

    Raises:
        LongVPOError: the dataset cannot be read, or a column is missing.
    """
    table = open_foreign(dataset, config, split, revision)
    if columns is None and set(COLUMNS) <= set(table.names):
        return None
    found = columns or known_columns(table.names)
    if found is None or missing_columns(table.names, found):
        raise no_columns(dataset, table.names, columns)
    if columns is None:
        read_as = ", ".join(f"{word}: {getattr(found, word)}" for word in PairSection.NEEDED)
        say(f"note: the rows of {dataset} are read as {{{read_as}}}; data.columns says otherwise")
    anchored = found.anchor_start in table.names or "." in found.anchor_start
    return Settled(table.config, found, {**folders, **_own_folder(dataset, folders)}, anchored)


def _own_folder(dataset: str, folders: Mapping[str, Path]) -> dict[str, Path]:
    """The folder of a dataset itself, under its name: videos may lie there."""
    path = Path(dataset).absolute()
    if not path.exists() or any(os.path.abspath(folder) == str(path.parent) for folder in folders.values()):
        return {}
    folder = path if path.is_dir() else path.parent
    name = re.sub(r"[^\w.-]+", "-", path.stem if path.is_file() else path.name) or "rows"
    return {} if name in folders else {name: folder}


class Pairs(NamedTuple):
    """Rows from another tool as training reads them, with COLUMNS; and how many are left out, by reason."""

    rows: Dataset
    left_out: Counter[str]


def read_pairs(
    dataset: str, config: str, split: str, revision: str, columns: PairSection, folders: Mapping[str, Path]
) -> Pairs:
    """The rows that can be used.

    Raises:
        LongVPOError: the dataset cannot be read, lacks a column, or has no row that can be used.
    """
    table = open_foreign(dataset, config, split, revision)
    if missing_columns(table.names, columns):
        raise no_columns(dataset, table.names, columns)
    drafts: dict[int, _Draft] = {}
    left: dict[str, list[tuple[int, str]]] = {}
    known = dict(folders)
    total = 0
    for number, row in enumerate(table(columns.video, [*_columns(columns), *BESIDE])):
        total += 1
        try:
            drafts[number] = _draft(row, columns, known)
        except LeftOutError as why:
            left.setdefault(why.reason, []).append((number, why.said))
    folders = known | {KEPT: kept_folder()}
    _look_at({draft.placed for draft in drafts.values()}, folders)
    lists = any(draft.placed.frames for draft in drafts.values())
    rows = []
    for number, draft in drafts.items():
        try:
            rows.append(_row(draft, folders, columns.list_fps, lists))
        except LeftOutError as why:
            left.setdefault(why.reason, []).append((number, why.said))
    if not rows:
        raise _nothing(dataset, left, total, folders)
    for reason, some in left.items():
        first, said = some[0]
        told = f": {said}" if said else ""
        say(f"warning: {len(some)} of {total} rows of {dataset} are left out: {reason} (row {first}{told})")
    return Pairs(Dataset.from_list(rows, _features(lists)), Counter({why: len(some) for why, some in left.items()}))


def _columns(columns: PairSection) -> list[str]:
    return [value for value in columns.model_dump().values() if isinstance(value, str)]


def _features(lists: bool) -> Features:
    kinds = features("stage1")
    found = {name: kinds[name] for name in COLUMNS}
    if lists:
        found["context"] = List(dict(kinds["context"].feature) | {"frames": List(Value("string"))})
    return Features(found)


def _nothing(
    dataset: str, left: dict[str, list[tuple[int, str]]], total: int, folders: Mapping[str, Path]
) -> LongVPOError:
    if not total:
        return LongVPOError(f"{dataset} has no rows")
    reasons = sorted(left.items(), key=lambda item: -len(item[1]))
    told = "; ".join(
        f"{reason} ({len(some)} rows, the first {some[0][0]}{': ' + some[0][1] if some[0][1] else ''})"
        for reason, some in reasons[:3]
    )
    mend = ""
    if any("video" in reason for reason, _ in reasons[:1]):
        name = next(iter(folders), "NAME")
        mend = f". Set data.videos.{name if name != KEPT else 'NAME'} to the folder that the paths begin in"
    return LongVPOError(f"no row of {dataset} can be used: {told}{mend}")


class _Draft(NamedTuple):
    prompt: str
    chosen: str
    rejected: str
    placed: Placed
    span: tuple[float | None, float | None]
    anchor: tuple[float | None, float | None]


def _draft(row: dict[str, Any], columns: PairSection, folders: Mapping[str, Path]) -> _Draft:
    """What a row says, before any video is looked at. Raises LeftOutError."""
    for name, reason in BESIDE.items():
        if name not in (columns.video.split(".")[0], columns.prompt) and not is_empty(row.get(name)):
            raise LeftOutError(reason)
    video = placed(cell(row, columns.video), folders)
    prompt = cell(row, columns.prompt)
    return _Draft(
        question_in(prompt, len(video.frames), columns.chosen == columns.prompt),
        answer_in(cell(row, columns.chosen), "chosen"),
        answer_in(cell(row, columns.rejected), "rejected"),
        video,
        (_seconds(row, columns.start), _seconds(row, columns.end)),
        (_seconds(row, columns.anchor_start), _seconds(row, columns.anchor_end)),
    )


def _seconds(row: dict[str, Any], column: str) -> float | None:
    value = cell(row, column)
    if is_empty(value):
        return None
    try:
        return float(value) if not isinstance(value, bool) else float("nan")
    except (TypeError, ValueError, OverflowError):
        raise LeftOutError("its span is not in seconds", f"{column} is {value!r:.40}") from None


def _look_at(videos: set[Placed], folders: Mapping[str, Path]) -> None:
    """Find how long videos are, several at a time; each says why not when it is asked for."""
    paths = sorted({video_file(folders[one.source], one.video) for one in videos if not one.frames})
    for _ in tqdm(look_at(paths, THREADS), "videos", len(paths), leave=False, disable=None):
        pass


def _row(draft: _Draft, folders: Mapping[str, Path], rate: float, lists: bool) -> dict[str, Any]:
    """A row as training reads it. Raises LeftOutError."""
    video = draft.placed
    length = len(video.frames) / rate if video.frames else _length(folders, video)
    start = draft.span[0] or 0.0
    end = length if draft.span[1] is None else draft.span[1]
    if not 0 <= start < end:
        raise LeftOutError("its span is not in seconds", f"it goes from {start:g} to {end:g}")
    if end > length + SLACK:
        raise LeftOutError("its span ends after its video", f"at {end:g} s, and the video at {length:.1f} s")
    end = min(end, length) if end - length > 0 else end
    parts, anchor = _parts(start, end, *draft.anchor)
    named = {"clip_id": video.video, "source": video.source, "video": video.video}
    more = {"frames": list(video.frames)} if lists else {}
    context = [named | {"start": first, "end": last} | more for first, last in parts]
    return {
        "prompt": draft.prompt,
        "chosen": draft.chosen,
        "rejected": draft.rejected,
        "context": context,
        "anchors": [anchor],
    }


def _parts(start: float, end: float, first: float | None, last: float | None) -> tuple[list[tuple[float, float]], int]:
    """The spans that a video is cut into at its anchor, and the anchor's place among them."""
    if first is None and last is None:
        return [(start, end)], 0
    first, last = start if first is None else first, end if last is None else last
    if not start - SLACK <= first < last <= end + SLACK:
        raise LeftOutError("its anchor is not a span of its video", f"it goes from {first:g} to {last:g}")
    first = start if first - start < SHORTEST else first
    last = end if end - last < SHORTEST else last
    spans = [(start, first), (first, last), (last, end)]
    return [span for span in spans if span[0] < span[1]], int(start < first)


def _length(folders: Mapping[str, Path], video: Placed) -> float:
    try:
        found = extent(video_file(folders[video.source], video.video))
    except VideoError as error:
        raise LeftOutError("its video cannot be read", str(error)) from None
    length = found.header or found.end
    if length > found.end + max(SLACK, found.step):
        raise LeftOutError("its video cannot be read", f"{video.video} is cut short at {found.end:.1f} s")
    return length
