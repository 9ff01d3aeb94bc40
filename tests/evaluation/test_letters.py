"""Which option a reply names."""

from __future__ import annotations

import time

import pytest
from support.replies import CASES, Case

from longvpo.evaluation.letters import option_of

OPTIONS = ("red", "blue", "sand", "green")


@pytest.mark.parametrize("case", [one for one in CASES if one.options], ids=lambda case: case.reply[:60])
def test_the_table(case: Case) -> None:
    place = option_of(case.reply, case.options)
    assert (place is not None and case.options[place] in case.answers) is case.choice


FORMS = r"""
{} | {}. | ({}) | [{}] | **{}** | **{}.** | `{}` | "{}" | {}) | {}: | Option {} | option {}. | The answer is {}
Answer: {} | **Answer:** {} | The correct choice is: **{}** | The best answer is ({}). | My answer would be {}.
I would choose {}. | So it must be {}! | Final answer\n{} | {}\n\nBecause it is so. | The correct option is\n\n{}
答案：{} | $\boxed{{{}}}$ | The answer to this question is {}.
It's {}, I think. | I'd go with {}, as the ring is there. | {} is correct.
"""
SMALL = "{} | {}. | ({}) | {}) | {}) because | Answer: {} | the answer is {}. | option {} | (answer: {})"


def forms(text: str) -> list[str]:
    return [one.strip().replace(r"\n", "\n") for line in text.strip().splitlines() for one in line.split("|")]


@pytest.mark.parametrize("form", forms(FORMS))
def test_a_letter_in_many_forms(form: str) -> None:
    for place, letter in enumerate("ABCD"):
        assert option_of(form.format(letter), OPTIONS) == place
        assert option_of(form.format(letter) + f" {'BCDA'[place]}", OPTIONS) is None, "two letters"


@pytest.mark.parametrize("form", forms(SMALL))
def test_a_small_letter(form: str) -> None:
    for place, letter in enumerate("abcd"):
        assert option_of(form.format(letter), OPTIONS) == place


@pytest.mark.parametrize(
    ("reply", "place"),
    [
        ("a man walks a dog", None),
        ("A man walks", None),
        ("A 3-year-old", None),
        ("The answer is a man.", None),
        ("I think that it is sand", 2),
        ("Vitamin D", 3),
        ("DNA", None),
        ("E", None),
        ("the letter is E", None),
        ("It's a D-shaped ring", None),
        ("e.g. c", None),
        ("I ruled out A, B and D.", None),
        ("I would rule out A and B, so C", 2),
        ("The answer is C. Options A and B are incorrect, and D does not fit either.", 2),
        ("C. A, B and D are not seen.", 2),
        ("B, not A or C.", 1),
        ("It's not A, B is right.", 1),
        ("A and B are right.", None),
        ("Option A isn't right, option B is.", 1),
        ("Both B and C are shown", None),
        ("The answer cannot be A.", None),
        ("Not A.", None),
        ("Answer: B\n\nExplanation: it is blue, not red as option A suggests.", 1),
        ("**B**\n\n**Reasoning:** option A is what is seen first.", 1),
        ("b\nExplanation: A was ruled out", 1),
        ("Explanation: A is seen first, then B.\nAnswer: C", 2),
        ("A\nExplanation: so the answer is B", 1),
        ("A or B\nExplanation: both are seen", None),
        ("The ring is blue at first. The answer is sand", 2),
        ("The answer is clear: I see the sand", 2),
        ("Blue. The answer is sand or green", None),
        ("Not A, but B.", 1),
        ("Cannot be A or B. Neither D. C", 2),
        ("C. The ring is green in the first frames, and sand at the end.", 2),
        ("C. green", None),
        ("(C) sand", 2),
        ("Sand.", 2),
        ("sand or green", None),
        ("A Toyota is parked", None),
        ("At 10 A.M. it is B.", 1),
        ("U.S.A.", None),
        ("B.C.", None),
        ("B.blue", 1),
        ("A Because it is so", 0),
        ("A The ring is red", 0),
        ("A and C can be eliminated. B", 1),
    ],
)
def test_letters_and_words(reply: str, place: int | None) -> None:
    assert option_of(reply, OPTIONS) == place


def test_odd_replies_are_read_at_once() -> None:
    for odd in ("A, ", "A and ", "A ", "(", "not ", "answer to ", "answer to the ", "(A) ", "* ", " "):
        started = time.process_time()
        assert option_of(odd * 1000, OPTIONS) in (None, 0)
        assert time.process_time() - started < 1


def test_options_that_are_numbers_with_signs() -> None:
    assert [option_of(one, ("-5", "5", "+")) for one in ("5", "-5", "+", "B", "")] == [1, 0, 2, 1, None]


@pytest.mark.parametrize(
    ("reply", "options", "place"),
    [
        ("A. -3", ("-3", "3"), 0),
        ("A. 3", ("-3", "3"), None),
        ("**-3**", ("3", "-3"), 1),
        ("A. vitamin B", ("vitamin A", "vitamin B"), None),
        ("The answer is A. vitamin B", ("vitamin A", "vitamin B"), None),
        ("B. vitamin B", ("vitamin A", "vitamin B"), 1),
        ("Vitamin B12", ("vitamin B", "vitamin B12"), 1),
        ("A. B", ("B", "A"), 0),
        ("A. B", ("A", "B"), None),
        ("It is at 10 P.M.", ("10 A.M.", "10 P.M."), 1),
        ("A dog runs in the yard.", ("A dog.", "A dog runs."), 1),
    ],
)
def test_options_that_hold_letters_and_signs(reply: str, options: tuple[str, ...], place: int | None) -> None:
    assert option_of(reply, options) == place


def test_letters_end_where_options_do() -> None:
    assert option_of("C", ("red", "blue")) is None
    assert option_of("H", tuple("stuvwxyz")) == 7
    assert option_of("B", ("B", "A")) == 1, "a lone letter is the letter, also where an option says it"
