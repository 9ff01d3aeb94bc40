"""Questions about long videos: what is asked, and that an answer counts when it is right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longvpo.clips.rows import Clip
from longvpo.errors import LongVPOError
from longvpo.evaluation import exam
from longvpo.evaluation import run as module
from longvpo.evaluation.multi import LongQuestion, long_questions, read_questions
from longvpo.evaluation.results import tables
from longvpo.evaluation.run import evaluate
from longvpo.models import local
from longvpo.models.writer import Answer
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe
from longvpo.tiny.stories import QUESTIONS, write_stories
from longvpo.video.frames import ClipFrames


@pytest.fixture(scope="module")
def long_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 stories of two scenes and one of 12, of held-out combinations, with questions."""
    folder = tmp_path_factory.mktemp("long_videos")
    write_stories(folder, [2] * 25 + [12], seed=14, split="test")
    return folder


@pytest.fixture
def copied(long_videos: Path, tmp_path: Path) -> Path:
    """The same, to be damaged: one story of two scenes and that of 12."""
    folder = tmp_path / "copied"
    shutil.copytree(long_videos, folder)
    write_rows(folder, [row for row in read_rows(folder) if row["file_name"] in ("videos/00003.mp4", LONGEST)])
    return folder


LONGEST = "videos/00025.mp4"


def read_rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def multi_recipe(test_world: Path, folder: Path, *more: str) -> EvaluateRecipe:
    overrides = [f"source.folder={test_world}", "grid.clips=[1]", "grid.questions=1", f"multi.source.folder={folder}"]
    return load_recipe(EvaluateRecipe, "tiny/evaluate", [*overrides, *more])


def read(recipe: EvaluateRecipe) -> tuple[list[LongQuestion], dict[str, str]]:
    """The questions, and the reasons of those that were dropped."""
    assert recipe.multi
    source = recipe.multi.source
    questions, dropped = read_questions(recipe.multi, ClipFrames(recipe.video, {source.name: source.folder}))
    return questions, {item.id: item.reason for item in dropped}


def test_the_base_answers_about_two_scenes(
    test_world: Path, long_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = multi_recipe(test_world, long_videos)
    results = evaluate(recipe, tmp_path / "out")
    assert list(results["multi"]) == ["base"]
    assert list(results["multi"]["base"]) == ["2", "12"]
    assert results["multi"]["base"]["2"] >= 94
    assert results["multi"]["base"]["12"] in (0, 25, 50, 75, 100)
    assert results["multi_questions"] == {"2": 25 * QUESTIONS, "12": QUESTIONS}
    assert results["needle"]["base"]["1"] >= 80, "the grid is measured as well"
    assert results["dropped"] == {}
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results
    monkeypatch.setattr(module, "LocalWriter", lambda *_: pytest.fail("nothing is to be done"))
    assert evaluate(recipe, tmp_path / "out") == results


def test_the_models_see_whole_videos(
    test_world: Path, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every question stands with all the frames of its video; an answer counts when all its words are right."""
    seen: list[tuple[str, int, float]] = []
    truth = {row["question"]: row["answer"] for row in read_rows(copied)}
    wrong = next(iter(truth))

    def parrot(model: Any, processor: Any, batch: list[Any], *_: Any) -> list[Answer]:
        for request in batch:
            frames = request.frames()
            assert len(frames) == request.count
            seen.append((request.text, request.count, float(frames.mean())))
        said = [truth.get(request.text, "nothing") for request in batch]
        return [
            Answer(text.split()[0] if one.text == wrong else f" {text.upper()}.")
            for one, text in zip(batch, said, strict=True)
        ]

    monkeypatch.setattr(local, "answer", parrot)
    monkeypatch.setattr(exam, "needles", lambda *_: [])
    monkeypatch.setattr(module, "heat_map", lambda *_: None)
    results = evaluate(multi_recipe(test_world, copied), tmp_path / "out")
    assert {text for text, _, _ in seen} == set(truth)
    assert sorted(count for _, count, _ in seen) == [2 * 4] * QUESTIONS + [12 * 4] * QUESTIONS
    assert len({mean for _, _, mean in seen}) == 2
    assert results["multi"]["base"] == {"2": 75.0, "12": 100.0}


def test_more_frames_than_a_video_may_have_are_thinned(test_world: Path, copied: Path) -> None:
    questions, _ = read(multi_recipe(test_world, copied, "video.max_frames=20"))
    assert [one.frames for one in questions] == [8] * QUESTIONS + [20] * QUESTIONS


def test_bad_rows_are_dropped_with_their_reason(test_world: Path, copied: Path) -> None:
    good = read_rows(copied)
    (copied / "videos" / "cut.mp4").write_bytes((copied / LONGEST).read_bytes()[:900])
    bad: list[tuple[dict[str, Any], str]] = [
        ({"question": ""}, "videos/00003.mp4 has no question"),
        ({"answer": None}, "videos/00003.mp4 has no answer"),
        ({"scenes": " "}, "videos/00003.mp4 has no scenes"),
        ({"file_name": None}, "it has no file_name"),
        ({"file_name": "videos/none.mp4"}, "no such video"),
        ({"file_name": "videos/cut.mp4"}, "cannot read cut.mp4"),
        ({"file_name": "videos/cut.mp4", "question": "again?"}, "cannot read cut.mp4"),
        ({"file_name": "../copied/videos/00003.mp4"}, "is not a path inside"),
        ({"file_name": "v" * 5000}, "its file_name is not a name of a file"),
        ({"file_name": "v\0.mp4"}, "its file_name is not a name of a file"),
        ({"file_name": 7}, "no such video"),
        ({"file_name": ["videos/00003.mp4"]}, "its file_name is not a path: ['videos/00003.mp4']"),
        ({"answer": "red and \ud800"}, "its answer holds half a character"),
    ]
    write_rows(copied, [*good, *(good[0] | change for change, _ in bad), good[0]])
    questions, dropped = read(multi_recipe(test_world, copied))
    assert [one.question for one in questions] == [row["question"] for row in [*good, good[0]]]
    assert list(dropped) == [f"stories row {len(good) + number}" for number in range(len(bad))]
    for reason, (_, expected) in zip(dropped.values(), bad, strict=True):
        assert expected.lower() in reason.lower()


def test_dropped_rows_stand_in_the_results(
    test_world: Path, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_rows(copied)
    write_rows(copied, [*rows, rows[0] | {"answer": ""}])
    monkeypatch.setattr(local, "answer", lambda *inputs: [Answer("red")] * len(inputs[2]))
    recipe = multi_recipe(test_world, copied)
    results = evaluate(recipe, tmp_path / "out")
    assert results["dropped"] == {f"stories row {len(rows)}": "videos/00003.mp4 has no answer"}
    assert results["multi_questions"] == {"2": QUESTIONS, "12": QUESTIONS}
    assert results["multi"] == {"base": {"2": 0.0, "12": 0.0}}
    write_rows(copied, rows)
    with pytest.raises(LongVPOError, match="of other input"):
        evaluate(recipe, tmp_path / "out")


@pytest.mark.parametrize(
    ("damage", "overrides", "said"),
    [
        (lambda folder: (folder / "metadata.jsonl").unlink(), [], "source stories: no metadata.jsonl"),
        (lambda folder: (folder / "metadata.jsonl").write_text(""), [], "has no rows"),
        (
            lambda folder: write_rows(folder, [{"file_name": LONGEST, "caption": "a film"}]),
            [],
            "source stories: metadata.jsonl has no column question and no column answer and no column scenes",
        ),
        (lambda folder: None, ["multi.group=kind"], "has no column kind"),
        (
            lambda folder: write_rows(folder, [row | {"file_name": "x.mp4"} for row in read_rows(folder)]),
            [],
            "none of its 8 questions can be used, the first: no such video",
        ),
        (lambda folder: None, ["multi.source.name=drawn"], "source and multi.source are both named drawn"),
        (lambda folder: None, ["multi.source.clips=3"], "multi.source.clips is not built"),
    ],
)
def test_long_videos_that_cannot_be_asked_about(
    damage: Callable[[Path], Any],
    overrides: list[str],
    said: str,
    test_world: Path,
    copied: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damage(copied)
    monkeypatch.setattr(module, "LocalWriter", lambda *_: pytest.fail("it must be told before"))
    with pytest.raises(LongVPOError) as caught:
        evaluate(multi_recipe(test_world, copied, *overrides), tmp_path / "out")
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_groups_come_in_the_order_of_numbers(test_world: Path, long_videos: Path) -> None:
    recipe = multi_recipe(test_world, long_videos)
    clip = Clip("s/v", "s", "v", 0, 1, "")
    groups = ["films", "10", "2", "10", "2.5", "10"]
    questions = [LongQuestion("?", ("!",), group, clip, 4) for group in groups]
    assert recipe.multi
    (asked,) = long_questions(recipe.multi, questions, ClipFrames(recipe.video, {}))
    said = tables(asked, {"base": [True, True, False, False, True, False]})["multi"]["base"]
    assert list(said.items()) == [("2", 0.0), ("2.5", 100.0), ("10", 33.3), ("films", 100.0)]
