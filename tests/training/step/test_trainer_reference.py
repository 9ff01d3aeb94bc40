"""What the frozen reference of stage 2 sees and scores."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.stage2 import collator, equal, make_trainer, seen, weights_of, weights_of_parameters
from support.trainers import log_prob
from support.world import TINY

from longvpo.models.load import load_model, load_processor
from longvpo.recipe.sections import ModelSection


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


@pytest.mark.parametrize("reference", ["anchor", "relevant", "full"])
def test_reference_log_probs_are_the_stage_1_adapters(
    reference: str, stage1: Path, stage2_rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    batch = seen([stage2_rows[7], stage2_rows[0], stage2_rows[3], stage2_rows[5]], reference)
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


def test_what_the_reference_sees(stage2_rows: list[dict[str, Any]], world: Path) -> None:
    collate, batch = collator(world), [stage2_rows[7], stage2_rows[3]]
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
            collate([item | {"reference": kind}])["reference"]["vision"][0].made["pixel_values_videos"]
            for item, kind in ((row, one), (turned, other))
        ]
        assert torch.equal(*pixels) is same


def test_only_the_policys_adapter_gets_gradients(
    stage1: Path, stage2_rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    batch = [*seen(stage2_rows[6:8], "full"), *seen(stage2_rows[2:4], "relevant")]
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
    quantization: Any, stage1: Path, stage2_rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    """TRL rounds the policy's adapter of a quantised base to bfloat16; it must be stage 1's to the last bit."""
    base = ModelSection(model="tiny", dtype="float32", quantization=quantization)
    batch = seen(stage2_rows[:4], "full")
    trainer = make_trainer(stage1, batch, world, tmp_path, base, loss_type=["sigmoid"], loss_weights=[1.0])
    saved = load_file(stage1 / "adapter_model.safetensors")
    assert equal(weights_of(trainer.model, "default"), saved)
    assert equal(weights_of(trainer.model, "ref"), saved)
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(batch)).item()
    assert loss == pytest.approx(math.log(2), abs=1e-7)
    batch = seen(stage2_rows[4:8], "anchor")
    assert abs(trainer.compute_loss(trainer.model, trainer.data_collator(batch)).item() - math.log(2)) > 1e-3


def test_rows_of_several_references_in_one_batch(
    stage1: Path, stage2_rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    picked = [stage2_rows[7], stage2_rows[5], stage2_rows[2], stage2_rows[6]]
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
