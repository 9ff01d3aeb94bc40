"""The reference scored at each step, once beforehand, or with the dataset: the same numbers, the same loss."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, load_dataset
from safetensors.torch import load_file
from support.trainers import make_trainer

from longvpo.errors import LongVPOError
from longvpo.recipe.file import load_recipe
from longvpo.recipe.training import TrainRecipe
from longvpo.training.reference import score_reference
from longvpo.training.run import train
from longvpo.training.score import score_dataset
from longvpo.training.step.trainer import AnchoredDPOTrainer


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
    rows = score_reference(trainer, Dataset.from_list(batch))
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
    first = score_reference(make_trainer("internvl", batch, world, tmp_path), rows).to_list()
    assert calls == [1, 1, 1]
    # another run of the same reference, with other settings of training; one row more
    more = Dataset.from_list([*batch, batch[0] | {"chosen": "something else"}])
    trainer = make_trainer("internvl", batch, world, tmp_path, beta=0.01, learning_rate=1e-3)
    assert score_reference(trainer, more).to_list()[:3] == first
    assert calls == [1, 1, 1, 1], "only the new row"
    # a pass that was killed while it wrote its last line; others that something else wrote
    (file,) = kept.rglob("*.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("[1]\n2\n" + "".join(lines[:2]) + lines[2][:20])
    assert score_reference(make_trainer("internvl", batch, world, tmp_path), rows).to_list() == first
    assert len(calls) == 5


def test_another_reference_is_scored_anew(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Dataset.from_list(batch)
    scores = [score_reference(make_trainer("internvl", batch, world, tmp_path), rows)["ref_chosen_logps"][:]]
    other = make_trainer("internvl", batch, world, tmp_path)
    other.model.get_submodule("base_model.model.model.language_model.norm").weight.data[7] += 0.5
    scores.append(score_reference(other, rows)["ref_chosen_logps"][:])
    thinned = make_trainer("internvl", batch, world, tmp_path)
    thinned.data_collator.frame_budget = 2
    scores.append(score_reference(thinned, rows)["ref_chosen_logps"][:])
    seen = make_trainer("internvl", batch, world, tmp_path)
    scores.append(
        score_reference(seen, Dataset.from_list([r | {"reference": "full"} for r in batch]))["ref_chosen_logps"][:]
    )
    assert len({tuple(one) for one in scores}) == 4
    # other videos under the same names
    moved = tmp_path / "moved"
    shutil.copytree(world, moved, copy_function=shutil.copyfile)
    calls = counted(monkeypatch)
    score_reference(make_trainer("internvl", batch, moved, tmp_path), rows)
    assert calls == [1, 1, 1]


def test_machines_that_share_no_cache_tell_each_other(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one has the first row, the other one the second, under a key of its own: nobody has the third."""
    trainer, rows = make_trainer("internvl", batch, world, tmp_path), Dataset.from_list(batch)
    expected = score_reference(trainer, rows).to_list()
    (file,) = kept.rglob("*.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0])
    others = [{1: (-1.0, -2.0)}, {}]
    monkeypatch.setattr("longvpo.training.reference.gather_object", lambda mine: [*mine, others.pop(0)])
    calls = counted(monkeypatch)
    scored = score_reference(trainer, rows).to_list()
    assert calls == [1]
    assert scored == [expected[0], batch[1] | {"ref_chosen_logps": -1.0, "ref_rejected_logps": -2.0}, expected[2]]
    assert sorted(line.split(",")[0] for line in file.read_text().splitlines()) == sorted(
        line.split(",")[0] for line in lines
    ), "all are here now"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def stages(dataset: Path, world: Path) -> list[str]:
    steps = ["max_steps=3", "logging_steps=1", "per_device_train_batch_size=2", "gradient_accumulation_steps=1"]
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


def test_a_dataset_that_brings_its_scores(dataset: Path, world: Path, tmp_path: Path, monkeypatch: Any) -> None:
    overrides, scored = stages(dataset, world), tmp_path / "scored"
    facts = score_dataset(load_recipe(TrainRecipe, "tiny/stage1", overrides), scored)
    assert facts["triplets"] == {"stage1": 40}
    rows = load_dataset(str(scored), "stage1", split="train")
    plain = load_dataset(str(dataset), "stage1", split="train")
    assert (
        rows.remove_columns(["ref_chosen_logps", "ref_rejected_logps", "ref_scored_by"]).to_list() == plain.to_list()
    )
    assert json.loads(rows[0]["ref_scored_by"])["base"] == "tiny"
    assert all(value < 0 for value in rows["ref_chosen_logps"])
    for config in ("clips", "dropped"):
        assert load_dataset(str(scored), config, split="train").num_rows

    train(load_recipe(TrainRecipe, "tiny/stage1", [*overrides, "reference_log_probs=precomputed"]), tmp_path / "a")
    calls = counted(monkeypatch)
    brought = [*stages(scored, world), "reference_log_probs=dataset"]
    train(load_recipe(TrainRecipe, "tiny/stage1", brought), tmp_path / "b")
    assert calls == [], "the reference is not scored"
    ours, theirs = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())

    for override, said in (
        ("base.revision=v2", r"revision main, not v2"),
        ("reference=full", r"reference anchor, not full"),
        ("base.quantization=null", r"quantization nf4, not None"),
        ("video.fps=2", r"fps 1\.0, not 2\.0"),
    ):
        with pytest.raises(LongVPOError, match=rf"log-probabilities of another reference: {said}.*precomputed"):
            train(load_recipe(TrainRecipe, "tiny/stage1", [*brought, override]), tmp_path / "c")
    without = [*overrides, "reference_log_probs=dataset"]
    with pytest.raises(LongVPOError, match=r"brings no log-probabilities.*ref_chosen_logps.*longvpo score"):
        train(load_recipe(TrainRecipe, "tiny/stage1", without), tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.soak
def test_scores_of_stage_2_are_its_adapters(
    dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = stages(dataset, world)
    adapters = []
    for seed in (0, 1):
        first = load_recipe(TrainRecipe, "tiny/stage1", [*overrides, f"training.seed={seed}"])
        train(first, tmp_path / f"first{seed}")
        adapters.append(tmp_path / f"first{seed}")
    second = [*overrides, "data.config=stage1", "data.mix=[]", "data.videos={drawn: " + str(world) + "}"]
    recipe = load_recipe(TrainRecipe, "tiny/stage2", [*second, f"adapter={adapters[0]}"])
    facts = score_dataset(recipe, tmp_path / "scored")
    assert facts["scored_by"]["stage1"]["adapter"] is not None
    brought = [*second, f"data.dataset={tmp_path / 'scored'}", "reference_log_probs=dataset"]
    plain = train(recipe, tmp_path / "plain")
    calls = counted(monkeypatch)
    result = train(load_recipe(TrainRecipe, "tiny/stage2", [*brought, f"adapter={adapters[0]}"]), tmp_path / "brought")
    assert calls == []
    assert result["last_log"]["loss"] == pytest.approx(plain["last_log"]["loss"], rel=1e-3)
    with pytest.raises(LongVPOError, match=r"log-probabilities of another reference: adapter \w+, not \w+"):
        train(load_recipe(TrainRecipe, "tiny/stage2", [*brought, f"adapter={adapters[1]}"]), tmp_path / "other")
