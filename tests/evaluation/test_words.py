"""What `exact` and `contains` say of replies: the table in replies.md, and what it has no room for."""

from __future__ import annotations

import pytest
from support.replies import CASES, Case
from support.world import ROOT

from longvpo.evaluation.words import contains, exact, overlap


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.answers[0]}: {case.reply[:40]}")
def test_the_table(case: Case) -> None:
    assert exact(case.reply, case.answers) is case.exact
    assert contains(case.reply, case.answers) is case.contains


def test_the_table_is_long() -> None:
    assert len(CASES) >= 60
    page = (ROOT / "recipes" / "evaluating.md").read_text()
    assert f"[A table of {len(CASES)} replies](../tests/evaluation/replies.md)" in " ".join(page.split())
    assert len([case for case in CASES if len(case.reply.split()) > 5]) >= 20, "sentences, as real models write"


def test_what_is_exact_is_contained() -> None:
    for text in ("red", "red or blue", "not red", "the", "3-4", "red, blue and green", "A", "…"):
        assert exact(text, (text,)) == contains(text, (text,)) is True


@pytest.mark.parametrize(("reply", "right"), [("+", True), (" + ", True), ("-", False), ("", False), ("...", False)])
def test_an_answer_of_signs_alone_is_no_empty_reply(reply: str, right: bool) -> None:
    assert exact(reply, ("+",)) is right
    assert contains(reply, ("+",)) is right


@pytest.mark.parametrize("reply", ["", " ", "...", "\n", "a", "the", "and", ",", "-", "0", "💡", "of" * 10_000])
def test_odd_replies_hold_no_answer(reply: str) -> None:
    assert not contains(reply, ("red", "3", "yes", "no", "red and blue"))


def test_a_sign_is_no_punctuation() -> None:
    assert exact("-5.", ("-5",))
    for said, answer in (("-5", "5"), ("5", "-5")):
        assert not exact(said, (answer,))
        assert not contains(said, (answer,))
    assert exact("- red", ("red",))
    for said in ("**-3**", "$-3$", "−3", "–3", "-3 "):
        assert exact(said, ("-3",))
        assert not exact(said, ("3",))
        assert not contains(f"It is {said}", ("3",))
    assert contains("It went down to -$3 then", ("-3",))
    assert contains("a score of 2–3", ("2-3",))
    for said in (".5", "It is $.5"):
        assert not exact(said, ("5",))
        assert not contains(said, ("5",))
        assert contains(said, ("0.5",))


def test_letters_of_all_scripts_are_read_alike() -> None:
    assert exact("cafe\u0301", ("caf\u00e9",))
    assert exact("“红色”。", ("红色",))
    assert exact("ＲＥＤ！", ("red",))
    assert not exact("लील", ("लाल",))
    assert not contains("रंग लील है", ("ल",)), "marks belong to words"
    assert contains("It is red ❤️.", ("red",))
    assert contains("3️⃣ people", ("3",))


@pytest.mark.parametrize(
    ("reply", "answer", "right"),
    [
        ("red | blue", "red", False),
        ("A. red\nB. blue", "blue", False),
        ("a) red b) blue", "blue", False),
        ("It is vitamin B.", "vitamin A", False),
        ("It is vitamin A.", "vitamin A", True),
        ("red\nred", "red", True),
        ("Final answer\nred", "red", True),
        ("nothing but red", "red", True),
        ("every color but red", "red", False),
        ("They dont wear red", "red", False),
        ("They want red", "red", True),
        ("He walks up to the red door", "red door", True),
        ("over 3 people", "3", False),
        ("one hundred three", "3", False),
        ("3 million", "3", False),
        ("3 million people", "3 million", True),
        ("No doubt, yes.", "yes", True),
        ("**No**, it isn't", "no", True),
    ],
)
def test_what_the_table_has_no_room_for(reply: str, answer: str, right: bool) -> None:
    assert contains(reply, (answer,)) is right


def test_points_in_a_short_form_end_nothing() -> None:
    assert contains("It's the U.S. flag.", ("US",))
    assert contains("It was made in the U.S.", ("U.S.",))
    assert not contains("the U.K. flag", ("US",))


def test_an_answer_that_stands_in_another_may_be_right_with_it() -> None:
    assert overlap("red", "dark red")
    assert overlap("3", "three people")
    assert overlap("The Sea", "a sea")
    assert overlap("A dog.", "A dog runs.")
    assert overlap("+", "+")
    assert not overlap("+", "-")
    assert not overlap("?", "red")
    assert not overlap("red", "blue")
    assert not overlap("red and blue", "blue and red")
