"""What evaluate found, as tables of the page: accuracies with their intervals, and answers side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from longvpo.io.files import read_text
from longvpo.io.records import understood
from longvpo.release.measured import intervals_said, scoring_said, tables, trained_on_said
from longvpo.viewer.parts import facet
from longvpo.viewer.subject import ANSWERS, Subject

ASKED = ("table", "group", "where", "question", "task", "options", "answers", "scoring")
REPLY = ("model", "reply", "right")
MORE = ("reason", "cut")
TABLES = {"needle": "one clip among others", "multi": "several scenes"}


def read_answers(subject: Subject) -> tuple[list[dict[str, Any]], bool]:
    """Questions with the answers of every model, and whether these are only the wrong ones that the results quote.

    Raises:
        LongVPOError: the file of answers is of another program.
    """
    file = subject.file(ANSWERS)
    if file is None:
        return list(_grouped(_failures(subject.about))), True
    with understood(file):
        return list(_grouped(_lines(read_text(file)))), False


def answer_index(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns that the list and its filters need."""
    return {
        "id": [str(number + 1) for number in range(len(items))],
        "text": [item["question"] for item in items],
        "facets": {
            "table": facet(TABLES.get(item.get("table", ""), item.get("table", "")) for item in items),
            "clips or scenes": facet(str(item.get("group", "")) for item in items),
            "place": facet(item.get("where", "") for item in items),
            "task": facet(item.get("task", "") for item in items),
            "outcome": facet(_outcome(item["replies"]) for item in items),
        },
        "replies": [[[reply["model"], bool(reply["right"])] for reply in item["replies"]] for item in items],
    }


def result_tables(results: dict[str, Any]) -> dict[str, Any]:
    """Tables as texts, and what stands behind their signs."""
    said = {"scoring": scoring_said(results), "intervals": intervals_said(results)}
    models, warnings = ["base", *results["adapters"]], trained_on_said(results)
    return {"tables": tables(results), "models": models, "warnings": warnings, **said}


def _outcome(replies: Sequence[Mapping[str, Any]]) -> str:
    """How the adapters did against the base; without a base or an adapter, who was right."""
    right = {reply["model"]: bool(reply["right"]) for reply in replies}
    base = right.pop("base", None)
    if all(right.values()) and base in (True, None):
        return "all right"
    if not any(right.values()) and not base:
        return "all wrong"
    if base is None or not right:
        return "right and wrong"
    return "an adapter lost it" if base else "an adapter gained it"


def _lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        with suppress(ValueError, RecursionError):
            yield json.loads(line)


def _failures(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for model, wrong in (results.get("failures") or {}).items():
        for one in wrong:
            asked = {"where": one["where"], "question": one["question"], "answers": [one["answer"]]}
            yield asked | {"model": model, "reply": one["said"], "right": False}


def _grouped(lines: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Lines in which models follow each other on one question, as one item a question."""
    item: dict[str, Any] = {}
    for line in lines:
        asked = {name: line[name] for name in ASKED if line.get(name)}
        reply = {name: line[name] for name in REPLY} | {name: line[name] for name in MORE if line.get(name)}
        same = item and all(item.get(name) == asked.get(name) for name in ASKED)
        if same and reply["model"] not in [one["model"] for one in item["replies"]]:
            item["replies"].append(reply)
            continue
        if item:
            yield item
        item = asked | {"question": line["question"], "replies": [reply]}
    if item:
        yield item
