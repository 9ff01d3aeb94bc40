"""Training that goes on from an adapter: what its frozen copy sees, rows of two configs, frames, and resuming."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, List, Value
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file, save_file
from support.families import internvl
from support.trainers import FRESH, SECTION, log_prob
from support.triplets import rows_of, triplets, write_dataset
from support.world import TINY

from longvpo.clips.rows import features
from longvpo.errors import LongVPOError
from longvpo.models import load as models
from longvpo.models.encode import encode
from longvpo.models.load import load_model, load_processor
from longvpo.recipe.file import dump_recipe, load_recipe
from longvpo.recipe.sections import ModelSection, VideoSection
from longvpo.recipe.training import TrainRecipe
from longvpo.training.collator import AnchoredCollator
from longvpo.training.plan import plan_training
from longvpo.training.rows import training_rows
from longvpo.training.run import train, training_arguments
from longvpo.training.step.trainer import AnchoredDPOTrainer
from longvpo.video.frames import ClipFrames, join, thin


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve rows of stage 2, with two anchors each, and ten of stage 1."""
    folder = tmp_path_factory.mktemp("dataset") / "triplets"
    return write_dataset(folder, stage1=rows_of("stage1", 10, 4), stage2=rows_of("stage2", 12, 8))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Rows of stage 2 with answers of several lengths and contexts of one to eight clips."""
    return triplets("stage2", 12, 8)


@pytest.fixture(scope="module")
def stage1(dataset: Path, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of three steps, whose rate is so high that it differs a lot from its base."""
    folder = tmp_path_factory.mktemp("stage1") / "adapter"
    overrides = [
        f"data.dataset={dataset}",
        f"data.videos={{drawn: {world}, stories: {world}}}",
        "lora.r=4",
        *(f"training.{item}" for item in ("max_steps=3", "warmup_steps=0", "learning_rate=1e-2")),
    ]
    train(load_recipe(TrainRecipe, "tiny/stage1", overrides), folder)
    return folder


def stage2_recipe(stage1: Path, dataset: Path, world: Path, *overrides: str) -> TrainRecipe:
    where = [f"adapter={stage1}", f"data.dataset={dataset}", f"data.videos={{drawn: {world}, stories: {world}}}"]
    return load_recipe(TrainRecipe, "tiny/stage2", [*where, "training.warmup_steps=0", *overrides])


def collator(world: Path, **options: Any) -> AnchoredCollator:
    return AnchoredCollator(
        load_processor(TINY), ClipFrames(VideoSection(), {"drawn": world, "stories": world}), 1.0, **options
    )


def make_trainer(
    stage1: Path, rows: list[dict[str, Any]], world: Path, tmp_path: Path, base: ModelSection = TINY, **section: Any
) -> Any:
    collate = collator(world)
    return AnchoredDPOTrainer(
        model=load_model(base, stage1, trainable=True),
        args=training_arguments(SECTION | section, tmp_path / "run"),
        train_dataset=Dataset.from_list(rows),
        processing_class=collate.processor,
        data_collator=collate,
    )


def seen(rows: list[dict[str, Any]], reference: str) -> list[dict[str, Any]]:
    return [row | {"reference": reference} for row in rows]


def weights_of(model: Any, name: str) -> dict[str, torch.Tensor]:
    """An adapter's tensors, under the names that they have in its file."""
    return {
        key.replace(f".{name}.", "."): parameter.detach().clone()
        for key, parameter in model.named_parameters()
        if f".{name}." in key
    }


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    assert one.keys() == other.keys()
    assert all(one[key].dtype == other[key].dtype == torch.float32 for key in one)
    return all(torch.equal(one[key], other[key]) for key in one)


def policy_scores(trainer: Any, batch: dict[str, Any]) -> torch.Tensor:
    """Log-probabilities of chosen and of rejected under the policy: shape (2, rows)."""
    batch = trainer.with_features({name: value for name, value in batch.items() if name != "reference"})
    mask = batch.pop("completion_mask")
    with torch.no_grad():
        labels = batch["input_ids"].masked_fill(mask == 0, -100)
        return trainer.model(**batch, labels=labels, fused_lm_head=True).log_probs.sum(1).reshape(2, -1)


def reference_scores(trainer: Any, batch: dict[str, Any]) -> torch.Tensor:
    scored = trainer.with_features(batch.get("reference", batch))
    scored.pop("reference", None)
    return torch.stack(trainer.compute_ref_log_probs(trainer.model, scored))


# --- the reference


@pytest.mark.parametrize("reference", ["anchor", "relevant", "full"])
def test_reference_log_probs_are_the_stage_1_adapters(
    reference: str, stage1: Path, rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    batch = seen([rows[7], rows[0], rows[3], rows[5]], reference)
    trainer = make_trainer(stage1, batch, world, tmp_path)
    for parameter in weights_of_parameters(trainer.model, "default"):
        parameter.data += 0.05  # a policy that has moved on
    scores = reference_scores(trainer, trainer.data_collator(batch))

    own, base, processor = load_model(TINY, stage1), load_model(TINY), load_processor(TINY)
    frames_of, by_hand, without = trainer.data_collator.frames_of, [], []
    for row in batch:
        clips = [frames_of(clip) for clip in row["context"]]
        places = {"anchor": row["anchors"][:1], "relevant": row["anchors"], "full": range(len(clips))}[reference]
        frames = np.concatenate([clips[place] for place in places])
        with torch.no_grad():
            for model, into in ((own, by_hand), (base, without)):
                answers = (row["chosen"], row["rejected"])
                into.append([log_prob(model, processor, row["prompt"], frames, said).sum().item() for said in answers])
    torch.testing.assert_close(scores.T, torch.tensor(by_hand), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(scores.T, torch.tensor(without), rtol=1e-2), "the adapter matters"
    assert not torch.allclose(scores, policy_scores(trainer, trainer.data_collator(batch)), rtol=1e-2)


def weights_of_parameters(model: Any, name: str) -> list[Any]:
    return [parameter for key, parameter in model.named_parameters() if f".{name}." in key]


def test_what_the_reference_sees(rows: list[dict[str, Any]], world: Path) -> None:
    collate, batch = collator(world), [rows[7], rows[3]]
    lengths = {
        reference: collate(seen(batch, reference)).get("reference", {}).get("attention_mask", torch.zeros(1, 0))
        for reference in ("anchor", "relevant", "full")
    }
    prompt = collate(seen(batch, "full"))["attention_mask"].sum(1)
    assert lengths["full"].numel() == 0, "it is scored on what the policy sees"
    assert (lengths["anchor"].sum(1) < lengths["relevant"].sum(1)).all()
    assert (lengths["relevant"].sum(1) < prompt).all()
    # anchors out of order: the first is the anchor clip, and together they are shown in the context's order
    [row] = seen(batch[:1], "relevant")
    turned = row | {"anchors": row["anchors"][::-1]}
    for one, other, same in (("relevant", "relevant", True), ("anchor", "anchor", False)):
        pixels = [
            collate([item | {"reference": kind}])["reference"]["vision"][0]["pixel_values_videos"]
            for item, kind in ((row, one), (turned, other))
        ]
        assert torch.equal(*pixels) is same


def test_only_the_policys_adapter_gets_gradients(
    stage1: Path, rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    batch = [*seen(rows[6:8], "full"), *seen(rows[2:4], "relevant")]
    trainer = make_trainer(stage1, batch, world, tmp_path)
    policys = {key for key, parameter in trainer.model.named_parameters() if ".default." in key}
    assert {key for key, parameter in trainer.model.named_parameters() if parameter.requires_grad} == policys
    trainer.compute_loss(trainer.model, trainer.data_collator(batch)).backward()
    with_gradient = {key for key, parameter in trainer.model.named_parameters() if parameter.grad is not None}
    assert with_gradient == policys
    assert len(with_gradient) == 42  # A and B of 7 linear layers in 3 blocks
    moved = [p for p in weights_of_parameters(trainer.model, "default") if p.grad.abs().sum() > 0]
    assert len(moved) == 42, "an adapter that was trained has no zero B, so A gets gradients too"
    assert not any(parameter.requires_grad for parameter in weights_of_parameters(trainer.model, "ref"))


@pytest.mark.parametrize("quantization", [None, "nf4"])
def test_training_begins_where_stage_1_ended(
    quantization: Any, stage1: Path, rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    """TRL rounds the policy's adapter of a quantised base to bfloat16; it must be stage 1's to the last bit."""
    base = ModelSection(model="tiny", dtype="float32", quantization=quantization)
    batch = seen(rows[:4], "full")
    trainer = make_trainer(stage1, batch, world, tmp_path, base, loss_type=["sigmoid"], loss_weights=[1.0])
    saved = load_file(stage1 / "adapter_model.safetensors")
    assert equal(weights_of(trainer.model, "default"), saved)
    assert equal(weights_of(trainer.model, "ref"), saved)
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(batch)).item()
    assert loss == pytest.approx(math.log(2), abs=1e-7)
    batch = seen(rows[4:8], "anchor")
    assert abs(trainer.compute_loss(trainer.model, trainer.data_collator(batch)).item() - math.log(2)) > 1e-3


def test_rows_of_several_references_in_one_batch(
    stage1: Path, rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    picked = [rows[7], rows[5], rows[2], rows[6]]
    kinds = ["full", "anchor", "relevant", "full"]
    batch = [row | {"reference": kind} for row, kind in zip(picked, kinds, strict=True)]
    trainer = make_trainer(stage1, batch, world, tmp_path)
    for parameter in weights_of_parameters(trainer.model, "default"):
        parameter.data += 0.02
    collate = trainer.data_collator
    together = reference_scores(trainer, collate(batch))
    alone = torch.cat([reference_scores(trainer, collate([row])) for row in batch], 1)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    loss = trainer.compute_loss(trainer.model, collate(batch)).item()
    losses = [trainer.compute_loss(trainer.model, collate([row])).item() for row in batch]
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    others = [row | {"reference": "full"} for row in batch]
    assert loss != pytest.approx(trainer.compute_loss(trainer.model, collate(others)).item(), rel=1e-3)


# --- rows of other configs


def test_rows_of_other_configs_make_up_their_share(stage1: Path, dataset: Path, world: Path) -> None:
    recipe = stage2_recipe(stage1, dataset, world)  # a quarter of stage 1
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
    assert training_rows(stage2_recipe(stage1, dataset, world, "data.mix=[]"), 0).to_list() == [
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


def test_too_few_rows_for_the_mix(stage1: Path, dataset: Path, world: Path) -> None:
    share = "data.mix=[{{config: stage1, share: {}}}]"
    with pytest.raises(LongVPOError) as error:
        training_rows(stage2_recipe(stage1, dataset, world, share.format(0.5)), 0)
    assert "needs 12 rows of stage1, which has 10: set its share to at most 0.4545" in str(error.value)
    rows = training_rows(stage2_recipe(stage1, dataset, world, share.format(0.4545)), 0)
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


# --- frames


@pytest.mark.parametrize("seed", range(20))
def test_thinning_keeps_every_clip_in_proportion(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 40, size=rng.integers(1, 20))
    clips = [np.arange(length)[:, None] + np.zeros((1, 3)) for length in lengths]
    budget = int(rng.integers(len(lengths), lengths.sum() + 5))
    kept = [len(clip) for clip in thin(clips, budget)]
    assert sum(kept) == min(budget, lengths.sum())
    assert all(1 <= count <= length for count, length in zip(kept, lengths, strict=True))
    # no frame could move to another clip and make the shares more even: Sainte-Laguë
    next_one = max(length / (2 * count + 1) for count, length in zip(kept, lengths, strict=True))
    last_one = [length / (2 * count - 1) for count, length in zip(kept, lengths, strict=True) if count > 1]
    assert sum(kept) == lengths.sum() or next_one <= min(last_one, default=np.inf)
    for clip, thinned in zip(clips, thin(clips, budget), strict=True):
        places = thinned[:, 0]
        assert set(places) <= set(clip[:, 0])
        steps = np.diff(places)
        assert len(steps) == 0 or (steps.min() >= 1 and np.ptp(steps) <= 1), "even distances"
        first, last = places[0], len(clip) - 1 - places[-1]
        assert abs(first - last) <= 1, "and as much before the first as after the last"


def test_thinning_that_is_not_needed_or_not_possible() -> None:
    clips = [np.zeros((4, 2, 2, 3), np.uint8), np.ones((8, 2, 2, 3), np.uint8)]
    for budget in (None, 12, 100):
        assert all(one is other for one, other in zip(thin(clips, budget), clips, strict=True))
    assert [len(clip) for clip in thin(clips, 6)] == [2, 4]
    assert [len(clip) for clip in thin(clips, 2)] == [1, 1]
    assert thin([np.arange(10)], 5)[0].tolist() == [1, 3, 5, 7, 9]
    with pytest.raises(LongVPOError, match="2 clips do not fit into a budget of 1 frames: raise frame_budget"):
        thin(clips, 1)


class Watched:
    """A processor that notes what it is told about videos."""

    def __init__(self, processor: Any) -> None:
        self.processor, self.told = processor, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)

    def __call__(self, **inputs: Any) -> Any:
        self.told += inputs["video_metadata"]
        return self.processor(**inputs)


def test_a_context_beyond_the_frame_budget_is_thinned(rows: list[dict[str, Any]], world: Path) -> None:
    row = rows[7] | {"reference": "relevant"}  # 8 clips of 4 frames, 2 anchors
    collate = collator(world, frame_budget=10)
    collate.processor = Watched(collate.processor)
    batch = collate([row])
    told = [(item["total_num_frames"], item["fps"], item["duration"]) for item in collate.processor.told]
    assert told == [(10, 10 / 32, 32.0), (8, 1.0, 8.0)], "the reference's 8 frames are within the budget"
    clips = [collate.frames_of(clip) for clip in row["context"]]
    by_hand = encode(load_processor(TINY), [row["prompt"]], [join(thin(clips, 10), 0)], 10 / 32)
    assert torch.equal(batch["vision"][0]["pixel_values_videos"], by_hand["pixel_values_videos"])
    plain = collator(world)([row])
    assert torch.equal(batch["reference"]["input_ids"], plain["reference"]["input_ids"])
    assert batch["input_ids"].shape[1] < plain["input_ids"].shape[1]
    narrow = collator(world, frame_budget=8)
    narrow.processor = Watched(narrow.processor)
    assert "reference" not in narrow([row | {"reference": "full"}])
    narrow([row | {"reference": "full"}, row])
    assert [item["total_num_frames"] for item in narrow.processor.told] == [8] * 5


# --- runs


def test_a_run_of_stage_2(
    stage1: Path, dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = stage2_recipe(stage1, dataset, world, "frame_budget=20")
    saved = load_file(stage1 / "adapter_model.safetensors")
    calls, compute_loss = [], AnchoredDPOTrainer.compute_loss

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(equal(weights_of(self.model, "default"), saved))
        assert equal(weights_of(self.model, "ref"), saved)
        assert self.data_collator.frame_budget == 20
        return compute_loss(self, *args, **kwargs)

    monkeypatch.setattr(AnchoredDPOTrainer, "compute_loss", watched)
    output = tmp_path / "stage2"
    facts = train(recipe, output)
    assert calls == [True] * 5, "the longest row, and one step of four batches, with the reference that stage 1 left"
    assert (facts["steps"], facts["triplets"], facts["trained_parameters"]) == (
        1,
        16,
        sum(map(torch.numel, saved.values())),
    )
    assert facts["configs"] == [
        {"config": "stage2", "reference": "full", "triplets": 12},
        {"config": "stage1", "reference": "anchor", "triplets": 4},
    ]
    weights = load_file(output / "adapter_model.safetensors")
    assert weights.keys() == saved.keys()
    assert not any(torch.equal(weights[key], saved[key]) for key in saved)
    assert not (output / "ref").exists()
    config = json.loads((output / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"]) == ("tiny", 4)

    card = (output / "README.md").read_text()
    assert f"Training went on from the adapter `{stage1}`" in card
    assert f"sha256 of its weights `{facts['adapter_sha256']}`" in card
    assert "| triplets | 16 |" in card
    assert "| of config `stage2` | 12, the reference scored on the whole context |" in card
    assert "| of config `stage1` | 4, the reference scored on the anchor clip |" in card
    assert "at most 64 a clip and 20 a context, thinned evenly |" in card
    assert "\n\n\n" not in card
    assert "|\n|" in card
    assert "|\n\n|" not in card

    assert train(recipe, output) == facts, "the same command again does nothing"
    assert train(load_recipe(TrainRecipe, str(output / "recipe.yaml")), output) == facts
    assert len(calls) == 5


def test_the_saved_adapter_loads_over_the_base_in_a_fresh_process(
    stage1: Path, dataset: Path, world: Path, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    recipe = stage2_recipe(stage1, dataset, world, "data.mix=[]")
    adapter = tmp_path / "stage2"
    train(recipe, adapter)
    frames_of = ClipFrames(recipe.video, recipe.data.videos)
    clips = [frames_of(clip) for clip in rows[7]["context"]]
    inputs = encode(load_processor(recipe.base), [rows[7]["prompt"]], [join(clips, 0)], 1.0)
    torch.save(inputs, tmp_path / "inputs.pt")
    with torch.no_grad():
        before = load_model(recipe.base, stage1)(**inputs).logits
        expected = load_model(recipe.base, adapter)(**inputs).logits
    arguments = [str(models.TINY), str(adapter), str(tmp_path / "inputs.pt"), str(tmp_path / "logits.pt")]
    subprocess.run([sys.executable, "-c", FRESH, *arguments], check=True, capture_output=True, text=True)
    fresh = torch.load(tmp_path / "logits.pt")
    assert torch.equal(fresh, expected)
    assert not torch.allclose(fresh, before, atol=1e-4), "one step leaves a trace"


KILLED = """
import os, signal, sys
from longvpo.recipe.training import TrainRecipe
from longvpo.recipe.file import load_recipe
from longvpo.training.run import train
from longvpo.training.step.trainer import AnchoredDPOTrainer

calls, compute_loss = [], AnchoredDPOTrainer.compute_loss

def killed(self, *args, **kwargs):
    calls.append(1)
    if len(calls) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return compute_loss(self, *args, **kwargs)

AnchoredDPOTrainer.compute_loss = killed
train(load_recipe(TrainRecipe, sys.argv[1]), __import__("pathlib").Path(sys.argv[2]))
"""


def test_a_killed_run_goes_on_to_the_same_adapter_with_the_same_reference(
    stage1: Path, dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = ("max_steps=4", "save_strategy=steps", "save_steps=2", "gradient_accumulation_steps=1")
    recipe = stage2_recipe(stage1, dataset, world, *(f"training.{item}" for item in section))
    saved = load_file(stage1 / "adapter_model.safetensors")
    train(recipe, tmp_path / "whole")

    values = dump_recipe(recipe).partition("\nlora:")
    (tmp_path / "recipe.yaml").write_text(values[0] + "\nreference" + values[2].partition("\nreference")[2])
    arguments = [str(tmp_path / "recipe.yaml"), str(tmp_path / "killed")]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "killed").exists()
    last = tmp_path / "killed.checkpoints" / "checkpoint-2"
    assert equal(load_file(last / "ref" / "adapter_model.safetensors"), saved)
    assert not equal(load_file(last / "adapter_model.safetensors"), saved)

    references, policies, compute_loss = [], [], AnchoredDPOTrainer.compute_loss

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        references.append(weights_of(self.model, "ref"))
        policies.append(weights_of(self.model, "default"))
        loss = compute_loss(self, *args, **kwargs)
        assert not any(parameter.requires_grad for parameter in weights_of_parameters(self.model, "ref"))
        return loss

    monkeypatch.setattr(AnchoredDPOTrainer, "compute_loss", watched)
    assert train(recipe, tmp_path / "killed")["steps"] == 4
    assert len(references) == 3, "the longest row, steps 3 and 4"
    assert all(equal(reference, saved) for reference in references)
    assert not any(equal(policy, saved) for policy in policies)
    assert equal(*(load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "killed")))
    assert sorted(path.name for path in (tmp_path / "killed").iterdir() if path.is_dir()) == []
    assert not (tmp_path / "killed.checkpoints").exists()


def test_another_starting_adapter_is_another_run(
    stage1: Path, dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same path with other weights in it: neither the result nor the checkpoints are those of this run."""
    start = tmp_path / "start"
    shutil.copytree(stage1, start)
    section = ("max_steps=2", "save_strategy=steps", "save_steps=1", "gradient_accumulation_steps=1")
    recipe = stage2_recipe(start, dataset, world, *(f"training.{item}" for item in section))
    train(recipe, tmp_path / "done")
    compute_loss = AnchoredDPOTrainer.compute_loss

    def stopped(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 1:
            raise KeyboardInterrupt
        return compute_loss(self, *args, **kwargs)

    monkeypatch.setattr(AnchoredDPOTrainer, "compute_loss", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "half")
    weights = load_file(start / "adapter_model.safetensors")
    save_file({key: 2 * value for key, value in weights.items()}, start / "adapter_model.safetensors")
    with pytest.raises(LongVPOError, match="holds the result of another recipe or of other input"):
        train(recipe, tmp_path / "done")
    with pytest.raises(LongVPOError, match="holds a run of another recipe, dataset or starting adapter"):
        train(recipe, tmp_path / "half")


def test_the_internvl_recipes_train_a_small_internvl_in_two_stages(
    dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both real recipes as they stand, bfloat16, NF4 and gradient checkpointing included."""
    base = tmp_path / "base"
    for part in internvl():
        part.save_pretrained(base)
    common = [f"base.model={base}", f"data.dataset={dataset}", f"data.videos={{drawn: {world}, stories: {world}}}"]
    rate = ["training.max_steps=2", "training.warmup_steps=0", "training.learning_rate=1e-3"]
    first = tmp_path / "stage1"
    train(load_recipe(TrainRecipe, "internvl3-1b/stage1", [*common, *rate]), first)
    saved = load_file(first / "adapter_model.safetensors")
    assert any((value != value.bfloat16().float()).any() for value in saved.values()), "bfloat16 cannot hold them"

    before, compute_loss = [], AnchoredDPOTrainer.compute_loss

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        before.append(equal(weights_of(self.model, "default"), saved))
        assert equal(weights_of(self.model, "ref"), saved)
        return compute_loss(self, *args, **kwargs)

    monkeypatch.setattr(AnchoredDPOTrainer, "compute_loss", watched)
    recipe = load_recipe(TrainRecipe, "internvl3-1b/stage2", [*common, *rate, f"adapter={first}", "frame_budget=16"])
    facts = train(recipe, tmp_path / "stage2")
    assert facts["steps"] == 2
    assert before == [True] * 9 + [False] * 8, "the longest row, and two steps"
    after = weights_of(load_model(recipe.base, tmp_path / "stage2"), "default")
    assert after.keys() == saved.keys()
    assert not any(torch.equal(after[key], saved[key]) for key in saved)


# --- what the user can mend


def other_base(folder: Path) -> list[str]:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "someone/else"}))
    return []


def no_weights(folder: Path) -> list[str]:
    (folder / "adapter_model.safetensors").unlink()
    return []


@pytest.mark.parametrize(
    ("spoil", "overrides", "texts"),
    [
        (other_base, [], ["was trained on someone/else, not on tiny", "set base.model=someone/else"]),
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
            ["row 7 of config stage2 has 8 clips", "a frame_budget of 7: set it to 8 or more"],
        ),
    ],
)
def test_mistakes_are_found_before_training_and_by_a_dry_run(
    stage1: Path,
    dataset: Path,
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
    recipe = stage2_recipe(start, dataset, world, *overrides)
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
    dataset: Path, world: Path, tmp_path: Path, adapter: str, texts: list[str]
) -> None:
    with pytest.raises(LongVPOError) as error:
        train(stage2_recipe(Path(adapter), dataset, world), tmp_path / "out")
    for text in texts:
        assert text in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_on_the_hub(stage1: Path, dataset: Path, world: Path, tmp_path: Path) -> None:
    """Fetched before, as the Hub's client keeps it: this machine is offline."""
    kept = Path(os.environ["HF_HOME"]) / "hub" / "models--someone--stage1"
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(stage1, kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "v1.0").write_text(commit)
    recipe = stage2_recipe(Path("someone/stage1"), dataset, world, "adapter_revision=v1.0", "training.max_steps=1")
    assert plan_training(recipe)["adapter"] == "someone/stage1"
    train(recipe, tmp_path / "hub")
    train(stage2_recipe(stage1, dataset, world, "training.max_steps=1"), tmp_path / "folder")
    assert equal(*(load_file(tmp_path / name / "adapter_model.safetensors") for name in ("hub", "folder")))


def test_an_adapter_that_trains_the_vision_side_is_refused(
    rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    from peft import get_peft_model

    both = get_peft_model(load_model(TINY), LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM"))
    assert isinstance(both, PeftModel)
    both.save_pretrained(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "tiny"}))
    with pytest.raises(LongVPOError, match="or choose an adapter of these alone"):
        make_trainer(tmp_path / "adapter", seen(rows, "full"), world, tmp_path)


def test_a_dry_run_counts_the_rows_of_each_config(stage1: Path, dataset: Path, world: Path, tmp_path: Path) -> None:
    said = plan_training(stage2_recipe(stage1, dataset, world))
    assert (said["triplets"], said["steps"], said["adapter"]) == (16, 1, str(stage1))
    assert said["configs"] == [
        {"config": "stage2", "reference": "full", "triplets": 12},
        {"config": "stage1", "reference": "anchor", "triplets": 4},
    ]
    elsewhere = plan_training(stage2_recipe(stage1, tmp_path / "not-here", world))
    assert (elsewhere["triplets"], elsewhere["steps"]) == (None, None)
