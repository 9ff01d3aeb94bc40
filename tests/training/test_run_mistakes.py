"""Mistakes in what a training starts from are found before it, and by a dry run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from support.stage2 import equal, make_trainer, seen, stage2_recipe
from support.world import TINY

from longvpo.errors import LongVPOError
from longvpo.models.load import load_model
from longvpo.training.plan import plan_training
from longvpo.training.run import train


def other_base(folder: Path) -> list[str]:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "someone/else"}))
    made = json.loads((folder / "provenance.json").read_text())
    made["base"]["files"] = "0" * 64  # a base is known by its files
    (folder / "provenance.json").write_text(json.dumps(made))
    return []


def no_weights(folder: Path) -> list[str]:
    (folder / "adapter_model.safetensors").unlink()
    return []


@pytest.mark.parametrize(
    ("spoil", "overrides", "texts"),
    [
        (other_base, [], ["was trained on someone/else, not on tiny", "name that one as the model"]),
        (no_weights, [], ["holds no adapter", "adapter_model.safetensors"]),
        (None, ["lora.r=8"], ["`lora` comes with the adapter", "leave `lora` or `adapter` out", "tiny/stage2"]),
        (None, ["data.mix=[{config: stage2, share: 0.1}]"], ["rows of stage2 are asked for twice"]),
        (
            None,
            ["data.mix=[{config: stage1, share: 0.1}, {config: stage1, share: 0.1}]"],
            ["rows of stage1 are asked for twice"],
        ),
        (
            None,
            ["data.mix=[{config: stage1, share: 0.7}, {config: a, share: 0.2}, {config: b, share: 0.1}]"],
            ["the shares leave nothing for stage2", "below 1"],
        ),
        (None, ["data.mix=[{config: stage9, share: 0.1}]"], ["cannot load", "stage9"]),
        (None, ["data.mix=[{config: stage1, share: 0.6}]"], ["needs 18 rows of stage1, which has 10"]),
        (
            None,
            ["frame_budget=7"],
            ["row 7 of config stage2 has 8 clips", "a frame_budget of 7. Set it to 8 or more"],
        ),
    ],
)
def test_mistakes_are_found_before_training_and_by_a_dry_run(
    stage1: Path,
    both_stages: Path,
    world: Path,
    tmp_path: Path,
    spoil: Callable[[Path], list[str]] | None,
    overrides: list[str],
    texts: list[str],
) -> None:
    start = tmp_path / "start"
    shutil.copytree(stage1, start)
    if spoil:
        spoil(start)
    recipe = stage2_recipe(start, both_stages, world, *overrides)
    for run in (lambda: train(recipe, tmp_path / "out"), lambda: plan_training(recipe)):
        with pytest.raises(LongVPOError) as error:
            run()
        for text in texts:
            assert text in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["start"]


@pytest.mark.parametrize(
    ("adapter", "texts"),
    [
        ("/no/where", ["no such folder: /no/where"]),
        ("someone/adapter", ["there is no folder someone/adapter", "on the Hub", "Train that adapter first"]),
    ],
)
def test_an_adapter_that_is_not_there(
    both_stages: Path, world: Path, tmp_path: Path, adapter: str, texts: list[str]
) -> None:
    with pytest.raises(LongVPOError) as error:
        train(stage2_recipe(Path(adapter), both_stages, world), tmp_path / "out")
    for text in texts:
        assert text in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_on_the_hub(stage1: Path, both_stages: Path, world: Path, tmp_path: Path) -> None:
    """Fetched before, as the Hub's client keeps it: this machine is offline."""
    kept = Path(os.environ["HF_HOME"]) / "hub" / "models--someone--stage1"
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(stage1, kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "v1.0").write_text(commit)
    recipe = stage2_recipe(Path("someone/stage1"), both_stages, world, "adapter_revision=v1.0", "training.max_steps=1")
    assert plan_training(recipe)["adapter"] == "someone/stage1"
    train(recipe, tmp_path / "hub")
    train(stage2_recipe(stage1, both_stages, world, "training.max_steps=1"), tmp_path / "folder")
    assert equal(*(load_file(tmp_path / name / "adapter_model.safetensors") for name in ("hub", "folder")))


def test_an_adapter_of_the_vision_side_goes_on_training_it(
    stage2_rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    from peft import get_peft_model

    both = get_peft_model(load_model(TINY), LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM"))
    assert isinstance(both, PeftModel)
    both.save_pretrained(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "tiny"}))
    assert make_trainer(tmp_path / "adapter", seen(stage2_rows, "full"), world, tmp_path).trains_vision


def test_a_dry_run_counts_the_rows_of_each_config(
    stage1: Path, both_stages: Path, world: Path, tmp_path: Path
) -> None:
    said = plan_training(stage2_recipe(stage1, both_stages, world))
    assert (said["triplets"], said["steps"], said["adapter"]) == (16, 1, str(stage1))
    assert said["configs"] == [
        {"config": "stage2", "reference": "full", "triplets": 12},
        {"config": "stage1", "reference": "anchor", "triplets": 4},
    ]
    elsewhere = plan_training(stage2_recipe(stage1, tmp_path / "not-here", world))
    assert (elsewhere["triplets"], elsewhere["steps"]) == (None, None)
