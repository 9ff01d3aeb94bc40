"""The table of questions, true answers and replies in evaluation/replies.md."""

from __future__ import annotations

from typing import NamedTuple

from support.world import TESTS


class Case(NamedTuple):
    question: str
    answers: tuple[str, ...]
    options: tuple[str, ...]
    reply: str
    exact: bool
    contains: bool
    choice: bool | None  # None: there are no options


def _parts(cell: str, between: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(between) if part.strip())


def _read() -> list[Case]:
    lines = (TESTS / "evaluation" / "replies.md").read_text(encoding="utf-8").splitlines()
    found = []
    for line in lines[lines.index("|---|---|---|---|---|---|---|") + 1 :]:
        question, answers, options, reply, *said = (cell.strip() for cell in line.strip("|").split("|"))
        marks = [{"yes": True, "no": False, "": None}[one] for one in said]
        reply = reply.replace(r"\n", "\n")
        found.append(Case(question, _parts(answers, ";"), _parts(options, ","), reply, *marks))
    return found


CASES = _read()
