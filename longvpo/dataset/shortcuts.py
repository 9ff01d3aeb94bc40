"""Shortcuts: rules that never look at the question, and how often each one tells chosen from rejected.

The rule: a clip or an answer is picked without the question. Half of the picks point at chosen where nothing gives the
answer away. Training may learn a rule that does better or worse, instead of looking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from longvpo.clips.rows import Triplet

FIFTHS = 5
FIFTH_NAMES = ("first", "second", "third", "fourth", "last")
BIAS = 0.05  # distance from a half, at least, and so many errors: less is chance
ERRORS = 3
Size = tuple[int, int]  # width and height of a clip's frames, in pixels


def shortcuts(
    triplets: Sequence[Triplet], sizes: Mapping[str, Size], more: Iterable[dict[str, Any]] = ()
) -> list[Any]:
    """What every rule finds.

    Args:
        sizes: by clip_id, where they are known.
        more: what others found in the texts.

    Returns:
        For each rule: rule; chosen, the share of the rows in which it points at chosen; error, the standard error of a
            share of a half by chance. rows is the number of rows in which the rule decides. Without any, both are
            null.
    """
    rows = [(triplet, *sides(triplet)) for triplet in triplets]
    found = [_of_clips(name, rows, rule) for name, rule in _clip_rules(sizes).items()]
    return [*found, *_of_answers(triplets), *more]


def told(
    rule: str, triplets: Sequence[Triplet], points: Sequence[float], weights: Sequence[float] | None = None
) -> dict[str, Any]:
    """A rule's share of chosen.

    Args:
        triplets: the rows in which it decides.
        points: for each row, 1 where it points at chosen, 0 where it points at rejected.
        weights: weights of the points; None: all are equal.
    """
    if not points:
        return {"rule": rule, "chosen": None, "error": None, "rows": 0}
    share = round(float(np.average(points, weights=weights)), 4)
    return {"rule": rule, "chosen": share, "error": chance(triplets, points, weights), "rows": len(points)}


def chance(triplets: Sequence[Triplet], points: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """The standard error of a share of a half. Rows about one anchor, or of one long video, count together."""
    weight = np.ones(len(points)) if weights is None else np.array(weights)
    groups = groups_of(triplets)
    sums = np.bincount(groups, weights=weight * (np.array(points) - 0.5))
    return round(float(np.sqrt((sums**2).sum()) / weight.sum()), 4)


def groups_of(triplets: Sequence[Triplet]) -> list[int]:
    """A number for each row, the same for those about one anchor (stage 1) or of one long video (stage 2)."""
    names: list[tuple[Any, ...]] = []
    for triplet in triplets:
        clip = triplet.context[triplet.anchors[0] if triplet.stage == 1 else 0]
        names.append((clip["source"], clip["video"], clip["start"] if triplet.stage == 1 else 0))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return [numbers[name] for name in names]


def gives_away(found: Mapping[str, Any]) -> bool:
    """Whether a rule does better or worse than chance; one that was learnt from other rows, only whether better.

    Where answers are in balance, an answer that is right more often in other rows is right less often in these. What
    was learned is then worse than chance, and no use in training.
    """
    share, error = found["chosen"], found["error"]
    if share is None:
        return False
    distance = share - 0.5 if found.get("learnt") else abs(share - 0.5)
    return bool(distance > max(BIAS, ERRORS * error))


def warnings(stage: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a user of the data should know before training."""
    said = []
    for one in filter(gives_away, found):
        which = "chosen" if one["chosen"] > 0.5 else "rejected"
        share, error = max(one["chosen"], 1 - one["chosen"]), one["error"]
        advice = one.get("advice") or "look at facts.json and at the recipe's context, sources and filters"
        said.append(
            f"{stage}: a rule that never looks at the question gives the answer away: the {one['rule']} points at "
            f"the {which} answer in {100 * share:.1f} % ± {100 * error:.1f} of {one['rows']} rows. Training may learn "
            f"that instead of looking; {advice}"
        )
    return said


# -- a clip is picked ------------------------------------------------------------------------------------------------

Rule = Callable[[Triplet], np.ndarray]  # the clips that it picks, of shape (clips,)


def _clip_rules(sizes: Mapping[str, Size]) -> dict[str, Rule]:
    def seconds(triplet: Triplet) -> np.ndarray:
        return np.array([clip["end"] - clip["start"] for clip in triplet.context]).round(2)

    def size(triplet: Triplet) -> list[Any]:
        return [sizes.get(clip["clip_id"]) for clip in triplet.context]

    def shape(triplet: Triplet) -> list[Any]:
        return [round(one[0] / one[1], 2) if one else None for one in size(triplet)]

    rules: dict[str, Rule] = {
        "first clip": lambda triplet: np.arange(len(triplet.context)) == 0,
        "last clip": lambda triplet: np.arange(len(triplet.context)) == len(triplet.context) - 1,
    }
    rules |= {f"clips of the {name} fifth": partial(_fifth, number) for number, name in enumerate(FIFTH_NAMES)}
    return rules | {
        "longest clip": lambda triplet: seconds(triplet) == seconds(triplet).max(),
        "shortest clip": lambda triplet: seconds(triplet) == seconds(triplet).min(),
        "clip of the most common source": lambda triplet: _common([clip["source"] for clip in triplet.context]),
        "clip of the most common shape": lambda triplet: _common(shape(triplet)),
        "clip of the most common size": lambda triplet: _common(size(triplet)),
    }


def _fifth(number: int, triplet: Triplet) -> np.ndarray:
    picked: np.ndarray = fifths(len(triplet.context)) == number
    return picked


def fifths(clips: int) -> np.ndarray:
    """The fifth of the context, from 0, in which each place is."""
    return np.arange(clips) * FIFTHS // clips


def _common(values: list[Any]) -> np.ndarray:
    """The places of the most common value, or of all values that are equally common; none where a value is not
    known."""
    counts = Counter(values)
    return np.array([None not in counts and counts[value] == max(counts.values()) for value in values])


def _of_clips(name: str, rows: Sequence[tuple[Triplet, list[int], list[int]]], rule: Rule) -> dict[str, Any]:
    """How often the picked clips are those that only chosen was written from, and not those of rejected.

    A clip counts the less, the more clips its side has: a pick at random then points at both sides as often.

    Args:
        rows: triplets, each with its `sides`.
    """
    told_of, points, weights = [], [], []
    for triplet, chosen, rejected in rows:
        picked = rule(triplet)
        if chosen and rejected and picked.any():
            # how likely it is that a clip of the picked ones is of each side
            one, other = (picked[side].mean() / picked.sum() for side in (chosen, rejected))
            if one != other:
                told_of.append(triplet)
                points.append(one / (one + other))
                weights.append(one + other)
    return told(name, told_of, points, weights)


def sides(triplet: Triplet) -> tuple[list[int], list[int]]:
    """The places of the clips that only chosen was written from, and of those that rejected was written from."""
    rejected = rejected_places(triplet)
    return [place for place in triplet.anchors if place not in rejected], rejected


def rejected_places(triplet: Triplet) -> list[int]:
    """Places in the context of the clips that rejected was written from; none where it has no other clip."""
    shown = {clip["clip_id"] for clip in triplet.rejected_clips}
    return [place for place, clip in enumerate(triplet.context) if clip["clip_id"] in shown]


# -- an answer is picked ---------------------------------------------------------------------------------------------


def _of_answers(triplets: Sequence[Triplet]) -> Iterator[dict[str, Any]]:
    """The longer answer; the one that was seen more often in the rows before; the one that was right more often."""
    seen, right = Counter[str](), Counter[str]()
    scores: list[tuple[int, int, int]] = []
    for triplet in triplets:
        chosen, rejected = triplet.chosen.strip().lower(), triplet.rejected.strip().lower()
        longer = len(chosen.split()) - len(rejected.split())
        scores.append((longer, seen[chosen] - seen[rejected], right[chosen] - right[rejected]))
        seen.update((chosen, rejected))
        right.update({chosen: 1})
        right.subtract({rejected: 1})
    advice = {"longer answer": "lower filters.length_ratio or change the prompts"}
    names = ("longer answer", "answer seen more often before", "answer right more often before")
    for place, name in enumerate(names):
        found = [
            (triplet, float(score[place] > 0)) for triplet, score in zip(triplets, scores, strict=True) if score[place]
        ]
        result = told(name, [triplet for triplet, _ in found], [point for _, point in found])
        yield result | ({"advice": advice[name]} if name in advice else {})
