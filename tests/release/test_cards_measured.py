"""A card shows all that an evaluation measured: by task and place, on one clip, on held-out triplets."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.world import GOLDEN

from longvpo.release.cards import card_of


def preference() -> dict[str, Any]:
    accuracy = {"base": 61.0, "base, no video": 51.2, "stage1": 88.0, "stage2": 93.5, "stage2, no video": 50.0}
    rows = {name: {"all": value, "4": value - 3} for name, value in accuracy.items()}
    rewards = {name: {"all": value} for name, value in {"stage1": 80.0, "stage2": 97.5}.items()}
    return {
        **{"dataset": "my-test-triplets", "revision": "main", "split": "train", "configs": {"stage1": "anchor"}},
        **{"left_out": {}, "trained_on": {"stage1": 0, "stage2": 3}, "questions": {"all": 40, "4": 12}},
        **{"accuracy": rows, "margin": rows, "rewards": {"accuracy": rewards, "margin": {"stage2": {"all": 2.25}}}},
    }


EARLIER = ("intervals", "against_base", "places", "tasks", "retention")  # not in results of earlier versions


def card(tmp_path: Path, **more: Any) -> str:
    """The card of the golden adapter, whose results say no more than an earlier version's, and `more`."""
    folder = Path(shutil.copytree(GOLDEN / "adapter", tmp_path / "adapter", dirs_exist_ok=True))
    results = json.loads((folder / "results.json").read_text())
    results = {name: value for name, value in results.items() if name not in EARLIER}
    (folder / "results.json").write_text(json.dumps(results | more))
    return card_of(folder)


def test_what_was_measured_stands_in_the_card(tmp_path: Path) -> None:
    models = {"base": {"color": 50.0}, "stage1": {"color": 60.0}, "stage2": {"color": 45.5}}
    text = card(
        tmp_path,
        tasks={"questions": {"color": 70}, "accuracy": models},
        places={"questions": {"100": 71}, "accuracy": {name: {"100": row["color"]} for name, row in models.items()}},
        retention={"stage2": {"base": 100.0, "adapter": 98.5, "change": -1.5, "questions": 300}},
        preference=preference(),
        intervals={"preference": {"stage2": {"all": [89.5, 97.5]}}},
        against_base={"preference": {"stage2": {"all": {"change": 32.44, "interval": [20.0, 40.0]}}}},
        cut={"base": 0, "stage1": 0, "stage2": 12},
        from_hub={"stage1": {"repo_id": "me/stage1", "revision": "v1", "commit": "c0ffee"}},
    )
    for line in (
        "| task | color |",
        "| **stage2** (this one) | 45.5 (-4.5",
        "| questions | 70 |",
        "| place | 100 |",
        "where no long video is needed: 98.5 % of 300 questions; the base 100.0 % (-1.5).",
        "| in a context | all | 4 |",
        "| **stage2** (this one) | 93.5 ±4.0 (+32.4 ▲) | 90.5 (+32.5) |",
        "| base, no video | 51.2 | 48.2 |",
        "| stage2, no video | 50.0 | 47.0 |",
        "| questions | 40 | 12 |",
        "implicit reward prefers chosen in 97.5 % of them, by 2.25 nats on average, against the base, which saw the",
        "**Warning: 3 of them show videos that were trained on**",
        "`stage1` is commit `c0ffee` of [`me/stage1`](https://huggingface.co/me/stage1).",
        "12 of its answers were truncated",
    ):
        assert line in text, line
    assert "\n\n\n\n" not in text


@pytest.mark.parametrize(
    ("needle", "clips"),
    [
        ({"1": 0, "2": 0, "4": 0}, "none: no question about one clip was answered right"),
        ({"4": 20, "1": 100}, "up to 3 (1 clips)"),
        ({"16": 95, "2": 95, "1": 100}, "up to 48 (16 clips)"),
        ({"2": 100, "4": 100}, "not run"),
    ],
)
def test_a_length_is_recommended_by_what_one_clip_alone_gave(
    tmp_path: Path, needle: dict[str, float], clips: str
) -> None:
    models = dict.fromkeys(("base", "stage1", "stage2"), needle)
    frames = {number: 3 * int(number) for number in needle}
    text = card(tmp_path, needle=models, questions={number: [9] for number in needle}, frames=frames)
    assert f"| recommended | {clips}" in text


def test_a_change_is_no_difference_of_rounded_figures(tmp_path: Path) -> None:
    """2 and 4 of 6."""
    values = {"base": {"1": 33.3}, "stage1": {"1": 50.0}, "stage2": {"1": 66.7}}
    exact = {"needle": {"stage2": {"1": change(-10, 60) | {"change": 33.33}}}}
    text = card(tmp_path, needle=values, questions={"1": [6]}, frames={"1": 4}, against_base=exact, intervals={})
    assert "| **stage2** (this one) | 66.7 (+33.3) |" in text


def test_long_videos_are_counted_by_the_column_that_the_recipe_names(tmp_path: Path) -> None:
    models = {"base": {"why": 50.0}, "stage1": {"why": 60.0}, "stage2": {"why": 45.5}}
    text = card(tmp_path, multi=models, multi_questions={"why": 9}, multi_group="kind|of")
    assert "**Questions about long videos**\n\n| kind\\|of | why |\n" in text
    assert "| scenes |" in card(tmp_path), "results of earlier versions do not name it"


def test_what_was_not_measured_is_not_in_it(tmp_path: Path) -> None:
    empty = {"questions": {}, "accuracy": {}}
    assert card(tmp_path, tasks=empty, places=empty) == card(tmp_path)
    silent = preference()
    silent["trained_on"]["stage2"] = None
    assert "Whether these triplets show videos that were trained on: not checked." in card(tmp_path, preference=silent)


def change(low: float, high: float) -> dict[str, Any]:
    return {"change": (low + high) / 2, "interval": [low, high], "gained": 1, "lost": 1, "p": 0.5}


def test_a_card_marks_what_is_more_than_chance(tmp_path: Path) -> None:
    groups = json.loads((GOLDEN / "adapter" / "results.json").read_text())["needle"]["base"]
    changes = {group: change(-1.0, 1.4) for group in groups} | {"32": change(58.0, 70.0), "2": change(-2.0, -0.2)}
    text = card(
        tmp_path,
        intervals={"needle": {"stage2": {group: [96.0, 99.2] for group in groups}, "base": dict.fromkeys(groups)}},
        against_base={"needle": {"stage2": changes}},
        scoring={"by": {"contains": 2800}, "suffix": ""},
    )
    assert "| **stage2** (this one) | 100.0 ±4.0 (+0.2) | 99.7 ±3.7 (-1.1 ▼) | 100.0 ±4.0 (+0.2) | 99.7 ±3.7 " in text
    assert "| 98.0 ±2.0 (+64.0 ▲) |" in text
    assert "| base | 100.0 | 99.3 |" in text
    assert "An answer counts when it has the true one among its words" in text
    assert "mark a change whose 95 % interval leaves 0 out" in text


def test_results_without_intervals_have_no_marks(tmp_path: Path) -> None:
    """Those of earlier versions: losses stand there as numbers."""
    text = card(tmp_path)
    assert "| stage1 | 93.0 (-5.5) | 91.5 (-3.5) |" in text
    assert not {"▲", "▼", "±"} & set(text)
    assert "An answer counts when it equals the true one after case and punctuation are taken away." in text


def test_no_text_of_others_ends_a_table(tmp_path: Path) -> None:
    wrong = {"question": "a | b?\n\n# no", "answer": "x\n|y", "said": "A\n\nB | C", "where": "1 clips"}
    models = {name: {"who|what\nwhere": 50.0} for name in ("base", "stage1", "stage2")}
    text = card(
        tmp_path,
        failures={"stage2": [wrong]},
        tasks={"questions": {"who|what\nwhere": 70}, "accuracy": models},
    )
    assert "| 1 clips | a \\| b? # no | x \\|y | A B \\| C |\n" in text
    assert "| task | who\\|what where |\n" in text


@pytest.mark.parametrize("interval", [[float("nan")] * 2, None])
def test_what_is_no_number_was_not_measured(interval: Any, tmp_path: Path) -> None:
    results = json.loads((GOLDEN / "adapter" / "results.json").read_text())
    needle, none = results["needle"], float("nan")
    needle["base"]["2"] = needle["stage2"]["4"] = needle["stage2"]["1"] = none
    text = card(
        tmp_path,
        needle=needle,
        intervals={"needle": {"stage2": {"4": interval}}},
        against_base={"needle": {"stage2": {"4": {"change": none, "interval": interval}}}},
        retention={"stage2": {"base": 100.0, "adapter": none, "change": none, "questions": 300}},
    )
    (base,) = re.findall(r"^\| base \|.*$", text, re.MULTILINE)[:1]
    assert base.split(" | ")[2] == "not measured"
    cells = re.findall(r"^\| \*\*stage2\*\*.*$", text, re.MULTILINE)[0].split(" | ")
    assert (cells[1], cells[3]) == ("not measured", "not measured")
    assert re.fullmatch(r"[\d.]+", cells[2]), "without a change"
    assert "| recommended | not run |" in text
    assert not re.search(r"\bnan\b", text)
    assert "What is kept on one clip" not in text
