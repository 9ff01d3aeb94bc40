"""The reference scored at each step, once beforehand, or when the dataset was made: the same numbers, the same loss."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from trainers import make_trainer

from longvpo.recipe import TrainRecipe
from longvpo.recipe_file import load_recipe
from longvpo.reference import score
from longvpo.train import train
from longvpo.trainer import AnchoredDPOTrainer


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the scores are kept, empty."""
    monkeypatch.setattr("huggingface_hub.utils._cache_assets.HF_ASSETS_CACHE", str(tmp_path / "assets"))
    return tmp_path / "assets" / "longvpo" / "reference"


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of every batch that the reference scores from now on."""
    calls: list[int] = []
    compute = AnchoredDPOTrainer.compute_ref_log_probs

    def noted(self: Any, model: Any, inputs: dict[str, Any]) -> Any:
        calls.append(len(inputs["input_ids"]) // 2)
        return compute(self, model, inputs)

    monkeypatch.setattr(AnchoredDPOTrainer, "compute_ref_log_probs", noted)
    return calls


@pytest.mark.parametrize("name", ["internvl", "qwen3_vl"])
def test_scored_beforehand_is_scored_at_each_step(
    name: str, batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    trainer = make_trainer(name, batch, world, tmp_path)
    rows = score(trainer, Dataset.from_list(batch))
    expected = trainer.compute_loss(trainer.model, trainer.data_collator(batch))
    collated = trainer.data_collator(rows.to_list())
    assert "reference" not in collated
    assert trainer.compute_loss(trainer.model, collated).item() == pytest.approx(expected.item(), rel=1e-6)
    alone = [trainer.with_features(trainer.data_collator.reference([row])) for row in batch]
    each = [torch.cat(trainer.compute_ref_log_probs(trainer.model, one)).tolist() for one in alone]
    assert [[row["ref_chosen_logps"], row["ref_rejected_logps"]] for row in rows] == each


def test_what_was_scored_is_found_again(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted(monkeypatch)
    rows = Dataset.from_list(batch)
    first = score(make_trainer("internvl", batch, world, tmp_path), rows).to_list()
    assert calls == [1, 1, 1]
    # another run of the same reference, with other settings of training; one row more
    more = Dataset.from_list([*batch, batch[0] | {"chosen": "something else"}])
    trainer = make_trainer("internvl", batch, world, tmp_path, beta=0.01, learning_rate=1e-3)
    assert score(trainer, more).to_list()[:3] == first
    assert calls == [1, 1, 1, 1], "the new row alone"
    # a pass that was killed while it wrote its last line
    (file,) = kept.rglob("*.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:2]) + lines[2][:20])
    assert score(make_trainer("internvl", batch, world, tmp_path), rows).to_list() == first
    assert len(calls) == 5


def test_another_reference_is_scored_anew(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Dataset.from_list(batch)
    scores = [score(make_trainer("internvl", batch, world, tmp_path), rows)["ref_chosen_logps"][:]]
    other = make_trainer("internvl", batch, world, tmp_path)
    other.model.get_submodule("base_model.model.model.language_model.norm").weight.data[7] += 0.5
    scores.append(score(other, rows)["ref_chosen_logps"][:])
    thinned = make_trainer("internvl", batch, world, tmp_path)
    thinned.data_collator.frame_budget = 4
    scores.append(score(thinned, rows)["ref_chosen_logps"][:])
    seen = make_trainer("internvl", batch, world, tmp_path)
    scores.append(score(seen, Dataset.from_list([r | {"reference": "full"} for r in batch]))["ref_chosen_logps"][:])
    assert len({tuple(one) for one in scores}) == 4
    # videos of the same names, with other pixels
    moved = tmp_path / "moved"
    shutil.copytree(world, moved)
    calls = counted(monkeypatch)
    score(make_trainer("internvl", batch, moved, tmp_path), rows)
    assert calls == [1, 1, 1]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def stages(dataset: Path, world: Path) -> list[str]:
    steps = ["max_steps=3", "per_device_train_batch_size=2", "gradient_accumulation_steps=1"]
    return [f"data.dataset={dataset}", f"data.videos.drawn={world}", *(f"training.{step}" for step in steps)]


def test_a_run_is_the_same_whenever_its_reference_is_scored(
    dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = stages(dataset, world)
    for name, more in (("each_step", []), ("precomputed", ["reference_log_probs=precomputed"])):
        calls = counted(monkeypatch)
        train(load_recipe(TrainRecipe, "tiny/stage1", [*overrides, *more]), tmp_path / name)
        assert calls == ([2, 2, 2, 2] if name == "each_step" else [1] * 40 + [2])  # and 2 of the longest
    ours, theirs = weights(tmp_path / "each_step"), weights(tmp_path / "precomputed")
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=1e-3, atol=2e-5)
