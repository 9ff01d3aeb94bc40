"""One question and its answers, however they are written."""

from __future__ import annotations

from typing import Any

import pytest

from longvpo.clips.conversations import LeftOutError, answer_in, question_in


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ("what?", "what?"),
        ("<video>what?", "what?"),
        ("<video>\nwhat?", "what?"),
        ("what?\n<video>", "what?"),
        ("<image>\nwhat?", "what?"),
        ("Look at <video> and say what.", "Look at and say what."),
        ({"role": "user", "content": "<video>what?"}, "what?"),
        ([{"from": "human", "value": "what?"}], "what?"),
        ([{"role": "system", "content": " "}, {"role": "user", "content": "what?"}], "what?"),
        ([{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "what?"}]}], "what?"),
        ('[{"role": "user", "content": "what?"}]', "what?"),
        ('[{"a": 1}] is what?', '[{"a": 1}] is what?'),
        ("a < b <videos>?", "a < b <videos>?"),
        (7, "7"),
        (7.0, "7"),
        (1234567, "1234567"),
        (0.1234567, "0.1234567"),
    ],
)
def test_a_question_loses_the_tag_of_its_video(said: Any, question: str) -> None:
    assert question_in(said, 0, False) == question


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("<video><video>what?", "it shows more than one video"),
        ("<video><image>what?", "it shows more than one video"),
        ("<audio>what?", "it shows more than one video"),
        ("<image><image>what?", "it shows images beside its video"),
        ("<video>", "it asks nothing"),
        (None, "it asks nothing"),
        (float("nan"), "it asks nothing"),
        ("<video>N/A", "it asks nothing"),
        ("null", "it asks nothing"),
        ([], "its prompt is not a text or messages"),
        (["what?"], "its prompt is not a text or messages"),
        (True, "its prompt is not a text or messages"),
        ([{"role": "wizard", "content": "what?"}], "its prompt is not a text or messages"),
        ([{"role": ["user"], "content": "what?"}], "its prompt is not a text or messages"),
        ([{"role": "user", "content": [{"type": "dance"}]}], "its prompt is not a text or messages"),
        ([{"role": "user", "content": {"a": 1}}], "its prompt is not a text or messages"),
        ([{"role": "system", "content": "be kind"}, {"role": "user", "content": "a"}], "it has a system prompt"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "it has several turns"),
        ([{"role": "assistant", "content": "b"}], "it asks nothing"),
        ("half \ud800", "its prompt holds half a character: the text was truncated, or written by UTF-16"),
    ],
)
def test_what_is_no_question_about_one_video(said: Any, reason: str) -> None:
    with pytest.raises(LeftOutError) as error:
        question_in(said, 0, False)
    assert error.value.reason == reason


def test_frames_have_a_tag_each() -> None:
    assert question_in("<image><image>what?", 2, False) == "what?"
    with pytest.raises(LeftOutError, match="images beside"):
        question_in("<image><image><image>what?", 2, False)


def test_question_and_answer_in_one_conversation() -> None:
    turns = [{"role": "user", "content": "<video>what?"}, {"role": "assistant", "content": "a ring"}]
    assert (question_in(turns, 0, True), answer_in(turns, "chosen")) == ("what?", "a ring")
    earlier = [*turns, *turns]
    for read in (lambda: question_in(earlier, 0, True), lambda: answer_in(earlier, "chosen")):
        with pytest.raises(LeftOutError, match="several turns"):
            read()


@pytest.mark.parametrize(
    "said",
    [
        "a ring",
        {"from": "gpt", "value": "a ring"},
        [{"role": "assistant", "content": "a ring"}],
        [{"role": "user", "content": "what?"}, {"role": "assistant", "content": [{"type": "text", "text": "a ring"}]}],
        '{"role": "model", "content": "a ring"}',
    ],
)
def test_an_answer(said: Any) -> None:
    assert answer_in(said, "chosen") == "a ring"


def test_no_answer() -> None:
    for said in ([{"role": "user", "content": "what?"}], {"from": "human", "value": "what?"}):
        with pytest.raises(LeftOutError, match="its chosen holds no answer"):
            answer_in(said, "chosen")
    for said in (None, "None", "NaN", "nan", " null ", "N/A", float("nan")):
        assert answer_in(said, "chosen") == "", "an empty answer is counted where rows are seen to teach nothing"
