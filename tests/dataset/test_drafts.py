"""Drafts: what was asked before, and which answers make a pair."""

from __future__ import annotations

import numpy as np
import pytest

from longvpo.dataset.drafts import Asked, Balance, asked_before, no_pair
from longvpo.dataset.stage1.blocks import Cue
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


def test_questions_that_are_far_from_all_before_are_let_in_together() -> None:
    rng = np.random.default_rng(0)
    questions = rng.normal(size=(600, 32)).astype(np.float32)
    questions[1::4] = questions[::4] + 0.1 * questions[2::4]  # near ones, in one batch and in another
    questions[300::8] = questions[:300:8]
    questions /= np.linalg.norm(questions, axis=1, keepdims=True)
    asked, let_in, refused = Asked(), np.zeros((0, 32), np.float32), 0
    for batch in np.split(questions, 12):
        for question, far in zip(batch, asked.far(batch, 0.95), strict=True):
            expected = asked_before(question, let_in, 0.95)
            assert asked.before(question, 0.95, far) == expected
            refused += expected is not None
            if expected is None:
                asked.add(question)
                let_in = np.concatenate([let_in, question[None]])
    assert 100 < refused < 250
    assert asked.far(batch, None) == [0] * len(batch)


OFF = FilterSection(answer_threshold=None, refusals=False, length_ratio=None)


@pytest.mark.parametrize(
    ("chosen", "rejected", "similarity", "filter", "score"),
    [
        ("red", "blue", 0.3, None, None),
        ("Red.", "red", 1.0, "equal", 1.0),
        ("red", " ?! ", 0.0, "empty", 0.0),
        ("A red ring.", "the red ring", 0.97, "near_equal", 0.97),
        ("a red ring", "a red hoop", 0.97, None, None),
        ("The onions after the garlic.", "The garlic after the onions.", 0.996, None, None),
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
    judged = no_pair(chosen, rejected, similarity, FilterSection(), judged=True)
    assert judged == (None if filter == "near_equal" else refusal), "a judge decides later what means the same"
    switched_off = no_pair(chosen, rejected, similarity, OFF)
    assert (switched_off is None) == (filter not in ("equal", "empty")), "equal and empty answers are never a pair"


def test_answers_that_are_right_too_often_are_refused_until_the_other_side_catches_up() -> None:
    balance, let_in = Balance(), []
    for number in range(400):
        draft = Cue(number, 0, 0, chosen="Yes.", rejected="No.")
        if balance.refusal(draft) is None:
            balance.add(draft)
            let_in.append(number)
    assert len(let_in) == 3, "2 and the square root of 3 ahead"
    said = balance.refusal(Cue(0, 0, 0, chosen="yes", rejected="a ring"))
    assert said is not None
    assert said.filter == "balance"
    assert said.reason == "'yes' is right in 3 rows and wrong in 0: the answer alone would tell"
    assert balance.refusal(Cue(0, 0, 0, chosen="no", rejected="yes")) is None, "the other way round"
    assert balance.refusal(Cue(0, 0, 0, chosen="a disc", rejected="No!")) is not None
    for number in range(100):  # of its own in every row
        draft = Cue(number, 0, 0, chosen=f"a red ring, {number}", rejected=f"a bar, {number}")
        assert balance.refusal(draft) is None
        balance.add(draft)


def test_what_chance_does_is_not_refused() -> None:
    refused, rng = 0, np.random.default_rng(0)
    balance = Balance()
    for _ in range(3000):
        chosen, rejected = rng.choice(14, 2, replace=False)
        draft = Cue(0, 0, 0, chosen=f"{chosen}", rejected=f"{rejected}")
        if balance.refusal(draft):
            refused += 1
        else:
            balance.add(draft)
    assert refused < 0.1 * 3000
