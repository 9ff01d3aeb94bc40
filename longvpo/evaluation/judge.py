"""A model judges replies: `scoring.judge` is asked whether one gives the true answer.

The rule: doubt is no. A reply counts as wrong where its verdict cannot be read, and how many those are is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longvpo.evaluation.scoring import ExamQuestion
from longvpo.models.journal import Journal
from longvpo.models.text import AnswerVerdict
from longvpo.models.writer import Request, Writer
from longvpo.recipe.prompts import GRADE


@dataclass(frozen=True)
class Mark:
    """Whether a reply counts as right, and what its judge says of that: nothing, where a rule decided."""

    right: bool
    reason: str = ""
    readable: bool = True


def judged(asked: Sequence[ExamQuestion], said: Sequence[str], writer: Writer, journal: Journal) -> list[Mark]:
    """The judge's verdict on the reply to each question. An empty reply is wrong, and nobody is asked."""
    requests = {
        place: Request(
            GRADE.format(question=one.question, answers=" or ".join(one.answers), said=reply), expects=AnswerVerdict
        )
        for place, (one, reply) in enumerate(zip(asked, said, strict=True))
        if reply.strip()
    }
    answers = journal.ask(writer, list(requests.values()), "judge")
    verdicts = {place: _mark(answer.text) for place, answer in zip(requests, answers, strict=True)}
    return [verdicts.get(place, Mark(False, "the reply is empty")) for place in range(len(asked))]


def _mark(text: str) -> Mark:
    verdict = AnswerVerdict.read(text)
    if verdict is None:
        return Mark(False, f"the verdict cannot be read: {text[:200]!r}", readable=False)
    return Mark(verdict.right, verdict.reason)
