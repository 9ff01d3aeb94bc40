"""Answers of base and adapters, a question at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.world import GOLDEN

from longvpo.errors import LongVPOError
from longvpo.viewer.answers import answer_index, read_answers, result_tables
from longvpo.viewer.subject import find_subject


def line(question: str, model: str, right: bool, **more: Any) -> dict[str, Any]:
    asked = {"table": "needle", "group": "8", "where": "8 clips, it is number 3", "answers": ["snow"]}
    return asked | {"question": question, "model": model, "reply": "snow" if right else "fog", "right": right} | more


def results(folder: Path, lines: list[Any]) -> Path:
    (folder / "results.json").write_bytes((GOLDEN / "adapter" / "results.json").read_bytes())
    (folder / "answers.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    return folder


def test_models_stand_side_by_side_at_each_question(tmp_path: Path) -> None:
    said = [("base", False), ("one", True)], [("base", True), ("one", True)], [("base", True), ("one", False)]
    same = [line("where?", model, right) for question in said for model, right in question]  # the same words
    more = [line("who?", "base", False, group="16"), line("who?", "one", False, group="16", options=["a", "b"])]
    items, quoted = read_answers(find_subject(str(results(tmp_path, [*same, *more]))))
    assert not quoted
    assert [[reply["model"] for reply in item["replies"]] for item in items] == [["base", "one"]] * 3 + [
        ["base"],
        ["one"],
    ]
    index = answer_index(items)
    outcome = index["facets"]["outcome"]
    assert [outcome["names"][n] for n in outcome["of"]] == [
        *("an adapter gained it", "all right", "an adapter lost it", "all wrong", "all wrong")
    ]
    assert index["replies"][0] == [["base", False], ["one", True]]


def test_without_a_file_of_answers_the_quoted_ones_are_shown() -> None:
    subject = find_subject(str(GOLDEN / "adapter"))
    items, quoted = read_answers(subject)
    assert quoted
    assert items
    assert not any(reply["right"] for item in items for reply in item["replies"])
    shown = result_tables(subject.about)
    assert shown["tables"][0]["rows"]["base"]["1"].startswith("100.0")
    assert shown["models"][0] == "base"
    assert shown["warnings"] == []
    seen = {"trained_on": {"one": 3, "other": 0, "silent": None}, "test_videos": 12}
    seen |= {"preference": {"questions": {"all": 8}, "trained_on": {"one": 2}, "accuracy": {"base": {}}}}
    assert result_tables(subject.about | seen)["warnings"] == [
        "3 of 12 test videos were trained on by one: its results are no test of them",
        "2 of 8 triplets show videos that one was trained on",
    ]


def test_a_file_of_another_program_is_said(tmp_path: Path) -> None:
    subject = find_subject(str(results(tmp_path, [{"question": "who?"}])))
    with pytest.raises(LongVPOError, match=r"answers\.jsonl"):
        read_answers(subject)
