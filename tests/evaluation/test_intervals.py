"""Intervals against the literature and scipy, and how often they cover the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from longvpo.evaluation.intervals import accuracy_interval, against, independent, mcnemar, newcombe, wilson


@pytest.mark.parametrize(
    ("right", "count", "interval"),
    [  # Newcombe, Statistics in Medicine 17 (1998), 857-872, table I
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_is_that_of_the_literature_and_of_scipy(right: int, count: int, interval: tuple[float, float]) -> None:
    assert wilson(right, count) == pytest.approx(interval, abs=5e-5)
    scipys = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right, count) == pytest.approx((scipys.low, scipys.high))


@pytest.mark.parametrize(
    ("counts", "interval"),
    [  # the first: Newcombe, 17 (1998), 2635-2650; the others: Fagerland, Lydersen and Laake's tables 8.2 and 8.4
        ((36, 12, 2, 0), (0.0569, 0.3404)),
        ((1, 1, 7, 12), (-0.507, -0.026)),
        ((59, 6, 16, 80), (-0.1186, -0.0046)),
    ],
)
def test_the_interval_of_a_change_is_that_of_the_literature(
    counts: tuple[int, ...], interval: tuple[float, float]
) -> None:
    assert newcombe(*counts) == pytest.approx(interval, abs=5e-4)
    both, gained, lost, neither = counts
    low, high = newcombe(both, lost, gained, neither)
    assert (-high, -low) == pytest.approx(newcombe(*counts)), "the other way round it is the same"


def test_mcnemar_is_scipys_binomial_test() -> None:
    for gained, lost in ((1, 7), (6, 16), (0, 0), (5, 5), (0, 5), (40, 12), (1200, 1100)):
        expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        assert mcnemar(gained, lost) == pytest.approx(expected)


def test_nothing_and_everything() -> None:
    videos = [str(number) for number in range(40)]
    assert accuracy_interval([True] * 40, videos) == [90.72, 100.0]
    assert accuracy_interval([False] * 40, videos) == [0.0, 9.28]
    same = against([True] * 40, [True] * 40, videos)
    assert same | {"interval": None} == {"change": 0.0, "interval": None, "gained": 0, "lost": 0, "p": 1.0}
    assert same["interval"][0] < 0 < same["interval"][1]
    all_gained = against([False] * 40, [True] * 40, videos)
    assert all_gained["change"] == 100.0
    assert 80 < all_gained["interval"][0] < all_gained["interval"][1] == 100.0


def test_questions_about_one_video_say_less() -> None:
    """Ten questions a video, all right or all wrong, say as much as one."""
    alone = [str(number) for number in range(40)]
    right = [number < 24 for number in range(40)]
    tenfold, about = [one for one in right for _ in range(10)], [one for one in alone for _ in range(10)]
    assert accuracy_interval(tenfold, about) == pytest.approx(accuracy_interval(right, alone), abs=1.5)
    low, high = accuracy_interval(tenfold, [str(number) for number in range(400)]) or (0, 0)
    assert high - low < 10 < 25 < np.ptp(accuracy_interval(tenfold, about) or [0])
    assert accuracy_interval([True, False, True], ["one"] * 3) is None
    assert against([True, False], [True, True], ["one"] * 2)["interval"] is None
    low, high = against([False] * 20, [True] * 20, ["one", "two"] * 10)["interval"]
    assert low < 0 < high, "two videos: one time in eight by chance"


def test_questions_say_at_most_what_as_many_videos_say() -> None:
    apart, one, half = (np.array(values, float) for values in ([1, 0] * 20, [1] * 40, [0.5] * 40))
    videos = np.arange(40)
    assert independent(apart, videos) == independent(one, videos) == pytest.approx(40 * 0.939, abs=0.1), "t for z"
    assert independent(one, videos // 4) == independent(half, videos // 4)
    few = independent(one, videos // 4)
    assert 10 * 0.75 < few < 40 * 0.75, "all of them alike, or as if there were forty videos: not known"
    assert independent(apart, videos // 4) > 1.5 * few, "these are not alike"


def test_one_video_does_not_speak_for_the_others() -> None:
    """It has 40 of 47 questions. What it says decides the mean, from which it differs least."""
    about = ["long"] * 40 + [str(number) for number in range(7)]
    low, high = accuracy_interval([True] * 40 + [False] * 7, about) or (0, 0)
    assert (low, high) == pytest.approx((50, 50), abs=50)
    assert high - low > 80
    changed = against([False] * 47, [True] * 40 + [False] * 7, about)
    assert changed["interval"][0] < 0 < changed["interval"][1]
    assert changed["p"] < 0.001, "which takes every question for independent"


def test_a_tie_is_half_right_in_the_interval_too() -> None:
    videos = list(range(40))
    low, high = accuracy_interval([0.5] * 40, videos) or (0, 0)
    assert low + high == pytest.approx(100)
    changed = against([0.5] * 40, [1.0] * 20 + [0.5] * 20, videos)
    assert (changed["change"], changed["gained"], changed["lost"]) == (25.0, 20, 0)
    assert changed["interval"][0] < 25 < changed["interval"][1]
    assert against([0.5] * 40, [0.5] * 40, videos)["change"] == 0


@pytest.mark.parametrize("videos", [8, 40])
def test_the_truth_is_covered_where_videos_are_unequal(videos: int) -> None:
    """Of one accuracy, as benchmarks/coverage.py measures it at length; a rule that took the mean of a dominating
    video for that of all covered it in half of the draws."""
    draw, about = np.random.default_rng(11), np.repeat(np.arange(videos), [40] + [1] * (videos - 1))
    found = []
    for _ in range(150):
        alone = draw.beta(0.5 * 0.7 / 0.3, 0.5 * 0.7 / 0.3, size=videos)
        low, high = accuracy_interval(draw.random(len(about)) < alone[about], about)
        found.append(low <= 50 <= high)
    assert np.mean(found) >= 0.92


@pytest.mark.parametrize(("share", "change"), [(0.3, 0.0), (0.5, 0.1), (0.97, 0.0)])
def test_the_truth_is_covered(share: float, change: float) -> None:
    """Two models that agree in part, on 60 videos of five questions, a part of whose difficulty is the video's."""
    draw, videos, each, rounds = np.random.default_rng(3), 60, 5, 300
    about = [str(number // each) for number in range(videos * each)]
    covered = plainly = 0
    for _ in range(rounds):
        shared = draw.normal(size=videos) * 0.5
        own = draw.normal(size=(2, videos)) * 0.4
        rest = draw.normal(size=(3, videos * each)) * np.sqrt((1 - 0.25 - 0.16) / 2)
        latent = [np.repeat(shared + own[model], each) + rest[2] + rest[model] for model in range(2)]
        base, other = latent[0] < norm.ppf(share), latent[1] < norm.ppf(share + change)
        low, high = against(base, other, about)["interval"]
        covered += low <= 100 * change <= high
        low, high = against(base, other, [str(number) for number in range(len(base))])["interval"]
        plainly += low <= 100 * change <= high
    assert covered / rounds >= 0.92
    assert plainly < covered
