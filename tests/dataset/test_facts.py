"""What a build says of itself."""

from __future__ import annotations

from longvpo.dataset.facts import warnings


def test_length_that_predicts_chosen_is_said() -> None:
    assert warnings("stage1", {"chosen_is_longer": 0.8}, 200) != []
    assert "shorter" in warnings("stage1", {"chosen_is_longer": 0.1}, 200)[0]
    assert warnings("stage1", {"chosen_is_longer": 0.55}, 10_000) == [], "a small bias"
    assert warnings("stage1", {"chosen_is_longer": 0.8}, 10) == [], "ten rows prove nothing"
