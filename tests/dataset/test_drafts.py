"""Drafts: what was asked before."""

from __future__ import annotations

import numpy as np
import pytest

from longvpo.dataset.drafts import asked_before


def test_a_question_that_was_asked_before() -> None:
    before = np.array([[1.0, 0.0], [0.0, 1.0]])
    close = np.array([0.98, 0.199])
    refusal = asked_before(close, before, 0.95)
    assert refusal is not None
    assert refusal.score == pytest.approx(0.98)
    assert asked_before(close, before, None) is None
    assert asked_before(close, before[1:], 0.95) is None
    assert asked_before(close, before[:0], 0.95) is None
