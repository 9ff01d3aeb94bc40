"""What an evaluation keeps in memory, and what it says of answers that were cut."""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from typing import Any

import pytest

from longvpo.evaluation.run import evaluate
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
    assert f"warning: {cut} of 8 answers of base were cut at max_new_tokens" in capsys.readouterr().err
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


def test_frames_are_kept_where_a_recipe_says_so(recipe: EvaluateRecipe, test_world: Path, tmp_path: Path) -> None:
    """A second evaluation decodes nothing, and finds the same."""
    small = [f"source.folder={test_world}", "source.clips=6", "grid.clips=[1]", "grid.questions=1", "grid.depths=2"]
    made = load_recipe(EvaluateRecipe, "tiny/evaluate", [*small, "multi=null", f"video.frames={tmp_path / 'frames'}"])
    results = evaluate(made, tmp_path / "one")
    assert any((tmp_path / "frames").rglob("*"))
    again = evaluate(made, tmp_path / "two")
    assert {**results, "seconds": 0} == {**again, "seconds": 0}
