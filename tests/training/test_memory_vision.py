"""Memory of the vision side, frozen and with adapters, held against what it allocates under autocast to bfloat16."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from peft import get_peft_model
from support.families import FAMILIES
from support.live import Live
from support.trainers import QUESTION

from longvpo.models.counting import video_row
from longvpo.models.encode import encode
from longvpo.models.memory import Skeleton, vision_bytes
from longvpo.models.pixels import Pixels
from longvpo.recipe.sections import ModelSection
from longvpo.recipe.training import LoraSection
from longvpo.training.adapter import lora_config
from longvpo.training.memory import vision_kept
from longvpo.training.step.vision import Vision
from longvpo.video.joined import at_rate


def encoded(model: Any, processor: Any, there: list[torch.Tensor], gradients: bool) -> dict[str, float]:
    """Bytes for each number in the pixels under autocast to bfloat16: at the peak, and that are kept."""
    lives, pixels = [], []
    for frames in (16, 48):
        video = np.random.default_rng(0).integers(1, 256, (frames, 96, 96, 3), dtype=np.uint8)
        inputs = encode(processor, [QUESTION], [video], [at_rate(frames, 1.0)])
        ids = inputs.pop("input_ids")[0]
        given = {key: value for key, value in inputs.items() if "mask" not in key or "pixel" in key}
        with (
            torch.set_grad_enabled(gradients),
            torch.autocast("cpu", torch.bfloat16),
            Live([*there, *given.values()]) as live,
        ):
            found = Vision(model, processor).encode(Pixels(given), [(("any",), frames)], ids)
        lives.append((live.peak, live.now))
        pixels.append(video_row(processor, frames, (96, 96), 1.0).pixels)
        del found
    peak, kept = ((one - other) / (pixels[1] - pixels[0]) for one, other in zip(lives[1], lives[0], strict=True))
    return {"peak": peak, "kept": kept}


def tower(name: str, width: int, blocks: int | None = None) -> tuple[Any, Any]:
    """The family's small model in bfloat16 with a vision side of width 256, and its processor."""
    model, processor = FAMILIES[name](112) if name == "internvl" else FAMILIES[name]()
    vision = model.config.vision_config
    vision.hidden_size, vision.intermediate_size = 256, width
    if blocks:
        setattr(vision, "depth" if hasattr(vision, "depth") else "num_hidden_layers", blocks)
        vision.fullatt_block_indexes = [blocks - 1]
    return type(model)(model.config).to(torch.bfloat16), processor


@pytest.mark.parametrize("width", [1024, 2048])  # of the MLP: with rotary positions, 1024 leaves the peak to attention
def test_the_vision_side_takes_what_the_formula_says(name: str, width: int) -> None:
    """Up to 15 % off."""
    model, processor = tower(name, width)
    measured = encoded(model.eval(), processor, [*model.parameters(), *model.buffers()], gradients=False)["peak"]
    assert vision_bytes(Skeleton(model.config), 2) == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_what_autograd_keeps_of_a_vision_side_with_adapters(
    name: str, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a tower of eight blocks: up to a quarter off, and less without checkpointing."""
    asked = torch.is_autocast_enabled  # PEFT asks only for the GPU's autocast
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: asked("cpu"))
    model, processor = tower(name, 1024, blocks=8)
    skeleton = Skeleton(model.config)
    config = lora_config(LoraSection(vision="all"), ModelSection(model=name), skeleton)
    adapted = get_peft_model(model, config).train()
    for parameter in adapted.parameters():
        parameter.data = parameter.data.float() if parameter.requires_grad else parameter.data
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    measured = encoded(model, processor, [*adapted.parameters(), *adapted.buffers()], gradients=True)["kept"]
    assert vision_kept(skeleton, config, 2, checkpointing) == pytest.approx(
        measured, rel=0.25 if checkpointing else 0.16
    )
