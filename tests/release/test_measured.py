"""What results say of how answers were scored, and which changes are marked."""

from __future__ import annotations

from typing import Any

import pytest

from longvpo.cli.printing import print_tables
from longvpo.release.measured import intervals_said, mark, scoring_said, spread


def change(low: float, high: float) -> dict[str, Any]:
    return {"change": (low + high) / 2, "interval": [low, high], "gained": 1, "lost": 1, "p": 0.5}


MEASURED = {
    "needle": {"base": {"1": 90.0, "8": 50.0}, "it": {"1": 85.0, "8": 70.0}, "other": {"1": 91.0, "8": 49.0}},
    "intervals": {
        "needle": {name: {"1": [85.0, 93.0], "8": [44.0, 56.6]} for name in ("base", "it")}
        | {"other": {"1": None, "8": [40.0, 60.0]}}
    },
    "against_base": {
        "needle": {
            "it": {"1": change(-9.0, -0.5), "8": change(12.0, 27.5)},
            "other": {"1": change(0, 2) | {"interval": None}, "8": change(-4.5, 2.0)},
        }
    },
}


def test_only_what_is_more_than_chance_is_marked() -> None:
    assert [mark(MEASURED, "needle", "it", group) for group in ("1", "8")] == [" ▼", " ▲"]
    assert [mark(MEASURED, "needle", "other", group) for group in ("1", "8")] == ["", ""]
    assert mark(MEASURED, "needle", "base", "1") == mark(MEASURED, "multi", "it", "1") == ""
    assert mark({}, "needle", "it", "1") == "", "an earlier version's"
    assert spread(MEASURED, "needle", "base", "8", 50.0) == " ±6.6"
    assert spread(MEASURED, "needle", "other", "1", 91.0) == spread({}, "needle", "base", "1", 90.0) == ""
    at_the_end = {"intervals": {"needle": {"it": {"1": [82.41, 100.0]}}}}  # 18 of 18, and none of them
    assert spread(at_the_end, "needle", "it", "1", 100.0) == " ±17.6", "82.4 is in it"
    for edge in (change(0.0, 4.0), change(-4.0, 0.0)):
        assert mark({"against_base": {"needle": {"it": {"1": edge}}}}, "needle", "it", "1") == ""


def test_tables_have_intervals_and_marks(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(MEASURED, as_json=False)
    said = capsys.readouterr().out.splitlines()
    assert said[:5] == [
        "needle accuracy, %",
        "clips           1             8",
        "base    90.0 ±5.0     50.0 ±6.6",
        "it      85.0 ±8.0 ▼  70.0 ±26.0 ▲",
        "other        91.0    49.0 ±11.0",
    ]
    assert " ".join(said[6:]) == intervals_said(MEASURED)
    assert max(map(len, said)) <= 100
    print_tables({"needle": MEASURED["needle"]}, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "needle accuracy, %",
        "clips       1       8",
        "base     90.0    50.0",
        "it       85.0    70.0",
        "other    91.0    49.0",
    ]


def test_how_answers_were_scored() -> None:
    assert scoring_said({}) == (
        "An answer counts when it equals the true one after case and punctuation are taken away."
    )
    one = {"by": {"choice": 40}, "suffix": "", "letters": "likelihood"}
    said = scoring_said({"scoring": one, "chance": 25.0})
    assert said == (
        "An answer counts when it names the letter of the true one among the options of its question. "
        "The letter is the likeliest after the prompt. Guessing reaches 25.0 %."
    )
    by_task = {"color": 33.3, "count": 25.0, "open": 50.0}
    assert scoring_said({"scoring": one, "chance": 34.1, "chances": {"tasks": by_task}}) == (
        f"{said[:-7]}34.1 %. In tasks whose questions all have options, guessing reaches 25.0 to 50.0 %: results.json "
        "has each."
    )
    assert scoring_said({"scoring": one, "chance": 25.0, "chances": {"tasks": {"color": 25.0}}}) == said
    assert scoring_said({"scoring": one, "chances": {"tasks": {"color": 25.0}}}).endswith(
        "guessing reaches 25.0 %: results.json has each."
    )
    judge = {"model": "someone/judge@main", "prompt": "...", "unreadable": {"base": 1, "it": 2}}
    several = {"by": {"contains": 30, "judge": 10}, "suffix": "Answer with one word.", "judge": judge}
    said = scoring_said({"scoring": several})
    for part in (
        "An answer to 30 of the questions counts when it has the true one among its words",
        "An answer to 10 of the questions counts when it gives the true one, as a model judges.",
        "Questions without options end with `Answer with one word.`",
        "The judge is `someone/judge@main`",
        "3 of its verdicts could not be read: those answers count as wrong.",
    ):
        assert part in said
