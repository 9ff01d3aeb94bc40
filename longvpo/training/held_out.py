"""Rows that are set aside, to evaluate on while the others are trained on (`data.eval`).

The rule: no video is on both sides. Rows that share a video hang together, through others too, and go to one side as a
whole: none is cut, and none is dropped. Contexts of stage 1 mix the clips of a block, so all rows of a block may hang
together. Where groups are too large for the share, an error says so.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from datasets import Dataset

from longvpo.errors import LongVPOError
from longvpo.recipe.training import TrainRecipe
from longvpo.training.rows import training_rows

NEAR = (0.5, 1.5)  # what is set aside, over what was asked for


def train_and_eval_rows(
    recipe: TrainRecipe, seed: int, left_out: Counter[str] | None = None
) -> tuple[Dataset, Dataset]:
    """The triplets to train on, and those to evaluate on: none, unless the recipe asks for some.

    Those of a split are all its rows of `data.config`; a share is of all rows that would be trained on.

    Raises:
        LongVPOError: what `training_rows` raises, or that share of the rows cannot be set aside.
    """
    data, rows = recipe.data, training_rows(recipe, seed, left_out)
    if data.eval is None:
        return rows, rows.select([])
    if isinstance(data.eval, str):
        if data.eval == data.split:
            raise LongVPOError(f"data.eval: {data.eval} is the split that is trained on: name another, or a share")
        split = data.model_copy(update={"split": data.eval, "mix": ()})
        try:
            return rows, training_rows(recipe.model_copy(update={"data": split}), seed, Counter())
        except LongVPOError as error:
            raise LongVPOError(f"data.eval: {data.eval}: {error}") from error
    aside = set(_drawn(rows["context"][:], data.eval, seed))
    kept = [place for place in range(len(rows)) if place not in aside]
    return rows.select(kept), rows.select(sorted(aside))


def _drawn(contexts: list[list[dict[str, Any]]], share: float, seed: int) -> list[int]:
    """The places of the rows that are set aside: groups at random, as near to the share as they come."""
    groups = linked(contexts)
    wanted, found = max(round(share * len(contexts)), 1), list[int]()
    random.Random(seed).shuffle(groups)
    left = []
    for group in groups:
        if len(found) + len(group) <= wanted:
            found += group
        else:
            left.append(group)
    smallest = min(left, key=len, default=[])
    if smallest and len(found) + len(smallest) - wanted < wanted - len(found):
        found += smallest
    if not NEAR[0] * wanted <= len(found) <= NEAR[1] * wanted or len(found) == len(contexts):
        raise LongVPOError(
            f"data.eval: {share:g} of {len(contexts)} rows cannot be set aside without a video on both sides: "
            f"{max(map(len, groups))} rows hang together by videos that they share. Set data.eval to the name of a "
            "split with rows of other videos, or to null"
        )
    return found


def linked(contexts: list[list[dict[str, Any]]]) -> list[list[int]]:
    """The places of the rows in groups that share no video with each other, in the order of their first rows."""
    above: dict[tuple[str, str], tuple[str, str]] = {}

    def top(video: tuple[str, str]) -> tuple[str, str]:
        while above.setdefault(video, video) != video:
            above[video] = video = above[above[video]]
        return video

    named = [videos_of(context) for context in contexts]
    for first, *others in named:
        for other in others:
            above[top(other)] = top(first)
    groups: dict[tuple[str, str], list[int]] = {}
    for place, (first, *_) in enumerate(named):
        groups.setdefault(top(first), []).append(place)
    return list(groups.values())


def videos_of(context: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Source and name of each clip's video."""
    return [(clip["source"], clip["video"]) for clip in context]


def on_both_sides(rows: Dataset, evals: Dataset) -> int:
    """How many rows of a split show a video that is trained on."""
    known = {video for context in rows["context"][:] for video in videos_of(context)}
    return sum(not known.isdisjoint(videos_of(context)) for context in evals["context"][:])


def told(rows: Dataset, evals: Dataset) -> str:
    """One line on the rows that are set aside."""
    clips = [len(context) for context in evals["context"]]
    seen = on_both_sides(rows, evals)
    line = f"data.eval: {len(evals)} rows of {min(clips)} to {max(clips)} clips to evaluate on, {len(rows)} to train"
    return f"warning: {line}; {seen} of the former show videos that are trained on" if seen else line


def about_evaluation(recipe: TrainRecipe, evals: Dataset, trainer: Any) -> dict[str, Any]:
    """What a run's facts say of its evaluations."""
    state = trainer.state
    entries = [entry for entry in state.log_history if "eval_loss" in entry]
    best = next((entry for entry in reversed(entries) if entry["step"] == state.best_global_step), None)
    return {
        "of": recipe.data.eval,
        "triplets": len(evals),
        "configs": dict(Counter(evals["config"])),
        "clips": [
            min(map(len, evals["context"])),
            max(map(len, evals["context"])),
        ],  # clips of a context, fewest and most
        "times": len(entries),
        "last": entries[-1] if entries else None,
        "best": best,  # by training.metric_for_best_model
        "adapter_of": "best" if trainer.args.load_best_model_at_end and best else "last",
    }
