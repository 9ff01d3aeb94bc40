"""A judge's verdicts on replies, asked through the journal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from longvpo.errors import LongVPOError
from longvpo.evaluation import judge
from longvpo.evaluation.ask import COUNT
from longvpo.evaluation.judge import Mark, judged, marks_of
from longvpo.evaluation.scoring import ExamQuestion
from longvpo.models.journal import Journal
from longvpo.models.text import AnswerVerdict
from longvpo.models.writer import Answer, Keep, Request
from longvpo.recipe.evaluation import ScoringSection
from longvpo.recipe.prompts import GRADE

ASKED = [ExamQuestion(f"question {number}?", ("red", "crimson"), scoring="judge") for number in range(5)]


class Teacher:
    """Says that what begins with `right` is right; of other replies what they ask for."""

    name = "teacher@1"
    settings: dict[str, object] = {}  # noqa: RUF012

    def batches(self, requests: list[Request]) -> list[list[int]]:
        return [[number] for number in range(len(requests))]

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        for number, (request,) in enumerate(batches):
            assert request.expects is AnswerVerdict
            assert request.temperature == 0
            reply = request.text.partition("\nReply: ")[2].partition("\n")[0]
            verdict = json.dumps({"reason": f"I read {reply}", "right": reply.startswith("right")})
            keep(
                number,
                [Answer({"nonsense": "I will not say", "cut": verdict[:30]}.get(reply, f"```json\n{verdict}```"))],
            )


def test_verdicts(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    replies = ["right {so}", "wrong", "nonsense", " \n", "cut"]
    marks = judged(ASKED, replies, Teacher(), journal)
    assert [mark.right for mark in marks] == [True, False, False, False, False]
    assert [mark.readable for mark in marks] == [True, True, False, True, False]
    assert marks[0] == Mark(True, "I read right {so}")
    assert marks[2].reason == "the verdict cannot be read: 'I will not say'"
    assert marks[3].reason == "the reply is empty"
    assert journal.asked == 4, "nobody is asked of an empty reply"
    assert judged(ASKED, replies, Teacher(), Journal(tmp_path)) == marks
    again = Journal(tmp_path)
    judged(ASKED, replies, Teacher(), again)
    assert again.asked == 0


class Refusing(Teacher):
    """A server that refuses, but for one reply: it says why, and no verdict."""

    def __init__(self, section: object = None, judges: str = "nothing") -> None:
        self.judges = judges

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        for number, (request,) in enumerate(batches):
            said = '{"reason": "so", "right": true}' if f"Reply: {self.judges}\n" in request.text else ""
            keep(number, [Answer(said, error="" if said else "it answered 403: no credit is left")])


def test_a_server_that_refuses_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = "the verdict cannot be read: it answered 403: no credit is left"
    assert judged(ASKED[:1], ["red"], Refusing(), Journal(tmp_path)) == [Mark(False, why, readable=False)]
    section = ScoringSection.model_validate({"by": "judge", "judge": {"model": "tiny"}})
    said = {"base": ["red", " "], "it": ["red", "blue"]}
    monkeypatch.setattr(judge, "writer_of", Refusing)
    with pytest.raises(
        LongVPOError, match=f"^the judge teacher@1 gave no verdict on any of 3 replies; the first: {why};"
    ):
        marks_of(ASKED[:2], said, section, Journal(tmp_path / "none", flaws=COUNT))
    monkeypatch.setattr(judge, "writer_of", lambda section: Refusing(section, judges="red"))
    marks, _ = marks_of(ASKED[:2], said, section, Journal(tmp_path / "one", flaws=COUNT))
    assert [mark.readable for mark in marks["it"]] == [True, False], "one verdict of all is enough"
    empty, _ = marks_of(ASKED[:1], {"base": [""]}, section, Journal(tmp_path / "empty"))
    assert empty["base"] == [Mark(False, "the reply is empty")], "nobody was asked"


def test_what_a_judge_is_asked() -> None:
    text = GRADE.format(question="What color?", answers="red or crimson", said="It is red.")
    assert "True answer: red or crimson\n" in text
    assert text.endswith('{"reason": "...", "right": true or false}')
