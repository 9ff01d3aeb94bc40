"""More sizes of the released families, without their weights, and what a training recipe asks of a device with one.

Configurations: InternVL3-2B and -8B have the language models Qwen2.5-1.5B and -7B. InternVL3.5-4B has Qwen3-4B, with a
head of its own. Qwen2.5-VL-7B, Qwen3-VL-8B and SmolVLM2-500M are written as they are known. None was read from the
Hub, so compare them with config.json where that can be had.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from peft import LoraConfig
from support.released import ANSWERS, RELEASED, internvl3_1b, qwen2_5_vl_3b, qwen3_vl_4b, smolvlm2_2b

from longvpo.models.counting import WIDE, video_row
from longvpo.models.memory import Skeleton, question_memory
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.training import TrainRecipe
from longvpo.training.memory import step_memory
from longvpo.video.frames import scaled_size


def text(width: int, mlp: int, layers: int, heads: int, key_heads: int, **more: Any) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        **more,
    }


SMALL_EYES = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "patch_size": 16,
}
LARGE_EYES = {
    "depth": 27,
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "deepstack_visual_indexes": [8, 16, 24],
}
SIZED: dict[str, Callable[[], tuple[Any, Any]]] = RELEASED | {
    "OpenGVLab/InternVL3-2B-hf": partial(internvl3_1b, **text(1536, 8960, 28, 12, 2)),
    "OpenGVLab/InternVL3-8B-hf": partial(internvl3_1b, **text(3584, 18_944, 28, 28, 4)),
    "OpenGVLab/InternVL3_5-4B-HF": partial(
        internvl3_1b, **text(2560, 9728, 36, 32, 8, model_type="qwen3", head_dim=128, vocab_size=151_936)
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": partial(
        qwen2_5_vl_3b, tied=False, **text(3584, 18_944, 28, 28, 4, vocab_size=152_064)
    ),
    "Qwen/Qwen3-VL-8B-Instruct": partial(qwen3_vl_4b, tied=False, vision=LARGE_EYES, **text(4096, 12_288, 36, 32, 8)),
    "HuggingFaceTB/SmolVLM2-500M-Video-Instruct": partial(
        smolvlm2_2b, side=512, frame=64, scale=4, vision=SMALL_EYES, **text(960, 2560, 32, 15, 5)
    ),
}


@cache
def sized(model: str) -> tuple[Skeleton, Any]:
    """A base without weights, and its processor."""
    config, processor = SIZED[model]()
    return Skeleton(config), processor


def step_gigabytes(recipe: TrainRecipe) -> float:
    """The memory of a step with a context of `frame_budget` frames, in GB of 10^9 bytes, as a dry run estimates it."""
    skeleton, processor = sized(recipe.base.model)
    assert recipe.frame_budget is not None
    size = scaled_size(*WIDE, recipe.video.short_side)
    row = video_row(processor, recipe.frame_budget, size, recipe.video.fps, "What happens?")
    parts = step_memory(
        skeleton,
        recipe.base,
        LoraConfig(**recipe.lora.of_peft()),
        row.tokens + ANSWERS,
        ANSWERS,
        row.pixels,
        batch=recipe.training["per_device_train_batch_size"],
        checkpointing=recipe.training["gradient_checkpointing"],
        mlp_tokens=recipe.mlp_tokens,
        frozen_copy=recipe.adapter is not None,
        encoded=min(1.0, recipe.video.max_frames / recipe.frame_budget) if recipe.vision_cache_gb else 1.0,
    )
    return parts["total"] / 1e9


def asking_gigabytes(recipe: DatasetRecipe) -> float:
    """The memory of the writer with a full batch of clips of `max_frames` frames, in GB of 10^9 bytes."""
    skeleton, processor = sized(recipe.writer.model)
    size = scaled_size(*WIDE, recipe.video.short_side)
    row = video_row(processor, recipe.video.max_frames, size, recipe.video.fps, "What happens?")
    batch, tokens = recipe.writer.batch_size, row.tokens + recipe.writer.max_new_tokens
    return question_memory(skeleton, recipe.writer, batch * tokens, batch * row.pixels)["total"] / 1e9
