"""A model judges replies: `scoring.judge` is asked whether one gives the true answer.

The rule: doubt is no. A reply counts as wrong where its verdict cannot be read, and how many those are is counted.
Where none can be read, nobody judged: that is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longvpo.errors import LongVPOError, say
from longvpo.evaluation.scoring import ExamQuestion, is_right
from longvpo.models.journal import Journal
from longvpo.models.named import writer_of
from longvpo.models.text import AnswerVerdict
from longvpo.models.writer import Answer, Request, Writer
from longvpo.recipe.evaluation import ScoringSection
from longvpo.recipe.prompts import GRADE

EMPTY = "the reply is empty"


@dataclass(frozen=True)
class Mark:
    """Whether a reply counts as right, and what its judge says of that: nothing, where a rule decided."""

    right: bool
    reason: str = ""
    readable: bool = True


Marks = dict[str, list[Mark]]  # by model, of each question


def marks_of(
    asked: Sequence[ExamQuestion], said: Mapping[str, Sequence[str]], section: ScoringSection, journal: Journal
) -> tuple[Marks, str | None]:
    """Which replies are right, by model, each question scored in its own way; and the judge's name, if one was asked.

    Its verdicts that cannot be read are told on the terminal.

    Raises:
        LongVPOError: none of all its verdicts can be read.
    """
    marks = {
        name: [Mark(is_right(one, reply)) for one, reply in zip(asked, replies, strict=True)]
        for name, replies in said.items()
    }
    places = [place for place, one in enumerate(asked) if one.scoring == "judge"]
    if not places or section.judge is None:
        return marks, None
    writer = writer_of(section.judge)
    for name, replies in said.items():
        verdicts = judged([asked[place] for place in places], [replies[place] for place in places], writer, journal)
        for place, verdict in zip(places, verdicts, strict=True):
            marks[name][place] = verdict
        unread = sum(not verdict.readable for verdict in verdicts)
        if unread:
            say(f"warning: {unread} of {len(verdicts)} verdicts on {name} cannot be read: they count as wrong")
    given = [some[place] for some in marks.values() for place in places if some[place].reason != EMPTY]
    if given and not any(mark.readable for mark in given):
        raise LongVPOError(
            f"the judge {writer.name} gave no verdict on any of {len(given)} replies; the first: {given[0].reason}; "
            "see to its server, or set another scoring.judge"
        )
    return marks, writer.name


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
    verdicts = {place: _mark(answer) for place, answer in zip(requests, answers, strict=True)}
    return [verdicts.get(place, Mark(False, EMPTY)) for place in range(len(asked))]


def _mark(answer: Answer) -> Mark:
    verdict = AnswerVerdict.read(answer.text)
    if verdict is None:
        why = answer.error or repr(answer.text[:200])
        return Mark(False, f"the verdict cannot be read: {why}", readable=False)
    return Mark(verdict.right, verdict.reason)
