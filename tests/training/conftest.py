"""An adapter of stage 1, and rows of both stages to train from it with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.triplets import rows_of, triplets, write_dataset

from longvpo.recipe.file import load_recipe
from longvpo.recipe.training import TrainRecipe
from longvpo.training.run import train


@pytest.fixture(scope="session")
def both_stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve rows of stage 2, with two anchors each, and ten of stage 1."""
    folder = tmp_path_factory.mktemp("dataset") / "triplets"
    return write_dataset(folder, stage1=rows_of("stage1", 10, 4), stage2=rows_of("stage2", 12, 8))


@pytest.fixture(scope="session")
def stage2_rows() -> list[dict[str, Any]]:
    """Rows of stage 2 with answers of several lengths and contexts of one to eight clips."""
    return triplets("stage2", 12, 8)


@pytest.fixture(scope="session")
def stage1(both_stages: Path, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of three steps, whose rate is so high that it differs a lot from its base."""
    folder = tmp_path_factory.mktemp("stage1") / "adapter"
    overrides = [
        f"data.dataset={both_stages}",
        f"data.videos={{drawn: {world}, stories: {world}}}",
        "lora.r=4",
        *(f"training.{item}" for item in ("max_steps=3", "warmup_steps=0", "learning_rate=1e-2")),
    ]
    train(load_recipe(TrainRecipe, "tiny/stage1", overrides), folder)
    return folder
