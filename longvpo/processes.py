"""One run in several processes, started by `accelerate launch`: what is refused, and what sharded weights need.

Under DDP and DeepSpeed's ZeRO-1 and 2 every process holds the whole base. Under FSDP2 each holds a part of it, and the
rest is gathered while a module's forward runs; the vision side is called outside the model's forward (vision.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import ParallelismConfig
from torch.distributed.fsdp import register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback
from trl import DPOConfig

from longvpo.errors import LongVPOError

FEATURES = ("get_image_features", "get_video_features")  # what vision.py calls of a model


def check_processes(arguments: DPOConfig) -> None:
    """Raises LongVPOError when `accelerate launch` was told to share the work in a way that training cannot."""
    sizes = ParallelismConfig()  # from the variables that accelerate sets
    cut = [name for name in ("cp_size", "sp_size", "tp_size") if getattr(sizes, name) > 1]
    if cut:
        raise LongVPOError(
            f"{cut[0]} above 1 cuts a row into parts for several GPUs, but the prompt that both answers share and the "
            "sum over an answer's tokens need the row whole: set it to 1; for longer rows set "
            "training.gradient_checkpointing, or a smaller frame_budget"
        )
    if arguments.deepspeed_plugin is not None and arguments.deepspeed_plugin.zero_stage == 3:
        raise LongVPOError(
            "DeepSpeed's ZeRO-3 leaves no process the weights that are needed outside the model's forward: "
            "set zero_stage to 2, or shard the weights by FSDP2 (recipes/accelerate/fsdp.yaml)"
        )
    if os.environ.get("ACCELERATE_USE_FSDP") == "true" and os.environ.get("FSDP_VERSION") != "2":
        raise LongVPOError("FSDP 1 hides the weights that are needed outside the model's forward: set fsdp_version: 2")


@contextmanager
def together(arguments: DPOConfig) -> Iterator[None]:
    """When another process ends in the middle, this one's error is that it waited in vain: a LongVPOError says so."""
    try:
        yield
    except RuntimeError as error:
        if arguments.world_size == 1 or "closed by peer" not in str(error):
            raise
        raise LongVPOError("another process of this run ended before this one: see what it said") from error


class Gathered(TrainerCallback):
    """Under FSDP2, the weights are gathered for the calls that vision.py makes, too; otherwise nothing changes."""

    def __init__(self, core: Any) -> None:
        self.core = core  # the model inside the PeftModel

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        for name in FEATURES:
            if hasattr(self.core, name):
                register_fsdp_forward_method(model, name)
                setattr(self.core, name, getattr(model, name))


def whole_weights(model: Any) -> dict[str, torch.Tensor] | None:
    """The adapter's weights, put together from their parts in all processes; None where no process has parts.

    All processes must call it.
    """
    weights = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if not any(isinstance(value, DTensor) for value in weights.values()):
        return None
    return {name: value.full_tensor().detach() for name, value in weights.items()}
