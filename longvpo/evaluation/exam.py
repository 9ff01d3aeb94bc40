"""What is asked: the questions of a recipe's sources as each model is asked them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from longvpo.clips.pool import make_pool
from longvpo.clips.rows import Clip, Dropped
from longvpo.clips.sources import read_clips
from longvpo.errors import LongVPOError, say
from longvpo.evaluation.ask import Exam
from longvpo.evaluation.multi import LongQuestion, long_questions, read_questions
from longvpo.evaluation.needle import make_cells, needles, questions_of
from longvpo.evaluation.scoring import COLUMNS, ExamQuestion, with_lists
from longvpo.models.embed import Embedder
from longvpo.recipe.evaluation import SCORINGS, EvaluateRecipe, ScoringSection
from longvpo.recipe.sources import SourceSection
from longvpo.video.frames import ClipFrames


def sources_of(recipe: EvaluateRecipe) -> list[SourceSection]:
    """The sources of a recipe."""
    return [recipe.source, *([recipe.multi.source] if recipe.multi else [])]


def check_sources(recipe: EvaluateRecipe) -> None:
    """Raises LongVPOError when two sources have one name."""
    sources = sources_of(recipe)
    if len({source.name for source in sources}) < len(sources):
        raise LongVPOError(f"source and multi.source are both named {recipe.source.name}: rename one")


def read_questions_of_clips(
    recipe: EvaluateRecipe,
) -> tuple[list[Clip], dict[str, ExamQuestion], list[Dropped]]:
    """The clips that have a question, their questions by their ids, and what cannot be used.

    Raises:
        LongVPOError: there are fewer than the grid needs.
    """
    clips, rows, dropped = read_clips(recipe.source, ("question", "answer"), COLUMNS)
    by_id = questions_of(clips, with_lists(recipe.source, rows), dropped, recipe.scoring, recipe.seed)
    clips = [clip for clip in clips if clip.clip_id in by_id]
    if len(clips) < max(recipe.grid.clips):
        others = f"; {len(dropped)} cannot be used, the first: {dropped[0].reason}" if dropped else ""
        raise LongVPOError(
            f"source {recipe.source.name} has {len(clips)} readable clips, and the grid needs "
            f"{max(recipe.grid.clips)}: add clips, or lower grid.clips{others}"
        )
    return clips, by_id, dropped


def say_scored(recipe: EvaluateRecipe, questions: Sequence[ExamQuestion], dropped: list[Dropped]) -> dict[str, int]:
    """Rows by their way of scoring, with the recipe's way also where no row has it. Also warnings, about that and
    about rows that are left out."""
    if dropped:
        first, more = (", the first", "; `dropped` of the results has all") if len(dropped) > 1 else ("", "")
        rows = f"{len(dropped)} of {len(questions) + len(dropped)} rows"
        say(f"warning: {rows} left out{first}: {dropped[0].reason}{more}")
    by, ways = recipe.scoring.by, Counter(one.scoring for one in questions)
    if by != ScoringSection().by and not ways[by]:
        say(f"warning: scoring.by={by} meets no row: each has `options` or `scoring` in its table, which comes first")
    return {way: ways[way] for way in SCORINGS if way == by or ways[way]}


def read_exam(recipe: EvaluateRecipe) -> tuple[Exam, set[str], list[Dropped]]:
    """All questions, the sha256 of the videos that they are about, and what cannot be used.

    Raises:
        LongVPOError: the source has too few clips, or no long video can be asked about.
    """
    clips, by_id, dropped = read_questions_of_clips(recipe)
    frames_of = ClipFrames(recipe.video, {source.name: source.folder for source in sources_of(recipe)})
    questions: list[LongQuestion] = []
    unusable: list[Dropped] = []
    if recipe.multi:
        questions, unusable = read_questions(recipe.multi, frames_of, recipe.scoring, recipe.seed)
    embedder = Embedder(recipe.filters)
    pool, unreadable = make_pool(clips, frames_of, embedder)
    asked = [by_id[clip.clip_id] for clip in pool.clips]
    dropped += [*unreadable, *unusable]
    say_scored(recipe, [*asked, *questions], dropped)
    cells = make_cells(recipe, pool, asked, embedder)
    exam = needles(pool, cells, frames_of)
    if recipe.multi:
        exam += long_questions(recipe.multi, questions, frames_of)
    tested = {clip.sha256 for clip in pool.clips} | {one.clip.sha256 for one in questions}
    return exam, tested, dropped
