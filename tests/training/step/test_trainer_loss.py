"""The anchored loss, held against an independent computation, against TRL itself, and against what it must not see."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.families import FAMILIES, internvl
from support.trainers import ALPHA, BETA, FRESH, difference, log_prob, make_trainer
from torch.nn import functional as F
from trl import DPOTrainer

from longvpo.errors import LongVPOError
from longvpo.models.encode import encode
from longvpo.models.load import load_model, load_processor
from longvpo.models.local import answer
from longvpo.models.writer import Request
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sections import ModelSection
from longvpo.recipe.training import TrainRecipe
from longvpo.training.collator import AnchoredCollator
from longvpo.training.run import train
from longvpo.training.step.packing import Forward
from longvpo.training.step.trainer import AnchoredDPOTrainer
from longvpo.video.frames import ClipFrames
from longvpo.video.joined import at_rate, join


@pytest.fixture(scope="module")
def rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As training loads them."""
    return [row | {"reference": "anchor"} for row in rows]


def picked(rows: list[dict[str, Any]], lengths: tuple[int, ...]) -> list[dict[str, Any]]:
    """One row of each context length; answers of different numbers of words."""
    chosen = [dict(next(row for row in rows if len(row["context"]) == length)) for length in lengths]
    chosen[0]["chosen"] = "red and blue"
    chosen[-1]["rejected"] = "in the sea and in the fog"
    return chosen


def by_hand(trainer: Any, rows: list[dict[str, Any]], world: Path) -> float:
    """The paper's loss, sequence by sequence."""
    frames_of, model, processor = trainer.data_collator.frames_of, trainer.model, trainer.processing_class
    losses = []
    for row in rows:
        clips = [frames_of(clip) for clip in row["context"]]
        context, anchor = join(clips, "letterbox"), clips[row["anchors"][0]]
        with torch.no_grad():
            policy = [log_prob(model, processor, row["prompt"], context, row[a]) for a in ("chosen", "rejected")]
            with model.disable_adapter():
                reference = [log_prob(model, processor, row["prompt"], anchor, row[a]) for a in ("chosen", "rejected")]
        ratios = [p.sum() - r.sum() for p, r in zip(policy, reference, strict=True)]
        losses.append(-F.logsigmoid(BETA * (ratios[0] - ratios[1])) - ALPHA * policy[0].sum() / len(policy[0]))
    return torch.stack(losses).mean().item()


@pytest.mark.parametrize("name", ["tiny", *FAMILIES])
def test_loss_equals_a_computation_by_hand(name: str, rows: list[dict[str, Any]], world: Path, tmp_path: Path) -> None:
    batch = picked(rows, (8, 1, 2, 4))
    trainer = make_trainer(name, batch, world, tmp_path)
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(batch)).item()
    assert loss == pytest.approx(by_hand(trainer, batch, world), rel=1e-5)


class WholeContext(AnchoredCollator):
    """Batches as stock TRL takes them: pixels for every sequence, no batch for the reference."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super().__call__(rows)
        del batch["reference"], batch["clips"]
        pixels = [item.made["pixel_values_videos"] for item in batch.pop("vision")]
        return batch | {"pixel_values_videos": torch.cat([*pixels, *pixels])}


class StockTrainer(DPOTrainer):
    """TRL's own loss; only the preparation of rows, which knows no video, is left out."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


def test_loss_and_gradients_equal_stock_trl_when_the_anchor_is_the_whole_context(
    rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    # stock TRL stacks videos of one length, and its sft is a mean over tokens: answers of one length
    batch = [row for row in rows if len(row["context"]) == 4][:3]
    ours = make_trainer("tiny", batch, world, tmp_path)
    stock = make_trainer("tiny", batch, world, tmp_path, kind=StockTrainer)
    collate = WholeContext(stock.processing_class, ours.data_collator.frames_of)
    full = [row | {"reference": "full"} for row in batch]
    our_loss = ours.compute_loss(ours.model, ours.data_collator(full))
    stock_loss = stock.compute_loss(stock.model, collate(batch))
    assert our_loss.item() == pytest.approx(stock_loss.item(), rel=1e-6)
    our_loss.backward()
    stock_loss.backward()
    gradients = [
        {key: p.grad for key, p in trainer.model.named_parameters() if p.requires_grad} for trainer in (ours, stock)
    ]
    assert len(gradients[0]) == 42  # A and B of 7 linear layers in 3 blocks
    assert difference(*gradients) < 1e-5
    # and the anchored reference is another loss
    anchored = make_trainer("tiny", batch, world, tmp_path)
    assert anchored.compute_loss(anchored.model, anchored.data_collator(batch)).item() != pytest.approx(
        stock_loss.item(), rel=1e-3
    )


@pytest.mark.parametrize("name", ["tiny", *FAMILIES])
def test_only_adapter_weights_get_gradients(
    name: str, rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    batch = picked(rows, (2, 4))
    trainer = make_trainer(name, batch, world, tmp_path)
    trainer.compute_loss(trainer.model, trainer.data_collator(batch)).backward()
    touched = {key for key, parameter in trainer.model.named_parameters() if parameter.grad is not None}
    adapters = {key for key, _ in trainer.model.named_parameters() if "lora_" in key}
    assert touched == adapters
    assert all("language_model" in key or "text_model" in key for key in touched)
    assert any(parameter.grad.abs().sum() > 0 for key, parameter in trainer.model.named_parameters() if key in touched)


def test_a_distractors_pixels_reach_the_policy_and_not_the_reference(
    rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    row = next(row for row in rows if len(row["context"]) == 4)
    trainer = make_trainer("tiny", [row], world, tmp_path)
    frames_of = trainer.data_collator.frames_of

    def scores() -> tuple[torch.Tensor, torch.Tensor]:
        batch = trainer.data_collator([row])
        anchor = trainer.with_features(batch.pop("reference"))
        reference = torch.stack(trainer.compute_ref_log_probs(trainer.model, anchor))
        batch = trainer.with_features(batch)
        mask = batch.pop("completion_mask")
        with torch.no_grad():
            labels = batch["input_ids"].masked_fill(mask == 0, -100)
            forward = Forward(trainer.model, trainer.vision, packed=True)
            policy = forward(**batch, labels=labels, fused_lm_head=True).log_probs.sum(1)
        return policy, reference

    policy, reference = scores()
    place = next(place for place in range(4) if place not in row["anchors"])
    distractor = frames_of(row["context"][place])
    distractor[:] = 255 - distractor  # in the cache, as the collator will read it
    other_policy, other_reference = scores()
    assert not torch.allclose(policy, other_policy, rtol=1e-3)
    assert torch.equal(reference, other_reference)
    anchor = frames_of(row["context"][row["anchors"][0]])
    anchor[:] = 255 - anchor
    assert not torch.allclose(reference, scores()[1], rtol=1e-3)


def test_vision_side_and_lm_head_stay_out_of_nf4() -> None:
    import bitsandbytes

    model = load_model(ModelSection(model="tiny", dtype="float32", quantization="nf4"))
    quantised = {key for key, module in model.named_modules() if isinstance(module, bitsandbytes.nn.Linear4bit)}
    assert len(quantised) == 21  # 7 linear layers in 3 blocks
    assert all(key.startswith("model.language_model.layers.") for key in quantised)
    state = model.get_submodule(sorted(quantised)[0]).weight.quant_state
    assert (state.quant_type, state.nested) == ("nf4", True)


@pytest.mark.soak
def test_the_saved_adapter_gives_the_same_logits_in_a_fresh_process(
    dataset: Path, rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    overrides = [
        f"data.dataset={dataset}",
        f"data.videos.drawn={world}",
        "training.max_steps=3",
        "training.save_strategy=steps",
        "training.save_steps=2",
    ]
    recipe = load_recipe(TrainRecipe, "tiny/stage1", overrides)
    adapter = tmp_path / "adapter"
    facts = train(recipe, adapter)
    assert facts["steps"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"], "checkpoints are gone when all is done"
    card = (adapter / "README.md").read_text()
    assert "| optimiser steps | 3 |" in card
    assert "base_model" not in card, "tiny is not a model on the Hub"
    assert train(recipe, adapter) == facts, "the same command again does nothing"

    from longvpo import TINY as CHECKPOINT

    processor = load_processor(recipe.base)
    row = next(row for row in rows if len(row["context"]) == 4)
    frames_of = ClipFrames(recipe.video, recipe.data.videos)
    video = join([frames_of(clip) for clip in row["context"]], "letterbox")
    inputs = encode(processor, [row["prompt"]], [video], [at_rate(len(video), 1.0)])
    torch.save(inputs, tmp_path / "inputs.pt")
    with torch.no_grad():
        plain = load_model(recipe.base)(**inputs).logits
        expected = load_model(recipe.base, adapter)(**inputs).logits
    arguments = [str(CHECKPOINT), str(adapter), str(tmp_path / "inputs.pt"), str(tmp_path / "logits.pt")]
    subprocess.run([sys.executable, "-c", FRESH, *arguments], check=True, capture_output=True, text=True)
    fresh = torch.load(tmp_path / "logits.pt")
    assert torch.equal(fresh, expected)
    assert not torch.allclose(fresh, plain, atol=1e-4), "three steps leave a trace"


def test_an_interrupted_run_goes_on_to_the_same_adapter(
    dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = ["max_steps=4", "save_strategy=steps", "save_steps=2", "gradient_accumulation_steps=1"]
    overrides = [f"data.dataset={dataset}", f"data.videos.drawn={world}", *(f"training.{item}" for item in section)]
    recipe = load_recipe(TrainRecipe, "tiny/stage1", overrides)
    train(recipe, tmp_path / "whole")

    calls, compute_loss = [], AnchoredDPOTrainer.compute_loss

    def stopped(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return compute_loss(self, *args, **kwargs)

    monkeypatch.setattr(AnchoredDPOTrainer, "compute_loss", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "stopped")
    assert not (tmp_path / "stopped").exists()
    other = load_recipe(TrainRecipe, "tiny/stage1", [*overrides, "training.beta=0.5"])
    with pytest.raises(LongVPOError, match="holds a run of another recipe"):
        train(other, tmp_path / "stopped")
    monkeypatch.setattr(AnchoredDPOTrainer, "compute_loss", compute_loss)
    calls.clear()
    assert train(recipe, tmp_path / "stopped")["steps"] == 4
    weights = [load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "stopped")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_the_internvl_recipe_trains_a_small_internvl(
    dataset: Path, world: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The real recipe as it stands, bfloat16, NF4 and gradient checkpointing included, on a base of two layers."""
    import bitsandbytes

    base = tmp_path / "base"
    for part in internvl():
        part.save_pretrained(base)
    overrides = [f"base.model={base}", f"data.dataset={dataset}", f"data.videos={{drawn: {world}}}"]
    recipe = load_recipe(TrainRecipe, "internvl3-1b/stage1", [*overrides, "training.max_steps=2"])
    facts = train(recipe, tmp_path / "adapter")
    assert facts["steps"] == 2
    assert np.isfinite(facts["last_log"].get("loss", 0.0))

    model = load_model(recipe.base, tmp_path / "adapter")
    quantised = {key for key, module in model.named_modules() if isinstance(module, bitsandbytes.nn.Linear4bit)}
    assert len(quantised) == 14  # 7 linear layers in 2 blocks
    assert all(".language_model.layers." in key for key in quantised)
    adapters = {key: value for key, value in model.named_parameters() if "lora_" in key}
    assert len(adapters) == 28
    assert all(value.dtype == torch.float32 for value in adapters.values())
    assert any(value.abs().max() > 0 for key, value in adapters.items() if "lora_B" in key), "it has moved"
    processor = load_processor(recipe.base)
    frames_of = ClipFrames(recipe.video, {"drawn": world})
    requests = [
        Request(row["prompt"], times=(0.5, 1.5, 2.5, 3.5), seconds=4.0, frames=partial(frames_of, row["context"][0]))
        for row in rows[:3]
    ]
    written = answer(model, processor, requests, 3)
    assert len(written) == 3
