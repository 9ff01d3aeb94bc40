"""What the base is taught to answer."""

from __future__ import annotations

from longvpo.tiny.world import (
    Thing,
    pair_questions,
    questions,
)


def test_questions_are_answered_by_the_thing() -> None:
    thing = Thing("ring", "red", "sand", "left")
    assert thing.caption == "a red ring moves left in the sand"
    assert questions(thing) == [("what color is the ring?", "red"), ("where is the ring?", "sand")]


def test_questions_about_two_things_name_them_in_order() -> None:
    ring, bar = Thing("ring", "red", "sand", "left"), Thing("bar", "blue", "sea", "up")
    assert pair_questions(ring, bar) == [
        ("what color are the ring and the bar?", "red and blue"),
        ("where are the ring and the bar?", "sand and sea"),
    ]
    assert pair_questions(bar, ring)[0] == ("what color are the bar and the ring?", "blue and red")
