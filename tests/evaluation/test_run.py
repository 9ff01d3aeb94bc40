"""What an evaluation keeps in memory, and what it says of answers that were cut."""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from typing import Any

import pytest

from longvpo.errors import LongVPOError
from longvpo.evaluation import run
from longvpo.evaluation.run import _check_inputs, _inputs, evaluate
from longvpo.io.output import place_of
from longvpo.models import local
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe


@pytest.fixture
def recipe(test_world: Path) -> EvaluateRecipe:
    small = ["source.clips=6", "grid.clips=[1, 2]", "grid.depths=2", "grid.questions=2", "multi=null"]
    return load_recipe(EvaluateRecipe, "tiny/evaluate", [f"source.folder={test_world}", *small])


def test_one_model_at_a_time_is_in_memory(
    recipe: EvaluateRecipe, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[weakref.ref[Any]] = []
    load_model = local.load_model

    def watched(section: Any, adapter: Path | None) -> Any:
        assert [one() for one in loaded if one() is not None] == []
        model = load_model(section, adapter)
        loaded.append(weakref.ref(model))
        return model

    monkeypatch.setattr(local, "load_model", watched)
    evaluate(recipe, tmp_path / "out", {"one": trained, "other": trained})
    assert len(loaded) == 3


def test_cut_answers_count_and_are_counted(
    recipe: EvaluateRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = evaluate(recipe.model_copy(update={"max_new_tokens": 1}), tmp_path / "out")
    cut = results["cut"]["base"]
    assert cut == 8, "the end token found no room"
    assert f"warning: {cut} of 8 answers of base were truncated at max_new_tokens" in capsys.readouterr().err
    assert sum(results["needle"]["base"].values()) > 0, "a word of one token is right all the same"
    lines = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    assert [one["cut"] for one in lines] == [True] * 8
    assert {one["model"] for one in lines} == {"base"}
    right = sum(one["right"] for one in lines if one["group"] == "1")
    assert results["needle"]["base"]["1"] == 100 * right / 4
    assert not (tmp_path / "out.unfinished").exists()
    for left in (tmp_path / "out.unfinished", tmp_path / "out" / "work"):  # by a kill just at the end
        (left / "journal").mkdir(parents=True)
        (left / "key.json").write_text("{}")
    assert evaluate(recipe.model_copy(update={"max_new_tokens": 1}), tmp_path / "out") == results
    assert not (tmp_path / "out.unfinished").exists()
    assert not (tmp_path / "out" / "work").exists()


def test_results_of_other_videos_or_another_base_in_the_same_folders_are_not_finished(tmp_path: Path) -> None:
    world, base, output = (tmp_path / name for name in ("world", "base", "out"))
    (world / "videos").mkdir(parents=True)
    (world / "metadata.jsonl").write_text('{"file_name": "videos/0.mp4", "question": "what?", "answer": "red"}\n')
    base.mkdir()
    changed = []
    for file in (world / "videos" / "0.mp4", base / "model.safetensors", world / "unnamed.txt"):
        for text in ("one", "two"):
            file.write_text(text)
            said = [f"source.folder={world}", f"base.model={base}", "multi=null"]
            changed.append(_inputs(load_recipe(EvaluateRecipe, "tiny/evaluate", said)))
    video, other, weights, others, plain, again = changed
    assert video != other
    assert weights != others == plain == again
    output.mkdir()
    (output / "results.json").write_text('{"key": "k", "inputs": "a"}')
    _check_inputs(place_of(output), "k", "a")
    with pytest.raises(LongVPOError, match="holds the results of other videos, or of another base or judge in"):
        _check_inputs(place_of(output), "k", "b")
    (output / "results.json").write_text('{"key": "k"}')
    _check_inputs(place_of(output), "k", "b")  # of an earlier version, which did not say


def test_results_hold_no_figure_that_is_no_number(
    recipe: EvaluateRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "tables", lambda *_: {"needle": {}, "grid": {}, "bad": float("nan")})
    with pytest.raises(LongVPOError, match="a figure of the results is not a number"):
        evaluate(recipe, tmp_path / "out")
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.mark.parametrize("clips", ["[]", "[0, 1]", "[1, -2]"])
def test_a_grid_of_no_clips_is_refused_before_anything_is_asked(tmp_path: Path, clips: str) -> None:
    with pytest.raises(LongVPOError, match=r"grid\.clips"):
        load_recipe(EvaluateRecipe, "tiny/evaluate", [f"source.folder={tmp_path}", f"grid.clips={clips}"])


def test_frames_are_kept_where_a_recipe_says_so(recipe: EvaluateRecipe, test_world: Path, tmp_path: Path) -> None:
    """A second evaluation decodes nothing, and finds the same."""
    small = [f"source.folder={test_world}", "source.clips=6", "grid.clips=[1]", "grid.questions=1", "grid.depths=2"]
    made = load_recipe(EvaluateRecipe, "tiny/evaluate", [*small, "multi=null", f"video.frames={tmp_path / 'frames'}"])
    results = evaluate(made, tmp_path / "one")
    assert any((tmp_path / "frames").rglob("*"))
    again = evaluate(made, tmp_path / "two")
    assert {**results, "seconds": 0} == {**again, "seconds": 0}
