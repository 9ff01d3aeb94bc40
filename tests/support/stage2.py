"""Training that starts from an adapter of stage 1: recipes, trainers, and what was computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from support.trainers import SECTION
from support.world import TINY

from longvpo.models.load import load_model, load_processor
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sections import ModelSection, VideoSection
from longvpo.recipe.training import TrainRecipe
from longvpo.training.collator import AnchoredCollator
from longvpo.training.run import training_arguments
from longvpo.training.step.trainer import AnchoredDPOTrainer
from longvpo.video.frames import ClipFrames


def collator(world: Path, **options: Any) -> AnchoredCollator:
    return AnchoredCollator(
        load_processor(TINY), ClipFrames(VideoSection(), {"drawn": world, "stories": world}), **options
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


def weights_of_parameters(model: Any, name: str) -> list[Any]:
    return [parameter for key, parameter in model.named_parameters() if f".{name}." in key]


def stage2_recipe(stage1: Path, dataset: Path, world: Path, *overrides: str) -> TrainRecipe:
    where = [f"adapter={stage1}", f"data.dataset={dataset}", f"data.videos={{drawn: {world}, stories: {world}}}"]
    return load_recipe(TrainRecipe, "tiny/stage2", [*where, "training.warmup_steps=0", *overrides])
