"""Recipes: every built-in one loads, and a wrong one says everything that is wrong with it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import SerializeAsAny, create_model

from longvpo import cli
from longvpo.errors import LongVPOError
from longvpo.recipe.builtin import builtin_recipes, find_recipe
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import dump_recipe, load_recipe, recipe_hash
from longvpo.recipe.sections import Section
from longvpo.recipe.training import TrainRecipe
from longvpo.training.plan import plan_training

KINDS = {"dataset": DatasetRecipe, "evaluate": EvaluateRecipe}


def kind_of(name: str) -> type:
    return KINDS.get(name.split("/")[-1], TrainRecipe)


@pytest.mark.parametrize("name", builtin_recipes())
def test_every_recipe_loads_and_says_what_it_is(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(kind_of(name), name)
    comment = [line for line in find_recipe(name).read_text().splitlines() if line.startswith("#")]
    assert any("Hardware" in line for line in comment)
    assert any("longvpo" in line for line in comment)
    # what is written beside a result is the same recipe again
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_recipe(recipe))
    assert recipe_hash(load_recipe(kind_of(name), str(copy))) == recipe_hash(recipe)


@pytest.mark.parametrize("name", [name for name in builtin_recipes() if kind_of(name) is TrainRecipe])
def test_every_training_recipe_dry_runs(name: str) -> None:
    plan = plan_training(load_recipe(TrainRecipe, name))
    assert plan["triplets_a_step"] > 0
    assert plan["loss"]["sigmoid"] == 1.0


def test_dry_run_prints_the_plan_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["longvpo", "train", "internvl3-1b/stage1", "--dry-run", "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["base"].startswith("OpenGVLab/InternVL3-1B-hf@")
    assert list(tmp_path.iterdir()) == []


def test_all_problems_are_reported_at_once() -> None:
    overrides = ["video.fsp=2", "writer.modle=x", "stage1.triplets=many", "filters.visual_threshold=null"]
    with pytest.raises(LongVPOError) as error:
        load_recipe(DatasetRecipe, "tiny/dataset", overrides)
    text = str(error.value)
    assert "unknown key video.fsp (did you mean fps?)" in text
    assert "unknown key writer.modle (did you mean model?)" in text
    assert "stage1.triplets" in text
    assert "visual_threshold" not in text


def test_no_number_is_infinite() -> None:
    for kind, key in ((DatasetRecipe, "video.fps"), (DatasetRecipe, "writer.temperature"), (TrainRecipe, "video.fps")):
        for said in (".inf", ".nan"):
            with pytest.raises(LongVPOError, match=f"{key}: must be a finite number"):
                load_recipe(kind, "tiny", [f"{key}={said}"])
    with pytest.raises(LongVPOError, match=r"data\.columns\.list_fps: must be a finite number"):
        load_recipe(TrainRecipe, "tiny", ["data.columns={list_fps: .inf}"])


def test_training_extends_nothing(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("extends: tiny/stage1\ntraining: {extends: tiny/stage1}\n")
    with pytest.raises(LongVPOError, match="training: extends is not allowed here"):
        load_recipe(TrainRecipe, str(tmp_path / "own.yaml"))


def test_overrides_reach_lists_and_read_yaml(tmp_path: Path) -> None:
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", ["sources.0.folder=/videos", "context.clips=[3, 5]", "seed=7"])
    assert (recipe.sources[0].folder, recipe.context.clips, recipe.seed) == (Path("/videos"), (3, 5), 7)


@pytest.mark.parametrize(
    ("kind", "override", "section", "key", "value"),
    [
        (DatasetRecipe, "context.clips=2", "context", "clips", (2,)),
        (DatasetRecipe, "context.clips=null", "context", "clips", None),
        (DatasetRecipe, "filters.balance=null", "filters", "balance", False),
        (TrainRecipe, "lora=null", "lora", "r", 16),
        (TrainRecipe, "data.mix=null", "data", "mix", ()),
        (TrainRecipe, "data.videos=null", "data", "videos", {}),
        (TrainRecipe, "data.eval=0.1", "data", "eval", 0.1),
        (EvaluateRecipe, "grid.clips=8", "grid", "clips", (8,)),
    ],
)
def test_one_value_for_a_list_and_null_are_taken_as_they_are_meant(
    kind: type, override: str, section: str, key: str, value: object
) -> None:
    assert getattr(getattr(load_recipe(kind, "tiny", [override]), section), key) == value
    assert load_recipe(DatasetRecipe, "tiny", ["language=de"]).language == ("de",)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("sources=clips", "sources: must be a list (got 'clips')"),  # of sections: a word is none
        ("context.clips=two", "context.clips: must be a list (got 'two')"),
        ("seed=null", "seed: must be a whole number (got null)"),
        ("writer=null", "writer.model is missing"),
    ],
)
def test_what_cannot_be_meant_is_an_error(override: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(LongVPOError, match=re.escape(says)):
        load_recipe(DatasetRecipe, "tiny", [override])
    mine = tmp_path / "mine.yaml"
    mine.write_text(find_recipe("tiny/dataset").read_text().replace("[1, 2, 4, 8, 16, 32]", "2"))
    with pytest.raises(
        LongVPOError, match=re.escape("context.clips: must be a list (got 2)")
    ):  # a file says it in full
        load_recipe(DatasetRecipe, str(mine))


def test_a_short_name_that_stands_for_one_of_several_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert load_recipe(TrainRecipe, "tiny").name == load_recipe(TrainRecipe, "tiny/stage1").name
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "note: tiny means tiny/stage1 here; the others are tiny/stage2"
    load_recipe(DatasetRecipe, "tiny")
    load_recipe(EvaluateRecipe, "tiny")
    assert capsys.readouterr().err == ""


def test_the_hash_changes_with_every_value() -> None:
    plain = recipe_hash(load_recipe(DatasetRecipe, "tiny/dataset"))
    assert plain == recipe_hash(load_recipe(DatasetRecipe, "tiny/dataset", ["seed=0"]))
    assert plain != recipe_hash(load_recipe(DatasetRecipe, "tiny/dataset", ["seed=1"]))
    assert plain != recipe_hash(load_recipe(DatasetRecipe, "tiny/dataset", ["context.rejected_clip=first"]))


def test_a_key_that_came_later_leaves_the_hash_of_an_older_recipe() -> None:
    class Older(Section):
        fps: float = 1.0

    class Newer(Older):
        later = ("fit",)
        fit: str = "letterbox"

    def hash_of(*parts: Section) -> str:
        return recipe_hash(
            create_model("Recipe", __base__=Section, parts=tuple[SerializeAsAny[Section], ...])(parts=parts)
        )

    assert hash_of(Newer(), Newer(fps=2)) == hash_of(Older(), Older(fps=2))
    assert hash_of(Newer(fit="crop")) != hash_of(Newer())
