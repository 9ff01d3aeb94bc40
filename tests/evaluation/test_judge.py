"""A judge's verdicts on replies, asked through the journal."""

from __future__ import annotations

import json
from pathlib import Path

from longvpo.evaluation.judge import Mark, judged
from longvpo.evaluation.scoring import ExamQuestion
from longvpo.models.journal import Journal
from longvpo.models.text import AnswerVerdict
from longvpo.models.writer import Answer, Keep, Request
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


def test_what_a_judge_is_asked() -> None:
    text = GRADE.format(question="What color?", answers="red or crimson", said="It is red.")
    assert "True answer: red or crimson\n" in text
    assert text.endswith('{"reason": "...", "right": true or false}')
