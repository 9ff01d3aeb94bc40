"""Questions about whole long videos whose answers lie in several scenes: a table with a question a row.

Several rows may be about the same video. Accuracy is counted for each value of one of the table's columns, such as the
number of scenes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import Any

from tqdm import tqdm

from longvpo.clips.cells import cell, check_whole, is_empty, question_of
from longvpo.clips.rows import Clip, Dropped
from longvpo.clips.sources import Candidate, open_clip, video_path
from longvpo.clips.tables import read_table
from longvpo.errors import LongVPOError, VideoError
from longvpo.evaluation.ask import ask, failure
from longvpo.evaluation.scoring import ExamQuestion, is_right
from longvpo.io.names import check_name
from longvpo.io.private import cut
from longvpo.models.writer import Request
from longvpo.recipe.evaluation import EvaluateRecipe, MultiSection
from longvpo.video.frames import ClipFrames
from longvpo.video.joined import shown


@dataclass(frozen=True)
class LongQuestion(ExamQuestion):
    group: str
    clip: Clip  # the whole video
    frames: int  # how many are sampled from it


def read_questions(section: MultiSection, frames_of: ClipFrames) -> tuple[list[LongQuestion], list[Dropped]]:
    """The questions of a table, and the rows that say too little or whose video cannot be read.

    Every video is opened and decoded once.

    Raises:
        LongVPOError: the source is not a folder of whole videos, its table cannot be read or lacks a column, or no row
            can be used.
    """
    source = section.source
    for name in ("dataset", "scenes", "clips"):
        if getattr(source, name) is not None:
            raise LongVPOError(f"multi.source.{name} is not built: multi.source is a folder of whole videos, all used")
    # nobody reads captions here
    rows = read_table(source.model_copy(update={"captions": "writer"}), ("question", "answer", section.group))
    videos: dict[str, tuple[Clip, int] | VideoError] = {}
    questions, dropped = [], []
    for number, row in enumerate(tqdm(rows, desc=f"open {source.name}", leave=False)):
        try:
            video, group = _texts(section, row)
            question, answers = question_of(row, video)
            if video not in videos:
                videos[video] = _open(section, video, frames_of)
            opened = videos[video]
            if isinstance(opened, VideoError):
                raise opened
            questions.append(LongQuestion(question, answers, group, *opened))
        except VideoError as error:
            dropped.append(Dropped(f"{source.name} row {number}", "multi", str(error)))
    if not questions:
        raise LongVPOError(
            f"source {source.name}: none of its {len(rows)} questions can be used, the first: {dropped[0].reason}"
        )
    return questions, dropped


def _texts(section: MultiSection, row: dict[str, Any]) -> tuple[str, str]:
    """Video and group of a row. Raises VideoError when one is missing or damaged."""
    column = section.source.columns.video
    video, group = video_path(section.source, cell(row, column), "it").strip(), cell(row, section.group)
    if is_empty(group):
        raise VideoError(f"{cut(video)} has no {section.group}")
    group = str(group).strip()
    check_whole(column, video)
    check_whole(section.group, group)
    check_name(video, column)
    return video, group


def _open(section: MultiSection, video: str, frames_of: ClipFrames) -> tuple[Clip, int] | VideoError:
    """A whole video and the number of its frames, or why it cannot be read."""
    try:
        clip = open_clip(section.source, Candidate(video, ""))
        return clip, len(frames_of(clip.reference))
    except VideoError as error:
        return error


def accuracy(questions: list[LongQuestion], right: list[bool]) -> dict[str, float]:
    """Percent of right answers in each group; groups that are numbers come in their order."""
    groups: dict[str, list[bool]] = defaultdict(list)
    for question, good in zip(questions, right, strict=True):
        groups[question.group].append(good)
    return {group: round(100 * sum(groups[group]) / len(groups[group]), 1) for group in sorted(groups, key=_order)}


def _order(group: str) -> tuple[float, str]:
    try:
        return float(group), group
    except ValueError:
        return math.inf, group


def _request(asked: LongQuestion, frames_of: ClipFrames) -> Request:
    told = shown([(asked.clip.start, asked.clip.end)], [asked.frames])
    frames = partial(frames_of, asked.clip.reference)
    return Request(asked.question, times=told.times, seconds=told.seconds, frames=frames)


def run_multi(
    model: Any,
    processor: Any,
    recipe: EvaluateRecipe,
    questions: list[LongQuestion],
    frames_of: ClipFrames,
    name: str,
    wrong: list[dict[str, Any]],
) -> dict[str, float]:
    """Accuracy of one model, in percent, about the long videos of every group; wrong answers are added to `wrong`."""
    requests = [_request(one, frames_of) for one in questions]
    with tqdm(total=len(requests), desc=f"long videos, {name}") as bar:
        said = ask(model, processor, recipe, requests, bar)
    right = [is_right(one, text) for text, one in zip(said, questions, strict=True)]
    wrong += [
        failure(one, text, one.frames, f"a long video, {recipe.multi.group} {one.group}")
        for text, one, good in zip(said, questions, right, strict=True)
        if not good and recipe.multi
    ]
    return accuracy(questions, right)
