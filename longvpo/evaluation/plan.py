"""What an evaluation would ask, without decoding a frame or loading a model; nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from longvpo.clips.rows import Dropped
from longvpo.errors import LongVPOError
from longvpo.evaluation.adapters import find_adapters
from longvpo.evaluation.exam import check_sources, read_questions_of_clips, say_scored, sources_of
from longvpo.evaluation.multi import read_questions
from longvpo.evaluation.preference import read_held_out
from longvpo.evaluation.scoring import ExamQuestion
from longvpo.io.home import at_home, split
from longvpo.models.batches import FRAMES
from longvpo.models.counting import video_row
from longvpo.models.load import check_id, check_model, load_processor
from longvpo.models.memory import gigabytes, question_memory, skeleton_of
from longvpo.models.named import check_writer, refusals
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import recipe_hash
from longvpo.video.frames import ClipFrames


def plan_evaluation(recipe: EvaluateRecipe, adapters: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What would be asked of whom.

    Args:
        adapters: as evaluate takes them. Those on the Hub are not fetched.

    Raises:
        LongVPOError: a table, a dataset of triplets or an adapter in a folder cannot be used, or too few clips are
            there.
    """
    check_sources(recipe)
    given = adapters or {}
    here = {name: one for name, one in given.items() if Path(at_home(one)).is_dir()}
    found = find_adapters(recipe.base, here)
    for name in given.keys() - here.keys():
        check_id(split(given[name])[0])
    judge = recipe.scoring.judge
    judged = {}
    if judge:
        judged = {"judge": f"{judge.model}@{judge.revision}", "judge_is": _told(check_writer, judge, False)}
    base = _told(check_model, recipe.base)
    refused = refusals([(recipe.base.model, lambda: check_model(recipe.base))])
    if judge:
        refused += refusals([(judge.model, lambda: check_writer(judge, False))])
    frames_of = ClipFrames(recipe.video, {source.name: source.folder for source in sources_of(recipe)})
    grid, dropped = recipe.grid, list[Dropped]()
    questions: dict[str, Any] = {"needle": {str(number): grid.depths * grid.questions for number in grid.clips}}
    longest = [recipe.video.max_frames] * max(grid.clips)
    sizes = [(0, 0)]  # size of frames: height and width
    told: list[ExamQuestion] = []
    if recipe.source.dataset is None:  # else its videos would be fetched
        clips, by_id, dropped = read_questions_of_clips(recipe)
        longest = sorted((frames_of.count(clip.reference) for clip in clips), reverse=True)
        sizes = [frames_of.size(clip.reference) for clip in clips]
        told = [*by_id.values()]
    frames: dict[str, Any] = {"needle": {str(number): sum(longest[:number]) for number in grid.clips}}
    if recipe.multi:
        asked, unusable = read_questions(recipe.multi, frames_of, recipe.scoring, decode=False)
        questions["multi"] = dict(Counter(one.group for one in asked))
        frames["multi"] = max(one.frames for one in asked)
        sizes += [frames_of.size(one.clip.reference) for one in asked]
        told += asked
        dropped = [*dropped, *unusable]
    if recipe.triplets and not Path(recipe.triplets.dataset).exists():
        questions["triplets"] = "on the Hub, not fetched"
    elif recipe.triplets:
        held = read_held_out(recipe, recipe.triplets)
        counts = [sum(held.frames_of.count(clip) for clip in row["context"]) for row in held.rows]
        questions["triplets"] = dict(Counter(held.configs))
        frames["triplets"] = min(max(counts), recipe.triplets.frame_budget or max(counts))
    most = max(*frames["needle"].values(), *(count for name, count in frames.items() if name != "needle"), 0)
    height, width = max(sizes, key=lambda size: size[0] * size[1])
    return {
        "recipe": recipe.name,
        "hash": recipe_hash(recipe),
        "base": f"{recipe.base.model}@{recipe.base.revision}",
        "base_is": base,
        "quantization": recipe.base.quantization,
        "scoring": recipe.scoring.by if recipe.source.dataset else say_scored(recipe, told, dropped),
        **judged,
        "adapters": {name: found[name].weights[:12] if name in found else "on the Hub, not fetched" for name in given},
        "models": 1 + len(given),
        "questions": questions,  # per model
        "frames_longest": frames,  # at most
        "dropped": len(dropped),
        "batch_size": recipe.batch_size,
        "max_new_tokens": recipe.max_new_tokens,
        "refused": refused,
    } | _memory(recipe, most, (width, height), max((one.prompt for one in told), key=len, default=""))


def _memory(recipe: EvaluateRecipe, frames: int, size: tuple[int, int], prompt: str) -> dict[str, Any]:
    """Tokens of the longest question, how many questions are answered together, and their memory in GB of 10^9 bytes.
    Where an estimate is missing, `memory` is a sentence that says why."""
    if not all(size):
        return {"memory": "not estimated: the videos of a dataset are not fetched"}
    try:
        processor, skeleton = load_processor(recipe.base), skeleton_of(recipe.base)
    except LongVPOError as error:
        return {"memory": f"not estimated: {error}"}
    row = video_row(processor, frames, size, recipe.video.fps, prompt)
    together = max(min(recipe.batch_size, recipe.batch_size * FRAMES // frames), 1)
    parts = question_memory(skeleton, recipe.base, together * row.tokens, together * row.pixels)
    return {
        "tokens_longest": row.tokens,
        "answered_together": together,
        "memory_gb_estimate": {part: gigabytes(count) for part, count in parts.items()},
    }


def _told(check: Callable[..., None], *given: Any) -> str:
    """What is found of a model; a plan may be made where it is not."""
    try:
        check(*given)
    except LongVPOError as error:
        return str(error)
    return "can be loaded"
