"""What the answers of an exam come to: accuracy by table and group, and each answer as a line."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from longvpo.evaluation.ask import Asked, gallery
from longvpo.evaluation.intervals import accuracy_interval, against
from longvpo.evaluation.judge import Marks
from longvpo.evaluation.scoring import CHOOSE, chance
from longvpo.io.private import cut
from longvpo.models.text import AnswerVerdict
from longvpo.models.writer import Answer
from longvpo.recipe.evaluation import SCORINGS, ScoringSection
from longvpo.recipe.prompts import GRADE

Grid = dict[str, list[float]]  # accuracy in percent: clips -> depths, first place to last; one value for one clip


def tables(asked: list[Asked], right: dict[str, list[bool]]) -> dict[str, Any]:
    """Accuracies in percent, and how many questions they count.

    Args:
        right: whether each of the questions was answered right, by model.
    """
    grids = {name: grid(asked, marks) for name, marks in right.items()}
    needle = {name: {number: float(np.mean(row)) for number, row in one.items()} for name, one in grids.items()}
    cells = Counter((one.group, one.depth) for one in asked if one.table == "needle")
    questions: dict[str, list[int]] = defaultdict(list)
    for (number, _), count in cells.items():
        questions[number].append(count)
    frames: dict[str, int] = defaultdict(int)  # frames of the longest context
    for one in asked:
        if one.table == "needle":
            frames[one.group] = max(frames[one.group], one.request.count)
    found: dict[str, Any] = {
        "needle": {name: {number: round(value, 1) for number, value in row.items()} for name, row in needle.items()},
        "grid": {
            name: {number: [round(value, 1) for value in row] for number, row in one.items()}
            for name, one in grids.items()
        },
        "questions": dict(questions),
        "frames": dict(frames),
    }
    multi = _counted(asked, right, GROUPS["multi"])
    if multi["questions"]:
        found |= {"multi": multi["accuracy"], "multi_questions": multi["questions"]}
    found |= {name: _counted(asked, right, GROUPS[name]) for name in ("places", "tasks")}
    return found | ({"retention": retention(needle, sum(questions["1"]))} if "1" in questions else {})


# the name of a question's group in each table; none where it is not in that
GROUPS: dict[str, Callable[[Asked], str]] = {
    "needle": lambda one: one.group if one.table == "needle" else "",
    "multi": lambda one: one.group if one.table == "multi" else "",
    "places": lambda one: _place(one),
    "tasks": lambda one: one.exam.task,
}


def evidence(asked: list[Asked], right: dict[str, list[bool]]) -> dict[str, Any]:
    """How far accuracies may be off, and what changed against the base, by table, model and group (intervals.py)."""
    intervals: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for table, name_of in GROUPS.items():
        groups: dict[str, list[int]] = defaultdict(list)
        for place, one in enumerate(asked):
            groups[name_of(one)].append(place)
        groups.pop("", None)
        ordered = [
            (group, groups[group], [asked[n].video for n in groups[group]]) for group in sorted(groups, key=_order)
        ]
        if not ordered:
            continue
        intervals[table] = {
            name: {group: accuracy_interval([marks[n] for n in places], about) for group, places, about in ordered}
            for name, marks in right.items()
        }
        changes[table] = {
            name: {
                group: against([right["base"][n] for n in places], [marks[n] for n in places], about)
                for group, places, about in ordered
            }
            for name, marks in right.items()
            if name != "base"
        }
    return {"intervals": intervals, "against_base": changes}


def scored(asked: list[Asked], marks: Marks, section: ScoringSection, judge: str | None) -> dict[str, Any]:
    """How answers were scored.

    Args:
        judge: the judge's name, where one was asked.

    Returns:
        scoring: by, the number of questions scored in each way; suffix; letters. judge: model, prompt, schema of its
        verdicts, and for each model the number of verdicts that could not be read, which count as wrong. chance: the
        accuracy of guessing, in percent, where all questions have options; chances: the same by table and group.
    """
    ways = Counter(one.exam.scoring for one in asked)
    found: dict[str, Any] = {"by": {way: ways[way] for way in SCORINGS if ways[way]}, "suffix": section.suffix}
    if ways["choice"]:
        found |= {"letters": section.letters, "choose": CHOOSE}
    if judge:
        unreadable = {name: sum(not mark.readable for mark in some) for name, some in marks.items()}
        found["judge"] = {"model": cut(judge), "prompt": GRADE, "schema": AnswerVerdict.as_schema()}
        found["judge"]["unreadable"] = unreadable
    whole = _chances(asked, lambda _: "all")
    tables = {table: by for table, name_of in GROUPS.items() if (by := _chances(asked, name_of))}
    return {"scoring": found} | ({"chance": whole["all"]} if whole else {}) | ({"chances": tables} if tables else {})


def _chances(asked: list[Asked], name_of: Callable[[Asked], str]) -> dict[str, float]:
    """The accuracy of guessing, in percent, in each group of which all questions have options."""
    shares: dict[str, list[float | None]] = defaultdict(list)
    for one in asked:
        shares[name_of(one)].append(chance(one.exam))
    shares.pop("", None)
    known = {group: [one for one in shares[group] if one is not None] for group in sorted(shares, key=_order)}
    return {
        group: round(100 * sum(some) / len(some), 1)
        for group, some in known.items()
        if len(some) == len(shares[group])
    }


def retention(needle: dict[str, dict[str, float]], questions: int) -> dict[str, dict[str, float]]:
    """What is left of the base's accuracy on one clip, the cell of the grid that needs no long video, by adapter.

    Args:
        needle: accuracies, not rounded.
    """
    base = needle["base"]["1"]
    return {
        name: {
            "base": round(base, 1),
            "adapter": round(row["1"], 1),
            "change": round(row["1"] - base, 1),
            "questions": questions,
        }
        for name, row in needle.items()
        if name != "base"
    }


def _place(one: Asked) -> str:
    """Where in a context of several clips the answer lies, in percent of the way from its first clip to its last."""
    return str(round(100 * one.depth)) if one.table == "needle" and one.group != "1" else ""


def _counted(asked: list[Asked], right: dict[str, list[bool]], name_of: Callable[[Asked], str]) -> dict[str, Any]:
    """Questions and accuracies by group, numbers in their order; what has no group is left out."""
    names = [name_of(one) for one in asked]
    groups = sorted({name for name in names if name}, key=_order)
    return {
        "questions": {group: names.count(group) for group in groups},
        "accuracy": {
            name: {
                group: round(percent([mark for mark, one in zip(marks, names, strict=True) if one == group]), 1)
                for group in groups
            }
            for name, marks in right.items()
        },
    }


def grid(asked: list[Asked], right: list[bool]) -> Grid:
    """Accuracy in every cell of the needle grid, not rounded."""
    cells: dict[tuple[str, float], list[bool]] = defaultdict(list)
    for one, mark in zip(asked, right, strict=True):
        if one.table == "needle":
            cells[one.group, one.depth].append(mark)
    found: Grid = defaultdict(list)
    for (number, _), marks in cells.items():
        found[number].append(percent(marks))
    return dict(found)


def percent(marks: list[bool]) -> float:
    return 100 * sum(marks) / len(marks)


def _order(group: str) -> tuple[float, str]:
    try:
        return float(group), group
    except ValueError:
        return math.inf, group


def failures(asked: list[Asked], said: list[Answer], right: list[bool]) -> list[dict[str, Any]]:
    """Some wrong answers of a model."""
    return gallery([(one, answer) for one, answer, good in zip(asked, said, right, strict=True) if not good])


def lines(asked: list[Asked], said: dict[str, list[Answer]], marks: Marks) -> Iterator[dict[str, Any]]:
    """Every answer of every model, for people to read."""
    for place, one in enumerate(asked):
        for name, answers in said.items():
            mark, exam = marks[name][place], one.exam
            yield {
                "table": one.table,
                "group": one.group,
                "where": one.where,
                "model": name,
                "question": exam.question,
                **({"task": exam.task} if exam.task else {}),
                **({"options": list(exam.options)} if exam.options else {}),
                "answers": list(exam.answers),
                "scoring": exam.scoring,
                "reply": answers[place].text,
                "right": mark.right,
                **({"reason": mark.reason} if mark.reason else {}),
                "cut": not answers[place].whole,
            }
