"""MLPs in tiles give the same loss and gradients, in the memory that the estimate says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from support.families import FAMILIES
from support.live import Live
from support.trainers import difference, lora, make_trainer, step, train_recipe

from longvpo.errors import LongVPOError
from longvpo.models.load import load_processor
from longvpo.models.memory import Skeleton
from longvpo.recipe.sections import ModelSection
from longvpo.training.arguments import training_arguments
from longvpo.training.memory import step_memory
from longvpo.training.plan import plan_training
from longvpo.training.rows import training_rows
from longvpo.training.run import make_trainer as trainer_of
from longvpo.training.step import tiles
from longvpo.training.tokens import row_lengths
from longvpo.video.frames import ClipFrames

TILE = 16


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
@pytest.mark.parametrize("name", FAMILIES)
def test_loss_and_gradients_are_the_same(
    name: str, checkpointing: bool, batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    trainer = make_trainer(name, batch, world, tmp_path, gradient_checkpointing=checkpointing)
    core = trainer.model.get_base_model()
    if checkpointing:
        core.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    expected, expected_gradients, _ = step(trainer, batch, packed=True)
    widths = []
    text = core.config.get_text_config()
    for key, module in core.named_modules():
        if key.endswith("down_proj") and ("language_model" in key or "text_model" in key):
            module.register_forward_pre_hook(lambda _, args: widths.append(args[0].shape[1]))
    tiles.install(core, TILE)
    loss, gradients, _ = step(trainer, batch, packed=True)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert difference(gradients, expected_gradients) < 1e-6
    assert max(widths) == TILE
    assert len(widths) > 4 * text.num_hidden_layers


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
def test_the_estimate_knows_the_tiles(checkpointing: bool) -> None:
    """A language model of wide MLPs alone, in float32: what a row of 1,500 tokens allocates, up to a tenth off."""
    model, _ = FAMILIES["internvl"]()
    text = model.config.text_config
    text.hidden_size, text.intermediate_size, text.num_attention_heads, text.num_key_value_heads = 128, 2048, 4, 4
    peaks = {}
    for tokens in (None, 128):
        torch.manual_seed(0)
        made = type(model)(model.config)
        get_peft_model(made, lora()).train()
        if checkpointing:
            made.gradient_checkpointing_enable({"use_reentrant": False})
        if tokens:
            tiles.install(made, tokens)
        with Live([*made.parameters(), *made.buffers()]) as live:
            made.base_model(input_ids=torch.ones((1, 1500), dtype=torch.long), use_cache=False)[0].sum().backward()
        base = ModelSection(model="internvl", dtype="float32")
        expected = step_memory(
            Skeleton(model.config), base, lora(), 1500, 0, 0, checkpointing=checkpointing, mlp_tokens=tokens
        )["activations"]
        peaks[tokens] = live.peak
        assert live.peak == pytest.approx(expected, rel=0.1)
    assert peaks[128] < 0.35 * peaks[None]


def test_a_recipe_sets_them_and_the_plan_knows(dataset: Path, world: Path, tmp_path: Path) -> None:
    recipe = train_recipe(dataset, world)
    tiled = train_recipe(dataset, world, f"mlp_tokens={TILE}")
    activations = [plan_training(one)["memory_gb_estimate"]["activations"] for one in (recipe, tiled)]
    assert activations[1] < activations[0]
    arguments = training_arguments(tiled.training, tmp_path)
    frames_of = ClipFrames(tiled.video, tiled.data.videos)
    rows = training_rows(tiled, arguments.seed)
    processor = load_processor(tiled.base)
    lengths = row_lengths(tiled, rows, processor, frames_of)
    trainer = trainer_of(tiled, arguments, rows, None, processor, frames_of, lengths)
    mlp = trainer.model.get_base_model().model.language_model.layers[0].mlp
    assert mlp.forward.args[1] == TILE


def test_a_model_without_mlps_of_one_width_says_so() -> None:
    model, _ = FAMILIES["internvl"]()
    model.config.text_config.intermediate_size = 77
    with pytest.raises(LongVPOError, match=r"mlp_tokens: .* has no MLPs of one width: leave mlp_tokens out"):
        tiles.install(model, TILE)
