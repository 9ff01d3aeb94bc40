"""What a cell says: captions, questions and answers that are there, and those that are not."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longvpo.clips.cells import cell, question_of
from longvpo.clips.sources import list_candidates
from longvpo.errors import VideoError
from longvpo.evaluation.multi import read_questions
from longvpo.evaluation.run import evaluate
from longvpo.evaluation.words import exact
from longvpo.models import local
from longvpo.models.writer import Answer
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sources import SourceSection
from longvpo.video.frames import ClipFrames, write_video

NAN = float("nan")


@pytest.mark.parametrize(
    "caption", [None, NAN, "", " \n", "None", "null", " NaN ", "nan", "<NA>", "N/A", r"\N", "\u200b"]
)
def test_what_programs_write_for_nothing_is_no_caption(caption: Any, tmp_path: Path) -> None:
    rows = [{"file_name": "a.mp4", "caption": caption}, {"file_name": "b.mp4", "caption": "None of them is red"}]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    candidates, dropped = list_candidates(SourceSection(name="s", folder=tmp_path))
    assert [(item.id, item.reason) for item in dropped] == [("a.mp4", "a.mp4 has no caption")]
    assert [one.caption for one in candidates] == ["None of them is red"]


ANSWERS: list[tuple[Any, tuple[str, ...]]] = [
    ("red", ("red",)),
    (["red", "crimson"], ("red", "crimson")),
    (["red", None, NAN, "", " red "], ("red",)),
    ([["red"], ["crimson", "red"]], ("red", "crimson")),
    ('["red", "crimson"]', ('["red", "crimson"]',)),  # a text is a text
    ("None", ("None",)),  # "Who is in the room?"
    (3, ("3",)),
    (3.0, ("3",)),
    (2.5, ("2.5",)),
    (Decimal("3.00"), ("3",)),
    ([3, "three"], ("3", "three")),
    (True, ("True",)),
    (float("inf"), ("inf",)),
]


@pytest.mark.parametrize(("value", "answers"), ANSWERS)
def test_each_answer_of_a_list_is_right(value: Any, answers: tuple[str, ...]) -> None:
    assert question_of({"question": " what? ", "answer": value}, "a.mp4") == ("what?", answers)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"answer": None}, "a.mp4 has no answer"),
        ({"answer": NAN}, "a.mp4 has no answer"),
        ({"answer": []}, "a.mp4 has no answer"),
        ({"answer": [None, " ", NAN, []]}, "a.mp4 has no answer"),
        ({"answer": {"text": ["red"]}}, "a.mp4: its answer is not a text: {'text': ['red']}"),
        ({"answer": ["red", {"text": "red"}]}, "a.mp4: its answer is not a text"),
        ({"answer": b"red"}, "a.mp4: its answer is not a text: b'red'"),
        ({"answer": ["red", "re\ud83d"]}, "its answer holds half a character"),
        ({"question": NAN}, "a.mp4 has no question"),
        ({"question": "None"}, "a.mp4 has no question"),
        ({"question": ["what?"]}, "a.mp4: its question is not a text: ['what?']"),
        ({"question": "wh\ud83dat?"}, "its question holds half a character"),
    ],
)
def test_a_question_without_an_answer_is_dropped(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(VideoError) as caught:
        question_of({"question": "what?", "answer": "red"} | row, "a.mp4")
    assert str(caught.value).startswith(reason)


def test_any_of_the_answers_is_right() -> None:
    assert exact(" Crimson. ", ("red", "crimson"))
    assert not exact("red crimson", ("red", "crimson"))
    assert not exact("", ("red",))


def write_films(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, _ in enumerate(rows):
        write_video(folder / f"{number}.mp4", rng.integers(0, 255, (4, 64, 64, 3), np.uint8), 4)
    made = [{"file_name": f"{n}.mp4", "caption": f"film {n}", "scenes": 2} | row for n, row in enumerate(rows)]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return folder


def test_an_evaluation_counts_any_answer_of_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the grid and the long videos: what is not an answer is dropped, with its reason, and not asked."""
    good = [{"question": f"what is {n}?", "answer": ["red", f"number {n}"]} for n in range(3)]
    bad = [{"question": "what?", "answer": answer} for answer in ([], NAN, {"text": "red"})]
    clips = write_films(tmp_path / "clips", good + bad)
    films = write_films(tmp_path / "films", good + bad)
    overrides = ["grid.clips=[1]", "grid.questions=1", "grid.depths=3", f"source.folder={clips}"]
    recipe = load_recipe(EvaluateRecipe, "tiny/evaluate", [*overrides, f"multi.source.folder={films}"])

    def answer(model: Any, processor: Any, batch: list[Any], *_: Any) -> list[Answer]:
        assert "what?" not in {request.text for request in batch}
        return [Answer({"what is 0?": "Number 0!", "what is 1?": "red"}.get(one.text, "blue")) for one in batch]

    monkeypatch.setattr(local, "answer", answer)
    results = evaluate(recipe, tmp_path / "out")
    assert results["needle"]["base"]["1"] == 66.7
    assert results["multi"]["base"] == {"2": 66.7}
    assert results["multi_questions"] == {"2": 3}
    assert {one["answer"] for one in results["failures"]["base"]} == {"red or number 2"}
    reasons = [results["dropped"][f"{n}.mp4"] for n in (3, 4, 5)]
    assert reasons[:2] == ["3.mp4 has no answer", "4.mp4 has no answer"]
    assert reasons[2].startswith("5.mp4: its answer is not a text")
    assert len(results["dropped"]) == 6


def test_a_group_that_is_missing_is_no_group(tmp_path: Path) -> None:
    rows = [{"question": "what?", "answer": "red", "scenes": scenes} for scenes in (2, NAN, None)]
    films = write_films(tmp_path / "films", rows)
    overrides = [f"source.folder={tmp_path}", f"multi.source.folder={films}"]
    section = load_recipe(EvaluateRecipe, "tiny/evaluate", overrides).multi
    assert section
    frames_of = ClipFrames(load_recipe(EvaluateRecipe, "tiny/evaluate", overrides).video, {"stories": films})
    questions, dropped = read_questions(section, frames_of)
    assert [one.group for one in questions] == ["2"]
    assert [item.reason for item in dropped] == ["1.mp4 has no scenes", "2.mp4 has no scenes"]


def test_cells_are_reached_by_dots() -> None:
    row = {"a.b": 1, "a": {"b": 2, "c": [{"d": 3}]}}
    assert [cell(row, name) for name in ("a.b", "a.c.0.d", "a.c.1.d", "x", "a.c.d")] == [1, 3, None, None, None]


def test_several_cells_make_one_value() -> None:
    row = {"id": "v", "part": {"number": 7, "none": None, "empty": ""}, "{odd}": "a name of its own"}
    assert cell(row, "{id}/{part.number}.mp4") == "v/7.mp4"
    assert cell(row, "{odd}") == "a name of its own"
    assert [cell(row, name) for name in ("{id}{x}", "{part.none}.mp4", "{id}/{part.empty}")] == [None] * 3
    assert cell({"id": "{id}"}, "{id}.mp4") == "{id}.mp4", "a value is not a pattern"
