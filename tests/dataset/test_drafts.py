"""Drafts: what was asked before, and which answers make a pair."""

from __future__ import annotations

import numpy as np
import pytest

from longvpo.dataset.drafts import asked_before, no_pair
from longvpo.recipe.sections import FilterSection


def test_a_question_that_was_asked_before() -> None:
    before = np.array([[1.0, 0.0], [0.0, 1.0]])
    close = np.array([0.98, 0.199])
    refusal = asked_before(close, before, 0.95)
    assert refusal is not None
    assert refusal.score == pytest.approx(0.98)
    assert asked_before(close, before, None) is None
    assert asked_before(close, before[1:], 0.95) is None
    assert asked_before(close, before[:0], 0.95) is None


OFF = FilterSection(answer_threshold=None, refusals=False, length_ratio=None)


@pytest.mark.parametrize(
    ("chosen", "rejected", "similarity", "filter", "score"),
    [
        ("red", "blue", 0.3, None, None),
        ("Red.", "red", 1.0, "equal", 1.0),
        ("red", " ?! ", 0.0, "empty", 0.0),
        ("a red ring", "a red hoop", 0.97, "near_equal", 0.97),
        ("A dog runs.", "I'm sorry, but I cannot see a dog.", 0.2, "refusal", 1.0),
        ("A dog runs.", "The colour of the dog is not visible.", 0.2, "refusal", 1.0),
        ("A dog runs.", "The video doesn't show a dog.", 0.2, "refusal", 1.0),
        ("A dog runs.", "The video shows a dog that sits still.", 0.2, None, None),
        ("one two three four five six seven eight nine", "one two", 0.2, "length_ratio", 4.5),
    ],
)
def test_filters_of_answers(
    chosen: str, rejected: str, similarity: float, filter: str | None, score: float | None
) -> None:
    refusal = no_pair(chosen, rejected, similarity, FilterSection())
    assert (refusal.filter, refusal.score) == (filter, score) if refusal else filter is None
    switched_off = no_pair(chosen, rejected, similarity, OFF)
    assert (switched_off is None) == (filter not in ("equal", "empty")), "equal and empty answers are never a pair"
