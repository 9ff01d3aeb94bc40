"""Adapters on the vision side: the loss, its gradients, and what may not be kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import PeftModel
from safetensors.torch import load_file
from support.families import FAMILIES
from support.trainers import ALPHA, BETA, QUESTION, SECTION, difference, family, log_prob, step, train_recipe
from support.world import TINY
from torch.nn import functional as F
from transformers import AutoModelForImageTextToText

import longvpo
from longvpo.errors import LongVPOError
from longvpo.models.load import is_language, load_model, load_processor
from longvpo.models.memory import Skeleton
from longvpo.recipe.sections import ModelSection, VideoSection
from longvpo.recipe.training import LoraSection, TrainRecipe
from longvpo.training.adapter import lora_config
from longvpo.training.arguments import training_arguments
from longvpo.training.collator import AnchoredCollator
from longvpo.training.merge import merge
from longvpo.training.run import train
from longvpo.training.start import starting_adapter
from longvpo.training.step.trainer import AnchoredDPOTrainer
from longvpo.video.frames import ClipFrames, read_frames, sample_times
from longvpo.video.joined import join


def make(name: str, rows: list[dict[str, Any]], world: Path, output: Path, part: str = "all", **more: Any) -> Any:
    """A trainer with adapters that are not nothing on the vision side, too."""
    model, processor = family(name)
    section = LoraSection.model_validate({"r": 4, "lora_alpha": 8, "vision": part})
    trainer = AnchoredDPOTrainer(
        model=model,
        args=training_arguments(SECTION | more.pop("section", {}), output / "run"),
        train_dataset=Dataset.from_list(rows),
        processing_class=processor,
        data_collator=AnchoredCollator(processor, ClipFrames(VideoSection(), {"drawn": world})),
        peft_config=lora_config(section, ModelSection(model=name), Skeleton(model.config)),
        **more,
    )
    generator = torch.Generator().manual_seed(0)
    for key, parameter in trainer.model.named_parameters():
        if "lora_B" in key:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return trainer


def by_hand(trainer: Any, rows: list[dict[str, Any]]) -> torch.Tensor:
    """The paper's loss, sequence by sequence, each with its own pass of the whole model, pictures included."""
    frames_of, model, processor = trainer.data_collator.frames_of, trainer.model, trainer.processing_class
    losses = []
    for row in rows:
        clips = [frames_of(clip) for clip in row["context"]]
        context, anchor = join(clips, row["anchors"][0]), clips[row["anchors"][0]]
        answers = [row["chosen"], row["rejected"]]
        policy = [log_prob(model, processor, row["prompt"], context, one) for one in answers]
        with torch.no_grad(), model.disable_adapter():
            reference = [log_prob(model, processor, row["prompt"], anchor, one).sum() for one in answers]
        margin = policy[0].sum() - reference[0] - policy[1].sum() + reference[1]
        losses.append(-F.logsigmoid(BETA * margin) - ALPHA * policy[0].sum() / len(policy[0]))
    return torch.stack(losses).mean()


def gradients_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("part", ["connector", "all"])
@pytest.mark.parametrize("name", FAMILIES)
def test_loss_and_gradients_through_the_vision_side(
    name: str, part: str, batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    rows = [row | {"reference": "anchor"} for row in batch]
    trainer = make(name, rows, world, tmp_path, part)
    sees = [key for key, one in trainer.model.named_parameters() if one.requires_grad and not is_language(key)]
    assert sees
    found = {packed: step(trainer, rows, packed)[:2] for packed in (True, False)}
    trainer.model.zero_grad()
    expected = by_hand(trainer, rows)
    expected.backward()
    gradients = gradients_of(trainer.model)
    assert set(sees) <= set(gradients)
    assert all(gradients[key].norm() > 0 for key in sees if "lora_A" in key)
    for loss, ours in found.values():
        assert loss == pytest.approx(expected.item(), rel=1e-5)
        assert difference(ours, gradients) < 2e-5
        assert difference(*({key: one[key] for key in sees} for one in (ours, gradients))) < 1e-4


@pytest.mark.parametrize("name", ["internvl", "qwen3_vl"])
def test_checkpointing_changes_nothing(name: str, batch: list[dict[str, Any]], world: Path, tmp_path: Path) -> None:
    rows = [row | {"reference": "anchor"} for row in batch]
    trainer = make(name, rows, world, tmp_path)
    expected, gradients, _ = step(trainer, rows, packed=True)
    trainer = make(name, rows, world, tmp_path, section={"gradient_checkpointing": True})
    trainer.model.get_base_model().gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    loss, ours, _ = step(trainer, rows, packed=True)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert difference(ours, gradients) < 1e-5


def test_a_frozen_vision_side_is_not_encoded_twice(batch: list[dict[str, Any]], world: Path, tmp_path: Path) -> None:
    """Policy and reference share features of the same clips, unless each has adapters of its own."""
    rows = [row | {"reference": "full"} for row in batch]
    for part, times in (("none", len(rows)), ("all", 2 * len(rows))):
        trainer = make("internvl", rows, world, tmp_path, part)
        asked, encode = [], trainer.vision.encode
        trainer.vision.encode = lambda *video, asked=asked, encode=encode: asked.append(1) or encode(*video)
        step(trainer, rows, packed=True)
        assert len(asked) == times


def test_features_that_training_changes_are_not_kept(batch: list[dict[str, Any]], world: Path, tmp_path: Path) -> None:
    with pytest.raises(LongVPOError, match=r"set vision_cache_gb=0, or lora\.vision=none"):
        make("internvl", batch, world, tmp_path, vision_cache_gb=0.1)
    trainer = make("internvl", batch, world, tmp_path)
    trainer.is_fsdp_enabled = True  # every process would train a vision side of its own
    with pytest.raises(LongVPOError, match=r"set lora\.vision=none, or use recipes/accelerate/ddp\.yaml"):
        trainer._check_vision()


def test_an_adapter_of_both_sides_from_training_to_plain_peft(dataset: Path, world: Path, tmp_path: Path) -> None:
    """NF4 in the language model alone; PEFT loads it by itself, merged it answers alike, stage 2 starts from it."""
    steps = ["vision_cache_gb=0", "training.max_steps=2", "training.learning_rate=1e-2", "training.warmup_steps=0"]
    facts = train(train_recipe(dataset, world, "lora.vision=all", *steps), tmp_path / "adapter")
    held = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    sees = [name for name in held if not is_language(name)]
    assert len(sees) > 10
    assert all(held[name].norm() > 0 for name in sees), "B starts from zero: it was trained"
    assert facts["trained_parameters"] == sum(one.numel() for one in held.values())

    plain = AutoModelForImageTextToText.from_pretrained(longvpo.TINY, dtype=torch.float32)
    plain = PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()
    ours = load_model(ModelSection(model="tiny", dtype="float32"), tmp_path / "adapter")
    merge(tmp_path / "adapter", tmp_path / "merged")
    merged = load_model(ModelSection(model=str(tmp_path / "merged"), dtype="float32"))
    frames = read_frames(world / "videos" / "00000.mp4", sample_times(0, 4, 1, 64))
    with torch.no_grad():
        said = [log_prob(one, load_processor(TINY), QUESTION, frames, "red") for one in (plain, ours, merged)]
        with plain.disable_adapter():
            base = log_prob(plain, load_processor(TINY), QUESTION, frames, "red")
    torch.testing.assert_close(said[0], said[1])
    torch.testing.assert_close(said[0], said[2], rtol=1e-3, atol=1e-3)
    assert (said[0] - base).norm() > 0.01

    # the frozen copy, vision side included, is the reference: at the first step it prefers what the policy prefers
    section = ["reference=full", "training.max_steps=1", "training.logging_steps=1", "vision_cache_gb=0"]
    recipe = train_recipe(dataset, world, f"adapter={tmp_path / 'adapter'}", *section)
    values = recipe.model_dump(exclude={"lora"})
    with pytest.raises(LongVPOError, match="set vision_cache_gb=0"):
        starting_adapter(TrainRecipe.model_validate(values | {"vision_cache_gb": 0.1}))
    log = train(TrainRecipe.model_validate(values), tmp_path / "second")["last_log"]
    assert log["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert log["reference/margins"] != 0
