"""The rows of a run: of several configs, in their shares."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Features, List, Value
from support.stage2 import stage2_recipe
from support.triplets import rows_of, triplets, write_dataset

from longvpo.clips.rows import features
from longvpo.errors import LongVPOError
from longvpo.recipe.file import load_recipe
from longvpo.recipe.training import TrainRecipe
from longvpo.training.rows import pictures_of, reference_identity, training_rows
from longvpo.video.frames import ClipFrames


def test_rows_of_other_configs_make_up_their_share(stage1: Path, both_stages: Path, world: Path) -> None:
    recipe = stage2_recipe(stage1, both_stages, world)  # a quarter of stage 1
    rows = training_rows(recipe, 0)
    assert rows.column_names == ["prompt", "chosen", "rejected", "context", "anchors", "config", "reference"]
    assert Counter(zip(rows["config"], rows["reference"], strict=True)) == {
        ("stage2", "full"): 12,
        ("stage1", "anchor"): 4,
    }
    known = {
        config: {json.dumps([row[name] for name in ("prompt", "context", "anchors")]) for row in made}
        for config, made in (("stage1", triplets("stage1", 10, 4)), ("stage2", triplets("stage2", 12, 8)))
    }
    drawn = [json.dumps([row[name] for name in ("prompt", "context", "anchors")]) for row in rows]
    assert len(set(drawn)) == 16, "no row twice"
    assert all(text in known[config] for text, config in zip(drawn, rows["config"], strict=True))
    assert list(rows["config"]) != sorted(rows["config"], reverse=True), "they are shuffled"
    assert training_rows(recipe, 0).to_list() == rows.to_list()
    other = training_rows(recipe, 1)
    assert {row["prompt"] for row in other if row["config"] == "stage1"} != {
        row["prompt"] for row in rows if row["config"] == "stage1"
    }
    assert training_rows(stage2_recipe(stage1, both_stages, world, "data.mix=[]"), 0).to_list() == [
        {name: row[name] for name in ("prompt", "chosen", "rejected", "context", "anchors")}
        | {"config": "stage2", "reference": "full"}
        for row in triplets("stage2", 12, 8)
    ]


def test_a_mix_of_three_configs(stage1: Path, world: Path, tmp_path: Path) -> None:
    more = write_dataset(
        tmp_path / "more",
        stage2=rows_of("stage2", 30, 5),
        stage1=rows_of("stage1", 40, 4),
        short=rows_of("stage1", 20, 2),
    )
    mix = "data.mix=[{config: stage1, share: 0.3}, {config: short, share: 0.1, reference: full}]"
    rows = training_rows(stage2_recipe(stage1, more, world, mix, "reference=relevant"), 0)
    assert Counter(zip(rows["config"], rows["reference"], strict=True)) == {
        ("stage2", "relevant"): 30,
        ("stage1", "anchor"): 15,
        ("short", "full"): 5,
    }


def test_too_few_rows_for_the_mix(stage1: Path, both_stages: Path, world: Path) -> None:
    share = "data.mix=[{{config: stage1, share: {}}}]"
    with pytest.raises(LongVPOError) as error:
        training_rows(stage2_recipe(stage1, both_stages, world, share.format(0.5)), 0)
    assert "needs 12 rows of stage1, which has 10: set its share to at most 0.4545" in str(error.value)
    rows = training_rows(stage2_recipe(stage1, both_stages, world, share.format(0.4545)), 0)
    assert Counter(rows["config"]) == {"stage2": 12, "stage1": 10}


def test_a_column_of_the_dataset_that_is_named_as_ours(stage1: Path, world: Path, tmp_path: Path) -> None:
    made = rows_of("stage2", 12, 8)
    named = {"reference": ["a film"] * 12, "config": [7] * 12}
    kinds = {"reference": Value("string"), "config": Value("int64")}
    made = Dataset.from_dict(made.to_dict() | named, features=Features(made.features | kinds))
    other = write_dataset(tmp_path / "other", stage2=made, stage1=rows_of("stage1", 10, 4))
    rows = training_rows(stage2_recipe(stage1, other, world), 0)
    assert Counter(rows["reference"]) == {"full": 12, "anchor": 4}
    assert Counter(rows["config"]) == {"stage2": 12, "stage1": 4}


def test_rows_that_cannot_be_trained_on(stage1: Path, world: Path, tmp_path: Path) -> None:
    made = triplets("stage2", 3, 3)
    made[2] = made[2] | {"anchors": [0, 3]}
    beyond = Dataset.from_list(made, features=features("stage2"))
    wide = rows_of("stage1", 10, 4).cast_column("anchors", List(Value("int64")))
    other = write_dataset(tmp_path / "other", stage2=beyond, good=rows_of("stage2", 3, 3), stage1=wide)
    with pytest.raises(LongVPOError, match=r"row 2 of config stage2: its anchors \[0, 3\] are not places"):
        training_rows(stage2_recipe(stage1, other, world), 0)
    with pytest.raises(LongVPOError, match="the columns of stage1 have other types than those of good"):
        training_rows(stage2_recipe(stage1, other, world, "data.config=good"), 0)
    none = write_dataset(tmp_path / "none", stage2=rows_of("stage2", 3, 3).select(range(0)))
    with pytest.raises(LongVPOError, match=r"config stage2: it has no rows"):
        training_rows(stage2_recipe(stage1, none, world), 0)


def test_a_reference_goes_by_the_weights_of_its_base(tmp_path: Path) -> None:
    """Not by the path of a folder, which others do not have, nor by the sizes of its files."""
    said = []
    for weights in ("old", "new", "old"):
        folder = tmp_path / str(len(said)) / "mine"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text(weights)
        recipe = load_recipe(TrainRecipe, "tiny/stage1", [f"base.model={folder}"])
        said.append(reference_identity(recipe, "anchor", None, {}))
    assert said[0] == said[2] != said[1]
    assert said[0]["base"] == "mine"


def test_a_reference_goes_by_the_quality_of_its_pictures_and_not_by_their_folder(tmp_path: Path) -> None:
    rows = rows_of("stage1", 2, 2)

    def said(*overrides: str) -> dict[str, Any]:
        recipe = load_recipe(TrainRecipe, "tiny/stage1", [*overrides])
        pictures = pictures_of(rows, ClipFrames(recipe.video, recipe.data.videos))
        return reference_identity(recipe, "anchor", None, pictures)

    kept = [f"video.frames={tmp_path}", "video.frames_gb=3"]
    assert said(*kept, "video.frames_quality=null") == said("video.frames_quality=75") == said()
    assert said(*kept) == said("video.frames=elsewhere")
    assert said(*kept)["frames_quality"] == 90
