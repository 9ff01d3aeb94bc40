"""How often the 95 % intervals of longvpo/evaluation/intervals.py cover the truth, in drawn answers.

    python benchmarks/coverage.py [--json] [--draws 1000]

Videos have 5 or 10 questions each. In other cases they have 60, 30, 20 and so on, by Zipf's law; or one video has 40
and each other one has 1. Their accuracies are drawn from a beta distribution. In it, answers to questions of one video
are alike by `rho`, their intraclass correlation. A change is measured between two models that are equally good. They
share a part of their difficulty with a video. Each case prints one line, for accuracies and for changes. It has the
share of intervals that cover the truth, and the same with every question taken as independent. Half of the mean
interval, in points, is last.
"""

from __future__ import annotations

import argparse
import itertools
import json

import numpy as np
from scipy.stats import norm

from longvpo.evaluation.intervals import accuracy_interval, against

SHAPES = {
    "five each": lambda videos: np.full(videos, 5),
    "ten each": lambda videos: np.full(videos, 10),
    "Zipf": lambda videos: np.maximum(np.round(60 / np.arange(1, videos + 1)), 1).astype(int),
    "one has 40": lambda videos: np.array([40] + [1] * (videos - 1)),
}
VIDEOS = (8, 15, 40, 60)
ACCURACY = tuple(itertools.product((0.5, 0.9, 0.97, 0.99), (0.0, 0.1, 0.3, 0.5)))  # and rho
CHANGE = tuple(itertools.product((0.5, 0.9), ((0.0, 0.3), (0.25, 0.16), (0.4, 0.1))))  # and parts: shared, own


def accuracies(draw: np.random.Generator, about: np.ndarray, share: float, rho: float) -> tuple[list, float]:
    """Answers of one model, and its true accuracy."""
    alone = np.full(about.max() + 1, share)
    if rho:
        alike = (1 - rho) / rho
        alone = draw.beta(share * alike, (1 - share) * alike, size=len(alone))
    return [draw.random(len(about)) < alone[about]], 100 * share


def changes(
    draw: np.random.Generator, about: np.ndarray, share: float, parts: tuple[float, float]
) -> tuple[list, float]:
    """Answers of two models that are equally good."""
    shared, own = parts
    hard = draw.normal(size=about.max() + 1) * shared**0.5
    each = draw.normal(size=(2, about.max() + 1)) * own**0.5
    rest = draw.normal(size=(3, len(about))) * ((1 - shared - own) / 2) ** 0.5
    return [(hard + each[model])[about] + rest[2] + rest[model] < norm.ppf(share) for model in (0, 1)], 0.0


def measured(kind: str, shape: str, videos: int, case: tuple, draws: int) -> dict[str, object]:
    """One line."""
    made, interval = {
        "accuracy": (accuracies, accuracy_interval),
        "change": (changes, lambda *given: against(*given)["interval"]),
    }[kind]
    sizes = SHAPES[shape](videos)
    about = np.repeat(np.arange(videos), sizes)
    draw = np.random.default_rng([videos, len(about), *(int(100 * one) for one in np.hstack(case))])
    covered = plainly = half = 0.0
    for _ in range(draws):
        answers, truth = made(draw, about, *case)
        low, high = interval(*answers, about)
        covered += low <= truth <= high
        half += (high - low) / 2
        low, high = interval(*answers, np.arange(len(about)))
        plainly += low <= truth <= high
    found = {"covered": covered / draws, "as independent": plainly / draws, "half": round(half / draws, 1)}
    return {"of": kind, "videos": videos, "questions": shape, "share": case[0], "alike": case[1], **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--draws", type=int, default=1000)
    given = parser.parse_args()
    for kind, cases in (("accuracy", ACCURACY), ("change", CHANGE)):
        for shape, videos, case in itertools.product(SHAPES, VIDEOS, cases):
            line = measured(kind, shape, videos, case, given.draws)
            print(json.dumps(line) if given.json else "  ".join(map(str, line.values())), flush=True)


if __name__ == "__main__":
    main()
