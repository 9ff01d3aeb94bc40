"""What the answers of an exam come to."""

from __future__ import annotations

import pytest

from longvpo.cli.printing import print_tables
from longvpo.evaluation.ask import Asked
from longvpo.evaluation.results import tables
from longvpo.evaluation.scoring import ExamQuestion
from longvpo.models.writer import Request

RIGHT = {"base": [True, True, True, False, True, False, False], "it": [True, False, True, True, True, True, True]}


def asked(table: str, group: str, depth: float = 0.0, task: str = "") -> Asked:
    exam = ExamQuestion("what?", ("red",), task=task)
    return Asked(exam, Request("what?", times=(0.5,) * (3 + len(group))), table, group, group, "v", 1, depth)


EXAM = [
    *(asked("needle", "1", task="color"), asked("needle", "1")),
    *(asked("needle", "8", depth, "color") for depth in (0.0, 0.0, 1.0)),
    *(asked("multi", group, task="order") for group in ("12", "2")),
]


def test_accuracy_by_number_of_clips_place_task_and_scenes() -> None:
    found = tables(EXAM, RIGHT)
    assert found["grid"] == {"base": {"1": [100.0], "8": [50.0, 100.0]}, "it": {"1": [50.0], "8": [100.0, 100.0]}}
    assert found["needle"] == {"base": {"1": 100.0, "8": 75.0}, "it": {"1": 50.0, "8": 100.0}}
    assert (found["questions"], found["frames"]) == ({"1": [2], "8": [2, 1]}, {"1": 4, "8": 4})
    assert found["multi"] == {"base": {"2": 0.0, "12": 0.0}, "it": {"2": 100.0, "12": 100.0}}
    assert found["multi_questions"] == {"2": 1, "12": 1}
    assert found["places"]["questions"] == {"0": 2, "100": 1}, "one clip has no places"
    assert found["places"]["accuracy"]["base"] == {"0": 50.0, "100": 100.0}
    assert found["tasks"]["questions"] == {"color": 4, "order": 2}, "what has no task is in none"
    assert found["tasks"]["accuracy"]["base"] == {"color": 75.0, "order": 0.0}
    assert found["retention"] == {"it": {"base": 100.0, "adapter": 50.0, "change": -50.0, "questions": 2}}


def test_a_change_is_not_counted_from_rounded_figures() -> None:
    """3 and 4 of 12: 25.0 and 33.3."""
    right = {"base": [True] * 3 + [False] * 9, "it": [True] * 4 + [False] * 8}
    found = tables([asked("needle", "1") for _ in range(12)], right)
    assert found["retention"]["it"] == {"base": 25.0, "adapter": 33.3, "change": 8.3, "questions": 12}
    twelfth = tables([asked("needle", "1") for _ in range(24)], {"base": [False] * 24, "it": [True] + [False] * 23})
    assert twelfth["needle"]["it"]["1"] == 4.2


def test_long_videos_are_headed_by_what_they_are_grouped_by(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(tables(EXAM, RIGHT) | {"multi_group": "kind"}, as_json=False)
    said = capsys.readouterr().out.splitlines()
    assert said[said.index("accuracy of questions about long videos, %") + 1].split() == ["kind", "2", "12"]
    print_tables(tables(EXAM, RIGHT), as_json=False)
    assert "accuracy of questions about several scenes, %\nscenes" in capsys.readouterr().out


def test_only_what_was_asked_is_counted() -> None:
    found = tables(EXAM[2:5], {"base": [True] * 3})
    assert not {"multi", "multi_questions", "retention"} & found.keys()
    assert found["places"]["questions"] == {"0": 2, "100": 1}


def test_tables_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {"base": {"all": 70.0, "4": 60.0}, "base, no video": {"all": 50.0, "4": 50.0}}
    preference = {"questions": {"all": 9, "4": 3}, "accuracy": rows}
    print_tables(tables(EXAM, RIGHT) | {"preference": preference}, as_json=False)
    said = capsys.readouterr().out.splitlines()
    assert said[said.index("accuracy by task, %") + 1 :][:3] == [
        "task   color   order",
        "base    75.0     0.0",
        "it     100.0   100.0",
    ]
    assert said[said.index("what an adapter keeps on one clip, %") + 2] == "it      100.0    50.0"
    title = "held-out triplets by number of clips: chosen likelier than rejected, %"
    assert said[said.index(title) + 1 :][:3] == [
        "clips              all       4",
        "base              70.0    60.0",
        "base, no video    50.0    50.0",
    ]
