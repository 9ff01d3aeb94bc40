"""What a build measured. Cards and figures are made from this alone, and equal builds have equal facts."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from longvpo.assemble import Outcome
from longvpo.pool import Pool
from longvpo.recipe import DatasetRecipe
from longvpo.recipe_file import recipe_hash
from longvpo.triplet import Triplet

# the filters in the order in which they see a row
ROW_FILTERS = ("table",)
CLIP_FILTERS = ("video", "overlap")
TRIPLET_FILTERS = (
    "writer",
    "form",
    "frame_budget",
    "visual_similarity",
    "specificity",
    "empty",
    "refusal",
    "equal",
    "near_equal",
    "length_ratio",
    "near_duplicate",
    "judge",
)
SIGMAS = 3  # by which length must predict chosen before it is called a bias
BIAS = 0.6  # of the rows, at least
FIFTHS = 5


def make_facts(recipe: DatasetRecipe, pool: Pool, outcome: Outcome, rows: int) -> dict[str, Any]:
    """All numbers of a build.

    Args:
        rows: of the sources' tables.
    """
    triplets = outcome.triplets
    lengths = Counter(len(triplet.context) for triplet in triplets)
    anchors = Counter(t.context[t.anchors[0]]["clip_id"] for t in triplets)
    words = answer_words(triplets)
    return {
        "recipe": recipe_hash(recipe),
        "triplets": len(triplets),
        "clips": len(pool.clips),
        "clips_used_as_anchor": len(anchors),
        "times_an_anchor": {"most": max(anchors.values()), "mean": round(len(triplets) / len(pool.clips), 3)},
        "times_a_distractor": _spread([outcome.uses[clip.clip_id] for clip in pool.clips]),
        "anchors_tried": outcome.anchors,
        "funnel": funnel(outcome, rows, len(pool.clips)),
        "dropped": dict(Counter(item.filter for item in outcome.dropped)),
        "distractors_replaced": dict(outcome.replaced),
        "clips_a_context": {str(n): lengths[n] for n in sorted(lengths)},
        "anchor_depth": anchor_depth(triplets),
        "answer_words": words,
        "warnings": warnings(words, len(triplets)),
        "writer": triplets[0].writer,
        "judge": triplets[0].judge,
        "calls": dict(sorted(outcome.counts.items())),
        "prompts": recipe.prompts.model_dump(),
        "sources": [
            {
                "name": source.name,
                "dataset": f"{source.dataset}@{source.revision}" if source.dataset else "",
                "license": source.license,
                "redistribution": source.redistribution,
                "about": source.about,
                "clips": sum(clip.source == source.name for clip in pool.clips),
                "hours": round(sum(c.end - c.start for c in pool.clips if c.source == source.name) / 3600, 3),
            }
            for source in recipe.sources
        ],
    }


def funnel(outcome: Outcome, rows: int, clips: int) -> list[dict[str, Any]]:
    """From rows to triplets: each step with what it dropped and what it left; those that dropped nothing too."""
    dropped = Counter(item.filter for item in outcome.dropped)
    usable = rows - sum(dropped[name] for name in ROW_FILTERS)
    steps = [{"step": "rows", "dropped": 0, "left": rows}]
    steps += [{"step": name, "dropped": dropped[name], "left": usable} for name in ROW_FILTERS]
    seen = clips + sum(dropped[name] for name in CLIP_FILTERS)
    steps.append({"step": "videos opened", "dropped": 0, "left": seen})
    for name in CLIP_FILTERS:
        seen -= dropped[name]
        steps.append({"step": name, "dropped": dropped[name], "left": seen})
    left = outcome.anchors
    steps.append({"step": "anchors tried", "dropped": 0, "left": left})
    for name in TRIPLET_FILTERS:
        left -= dropped[name]
        steps.append({"step": name, "dropped": dropped[name], "left": left})
    return steps


def anchor_depth(triplets: list[Triplet]) -> dict[str, list[float]]:
    """Where in their contexts the anchors stand, from the first fifth to the last.

    Returns:
        observed: rows in each fifth; expected: rows if every place were as likely, which depends on the numbers of
        clips: six places do not fill five fifths evenly.
    """
    observed, expected = np.zeros(FIFTHS), np.zeros(FIFTHS)
    for triplet in triplets:
        fifths = np.arange(len(triplet.context)) * FIFTHS // len(triplet.context)
        observed[fifths[triplet.anchors[0]]] += 1
        expected += np.bincount(fifths, minlength=FIFTHS) / len(fifths)
    return {"observed": observed.tolist(), "expected": expected.round(2).tolist()}


def answer_words(triplets: list[Triplet]) -> dict[str, Any]:
    """Lengths of the answers in words, and how often chosen is the longer one; equal lengths count half."""
    chosen, rejected = (np.array([len(getattr(t, name).split()) for t in triplets]) for name in ("chosen", "rejected"))
    return {
        "chosen": _spread(chosen.tolist()),
        "rejected": _spread(rejected.tolist()),
        "chosen_is_longer": round(float(np.mean((chosen > rejected) + 0.5 * (chosen == rejected))), 4),
    }


def warnings(words: dict[str, Any], triplets: int) -> list[str]:
    """What a user of the data should know before training."""
    share = words["chosen_is_longer"]
    guess = max(share, 1 - share)
    if guess < BIAS or (guess - 0.5) / (0.5 / math.sqrt(triplets)) < SIGMAS:
        return []
    which = "longer" if share > 0.5 else "shorter"
    return [
        f"length alone predicts chosen: it is the {which} answer in {guess:.0%} of the rows. "
        "Training may learn length; lower filters.length_ratio or change the prompts"
    ]


def _spread(values: list[int]) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return {"mean": round(float(np.mean(values)), 3), "p5": float(low), "median": float(middle), "p95": float(high)}
