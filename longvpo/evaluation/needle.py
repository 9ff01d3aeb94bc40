"""The needle grid: contexts of every number of clips and depth, and what models answer about them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from longvpo.clips.pool import Pool, choose_context, evenly
from longvpo.clips.request import clip_request
from longvpo.clips.rows import Clip, Dropped, Refusal
from longvpo.clips.shortfall import reasons
from longvpo.errors import LongVPOError, VideoError
from longvpo.evaluation.ask import Asked, Exam
from longvpo.evaluation.scoring import NOTHING_TO_CHOOSE, ExamQuestion, read_question, with_options
from longvpo.models.embed import Embedder
from longvpo.recipe.dataset import ContextSection
from longvpo.recipe.evaluation import EvaluateRecipe, ScoringSection
from longvpo.video.frames import ClipFrames


@dataclass(frozen=True)
class Needle(ExamQuestion):
    clips: list[int]  # indices into the pool, the anchor among them
    place: int


def questions_of(
    clips: list[Clip], rows: list[dict[str, Any]], dropped: list[Dropped], scoring: ScoringSection, seed: int
) -> dict[str, ExamQuestion]:
    """The question about each clip, by its id; `dropped` gains the clips without."""
    read: dict[str, ExamQuestion] = {}
    videos = {clip.clip_id: clip.video for clip in clips}
    for clip, row in zip(clips, rows, strict=True):
        try:
            read[clip.clip_id] = read_question(row, clip.video, scoring)
        except VideoError as error:
            dropped.append(Dropped(clip.video, "table", str(error)))
    asked = with_options([*read.values()], [videos[one] for one in read], scoring.options, seed)
    found = dict(zip(read, asked, strict=True))
    without = [one for one, question in found.items() if question.lacks_options]
    dropped += [Dropped(videos[one], "table", f"{videos[one]}: {NOTHING_TO_CHOOSE}") for one in without]
    return {one: question for one, question in found.items() if one not in without}


def make_cells(
    recipe: EvaluateRecipe, pool: Pool, questions: list[ExamQuestion], embedder: Embedder
) -> dict[int, list[list[Needle]]]:
    """Questions and contexts of every cell: number of clips -> depths -> needles.

    Distractors pass the recipe's filters, as in a build. With one clip there is one cell, with as many questions as
    the other numbers have in all their depths.
    """
    vectors = embedder.texts([one.question for one in questions])
    budget = int(pool.frames.sum()) + 1  # never full: else a context of too few clips would pass for whole
    cells: dict[int, list[list[Needle]]] = {}
    for number in recipe.grid.clips:
        depths = np.linspace(0, 1, recipe.grid.depths) if number > 1 else np.zeros(1)
        wanted = recipe.grid.questions * recipe.grid.depths // len(depths)
        cells[number] = []
        for index, depth in enumerate(depths):
            rng = np.random.default_rng([recipe.seed, number, index])
            section = ContextSection(clips=(number,), frame_budget=budget)
            cell: list[Needle] = []
            refused: Counter[str] = Counter()
            anchors = evenly(len(pool.clips), rng)
            for _ in range(10 * wanted):
                anchor = next(anchors)
                context = choose_context(pool, anchor, vectors[anchor], section, recipe.filters, rng)
                if isinstance(context, Refusal):
                    refused[context.filter] += 1
                    continue
                others = [clip for clip in context.clips if clip != anchor]
                place = round(depth * (number - 1))
                clips = [*others[:place], anchor, *others[place:]]
                cell.append(Needle(**vars(questions[anchor]), clips=clips, place=place))
                if len(cell) == wanted:
                    break
            if len(cell) < wanted:
                del refused["frame_budget"]  # too few clips; no filter refused any
                why = f"; refused were {reasons(refused)}" if refused else ""
                raise LongVPOError(
                    f"source {recipe.source.name} gives {len(cell)} of {wanted} contexts of {number} clips{why}: "
                    f"add clips, {'loosen these filters, ' if why else ''}or lower grid.clips"
                )
            cells[number].append(cell)
    return cells


def needles(pool: Pool, cells: dict[int, list[list[Needle]]], frames_of: ClipFrames) -> Exam:
    """The questions of the grid as they are asked, cell by cell."""

    def asked(needle: Needle, number: int, depth: float) -> Asked:
        request = clip_request([pool.clips[clip] for clip in needle.clips], frames_of, needle.prompt)
        where = f"{number} clips, it is number {needle.place + 1}"
        video = pool.clips[needle.clips[needle.place]].sha256
        return Asked(needle, request, "needle", str(number), where, video, number, depth)

    return [
        [asked(needle, number, depth / max(len(row) - 1, 1)) for needle in cell]
        for number, row in cells.items()
        for depth, cell in enumerate(row)
    ]
