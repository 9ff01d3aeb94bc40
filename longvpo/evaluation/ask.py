"""Questions are asked, answers are compared, and some of the wrong ones are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from longvpo.evaluation.scoring import ExamQuestion
from longvpo.models.journal import Journal
from longvpo.models.writer import Answer, Request, Writer

FAILURES = 5  # wrong answers of a model that are kept
COUNT = ("cut", "empty")  # flaws with which an answer counts here as it is


@dataclass(frozen=True)
class Asked:
    """A question as every model is asked it, and where its answer counts."""

    exam: ExamQuestion
    request: Request
    table: str  # needle or multi
    group: str  # a column of that table: how many clips there are, or what `multi.group` says
    where: str  # the same for people
    video: str  # sha256 of the one that holds the answer
    size: int  # clips of the context; for a long video, its frames
    depth: float = 0  # place of the needle among several clips: from 0, the first place, to 1


Exam = list[list[Asked]]  # those of a part, such as a cell of the grid, are asked together


def ask(writer: Writer, journal: Journal, exam: Exam, name: str) -> list[list[Answer]]:
    """A model's answers, part by part.

    Args:
        name: the model's, for the bar.
    """
    said = []
    with tqdm(total=sum(map(len, exam)), desc=f"ask {name}") as bar:
        for part in exam:
            said.append(journal.ask(writer, [one.request for one in part], f"{part[0].table} {part[0].group}"))
            bar.update(len(part))
    return said


def gallery(wrong: list[tuple[Asked, Answer]]) -> list[dict[str, Any]]:
    """Some wrong answers for a card: the shortest context of each kind that failed, then longer ones."""
    ordered = sorted(wrong, key=lambda one: one[0].size)
    kinds = {asked.where.split(",")[0]: (asked, answer) for asked, answer in reversed(ordered)}  # the shortest stays
    picked = list(kinds.values())[-FAILURES:]
    return [
        {
            "question": asked.exam.question,
            "answer": " or ".join(asked.exam.answers),
            "said": answer.text,
            "where": asked.where,
        }
        for asked, answer in reversed(picked)
    ]
