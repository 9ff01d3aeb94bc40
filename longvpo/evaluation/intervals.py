"""How far an accuracy, or a change against the base, may be off: 95 % intervals, and McNemar's exact test.

The rule: a change counts where its interval leaves 0 out. Models answer the same questions, so that a change is one of
pairs. Its interval is Newcombe's for paired proportions (Statistics in Medicine 17, 1998, method 10); that of a single
accuracy is Wilson's. Both hold with few questions, and with none or all of them right.

Questions about one video are not independent. Counts are divided by the design effect: how much more the results of
whole videos vary than those of single questions would, and at least 1. In simulations with 60, 15 and 8 videos that
covers the truth in 92 % of cases and more. Questions taken as independent reach 86 to 89 % at middling accuracies, and
a bootstrap over videos 90 to 94 %: it is too narrow where videos or changes are few. McNemar's p takes every question
for independent; it stands beside the interval, and marks nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Z = 1.959963984540054  # of 95 %
Interval = tuple[float, float]


def wilson(right: float, count: float) -> Interval:
    """Wilson's interval of a share."""
    share, size = right / count, 1 + Z**2 / count
    middle = (share + Z**2 / (2 * count)) / size
    half = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2)) / size
    return max(middle - half, 0.0), min(middle + half, 1.0)


def newcombe(both: float, gained: float, lost: float, neither: float) -> Interval:
    """Newcombe's interval of a change, as a share, from how many pairs there are of each kind.

    Args:
        gained: wrong before, right now.
        lost: right before, wrong now.
    """
    count = both + gained + lost + neither
    now, before = (both + gained) / count, (both + lost) / count
    (now_low, now_high), (before_low, before_high) = wilson(both + gained, count), wilson(both + lost, count)
    product = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    agreement = both * neither - gained * lost
    agreement = max(agreement - count / 2, 0.0) if agreement > 0 else agreement  # with Newcombe's correction
    phi = agreement / math.sqrt(product) if product else 0.0

    def distance(one: float, other: float) -> float:
        return math.sqrt(max(one**2 - 2 * phi * one * other + other**2, 0.0))

    change = now - before
    low = change - distance(now - now_low, before_high - before)
    return low, change + distance(before - before_low, now_high - now)


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p of as unequal a split of the changed answers, or more."""
    changed = gained + lost
    tail = sum(math.comb(changed, number) for number in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / 2**changed)


def design_effect(values: np.ndarray, about: Sequence[str]) -> float:
    """The variance of a mean when whole videos are drawn, over that when questions are; at least 1.

    Args:
        values: one a question.
        about: the video of each.
    """
    videos, which = np.unique(about, return_inverse=True)
    off = values - values.mean()
    alone = (off**2).sum() * len(off) / max(len(off) - 1, 1)
    together = (np.bincount(which, weights=off) ** 2).sum() * len(videos) / max(len(videos) - 1, 1)
    return max(1.0, float(together / alone)) if alone else 1.0


def accuracy_interval(right: Sequence[bool], about: Sequence[str]) -> list[float] | None:
    """The interval of an accuracy, in percent; None where all questions are about one video."""
    if len(set(about)) < 2:
        return None
    effect = design_effect(np.asarray(right, float), about)
    return _percent(wilson(sum(right) / effect, len(right) / effect))


def against(base: Sequence[bool], other: Sequence[bool], about: Sequence[str]) -> dict[str, Any]:
    """What changed against the base on the same questions.

    Returns:
        change and interval in points, the latter None where all questions are about one video or two: two models
        that are equally good would seem to differ there too often; gained and lost, how
        many answers became right and wrong; p, McNemar's.
    """
    before, now = np.asarray(base, bool), np.asarray(other, bool)
    counts = [int(kind.sum()) for kind in (before & now, ~before & now, before & ~now, ~before & ~now)]
    interval = None
    if len(set(about)) > 2:
        effect = design_effect(now.astype(float) - before, about)
        interval = _percent(newcombe(*(count / effect for count in counts)))
    _, gained, lost, _ = counts
    return {
        "change": round(100 * (gained - lost) / len(now), 2),
        "interval": interval,
        "gained": gained,
        "lost": lost,
        "p": float(f"{mcnemar(gained, lost):.3g}"),
    }


def _percent(interval: Interval) -> list[float]:
    return [round(100 * one, 2) for one in interval]
