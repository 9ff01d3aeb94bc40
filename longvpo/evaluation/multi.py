"""Questions about long videos that need several scenes: a table with one question per row.

Several rows may be about the same video. Accuracy is counted for each value of one of the table's columns, such as the
number of scenes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from longvpo.clips.cells import cell, check_whole, is_empty
from longvpo.clips.request import clip_request
from longvpo.clips.rows import Clip, Dropped
from longvpo.clips.sources import Candidate, open_clip, video_path
from longvpo.clips.tables import read_table
from longvpo.errors import LongVPOError, VideoError
from longvpo.evaluation.ask import Asked, Exam
from longvpo.evaluation.scoring import (
    COLUMNS,
    NOTHING_TO_CHOOSE,
    ExamQuestion,
    read_question,
    with_lists,
    with_options,
)
from longvpo.io.names import check_name
from longvpo.io.private import cut
from longvpo.recipe.evaluation import MultiSection, ScoringSection
from longvpo.video.frames import ClipFrames

PLAIN = ScoringSection()


@dataclass(frozen=True)
class LongQuestion(ExamQuestion):
    group: str
    clip: Clip  # the whole video
    frames: int  # how many are sampled from it


def read_questions(
    section: MultiSection, frames_of: ClipFrames, scoring: ScoringSection = PLAIN, seed: int = 0, decode: bool = True
) -> tuple[list[LongQuestion], list[Dropped]]:
    """The questions of a table, and the rows that say too little or whose video cannot be read.

    Args:
        seed: options are drawn by it.
        decode: every video is decoded, once; else only opened.

    Raises:
        LongVPOError: the source is not a folder of whole videos, its table cannot be read or lacks a column, or no row
            can be used.
    """
    source = section.source
    for name in ("dataset", "scenes", "clips"):
        if getattr(source, name) is not None:
            raise LongVPOError(f"multi.source.{name} is not built: multi.source is a folder of whole videos, all used")
    # nobody reads captions here
    columns = ("question", "answer", section.group)
    rows = read_table(source.model_copy(update={"captions": "writer"}), columns, COLUMNS)
    rows = with_lists(source, rows)
    videos: dict[str, tuple[Clip, int] | VideoError] = {}
    questions: list[LongQuestion] = []
    dropped: list[Dropped] = []
    numbers: list[int] = []  # in the rows with a question
    for number, row in enumerate(tqdm(rows, desc=f"open {source.name}", leave=False)):
        try:
            video, group = _texts(section, row)
            asked = read_question(row, video, scoring)
            if video not in videos:
                videos[video] = _open(section, video, frames_of, decode)
            opened = videos[video]
            if isinstance(opened, VideoError):
                raise opened
            clip, frames = opened
            questions.append(LongQuestion(**vars(asked), group=group, clip=clip, frames=frames))
            numbers.append(number)
        except VideoError as error:
            dropped.append(Dropped(f"{source.name} row {number}", "multi", str(error)))
    questions = with_options(questions, [one.clip.video for one in questions], scoring.options, seed)
    for number, one in zip(numbers, questions, strict=True):
        if one.lacks_options:
            dropped.append(Dropped(f"{source.name} row {number}", "multi", f"{one.clip.video}: {NOTHING_TO_CHOOSE}"))
    questions = [one for one in questions if not one.lacks_options]
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


def _open(section: MultiSection, video: str, frames_of: ClipFrames, decode: bool) -> tuple[Clip, int] | VideoError:
    """A whole video and the number of its frames, or why it cannot be read."""
    try:
        clip = open_clip(section.source, Candidate(video, ""))
        if decode:
            return clip, len(frames_of(clip.reference))
        frames_of.check([clip.reference])
        return clip, frames_of.count(clip.reference)
    except VideoError as error:
        return error


def long_questions(section: MultiSection, questions: list[LongQuestion], frames_of: ClipFrames) -> Exam:
    """The questions as they are asked, all in one part."""

    def asked(one: LongQuestion) -> Asked:
        request = clip_request([one.clip], frames_of, one.prompt)
        where = f"a long video, {section.group} {one.group}"
        return Asked(one, request, "multi", one.group, where, one.clip.sha256, one.frames)

    return [[asked(one) for one in questions]]
