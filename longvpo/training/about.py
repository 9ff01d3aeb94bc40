"""What a card is told of a training beside its course: settings as they were used, the adapter, memory of an answer.

The rule: a setting is told as the number that was used, also where it is TRL's own and the recipe says nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trl import DPOConfig

from longvpo.models.counting import WIDE, video_row
from longvpo.models.load import not_language
from longvpo.models.memory import gigabytes, question_memory, skeleton_of
from longvpo.recipe.training import TrainRecipe
from longvpo.video.frames import scaled_size

SETTINGS = (
    *("learning_rate", "beta", "weight_decay", "adam_beta1", "adam_beta2", "max_grad_norm", "num_train_epochs"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "gradient_checkpointing", "bf16", "fp16"),
)
FRAMES = (16, 64, 256)  # at which memory is estimated, beside the most that were trained on
QUESTION = "What happens in this video?"


def about_settings(arguments: DPOConfig, steps: int) -> dict[str, Any]:
    """The settings of a run, by TRL's names; `loss` has the weight of each loss.

    Args:
        steps: those of the whole run; the warm-up may be a share of them.
    """
    losses = arguments.loss_type
    return {
        **{name: getattr(arguments, name) for name in SETTINGS},
        "loss": dict(zip(losses, arguments.loss_weights or [1.0] * len(losses), strict=True)),
        "optim": str(getattr(arguments.optim, "value", arguments.optim)),
        "lr_scheduler_type": str(getattr(arguments.lr_scheduler_type, "value", arguments.lr_scheduler_type)),
        "warmup_steps": arguments.get_warmup_steps(steps),
    }


def about_adapter(model: Any) -> dict[str, Any]:
    """An adapter in memory: its size, and which linear layers it is on, by the last parts of their names."""
    lora, layers = model.peft_config["default"], model.targeted_module_names
    return {
        **{name: getattr(lora, name) for name in ("r", "lora_alpha", "lora_dropout")},
        "layers": len(layers),
        "targets": sorted({name.rpartition(".")[2] for name in layers}),
    }


def memory_of_answers(recipe: TrainRecipe, processor: Any, most: int) -> list[dict[str, Any]]:
    """What a question about a film of 16:9 needs, by the arithmetic of models/memory.py.

    Each entry has frames, tokens, and memory in GB of 10^9 bytes. `nf4` is for a language model in NF4, `dtype` for a
    whole base in the recipe's `dtype`.

    Args:
        most: frames of the longest context that was trained on.
    """
    skeleton, size = skeleton_of(recipe.base), scaled_size(*WIDE, recipe.video.short_side)
    found = []
    for frames in sorted({*FRAMES, most}):
        row = video_row(processor, frames, size, recipe.video.fps, QUESTION)
        ways = {"nf4": "nf4", "dtype": None}
        memory = {
            name: gigabytes(
                question_memory(
                    skeleton, recipe.base.model_copy(update={"quantization": way}), row.tokens, row.pixels
                )["total"]
            )
            for name, way in ways.items()
        }
        found.append({"frames": frames, "tokens": row.tokens, **memory})
    return found


def not_in_nf4(recipe: TrainRecipe) -> list[str]:
    """The modules that stay out of NF4, for others who load the base as it was trained."""
    return not_language(recipe.base)


def base_folder(model: str) -> dict[str, str]:
    """The last name of a base's folder, as `folder`; empty where the base is one of the Hub, or the embedded one.

    A card that is made elsewhere cannot see whether there was such a folder.
    """
    return {"folder": Path(model).resolve().name} if Path(model).is_dir() else {}
