"""One run in several processes, started by `accelerate launch`: what is refused, and what sharded weights need.

Under DDP and DeepSpeed's ZeRO-1 and 2 every process holds the whole base. Under FSDP2 each holds a part of the
language model, and gathers the rest while a layer's forward runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from accelerate import ParallelismConfig
from accelerate.utils import gather_object
from torch.distributed.tensor import DTensor
from trl import DPOConfig

from longvpo.errors import LongVPOError
from longvpo.models.load import LANGUAGE

Found = TypeVar("Found")


def check_processes(arguments: DPOConfig, sequence_parallel: int = 1) -> None:
    """Raises LongVPOError when the work is to be shared in a way that training cannot."""
    if arguments.n_gpu > 1:
        raise LongVPOError(
            f"one process sees {arguments.n_gpu} GPUs: start it with `accelerate launch --config_file "
            "recipes/accelerate/ddp.yaml -m longvpo train ...`, or set CUDA_VISIBLE_DEVICES to one of them"
        )
    sizes = ParallelismConfig()  # from the variables that accelerate sets
    cut = [name for name in ("cp_size", "sp_size", "tp_size") if getattr(sizes, name) > 1]
    if cut:
        raise LongVPOError(
            f"{cut[0]} above 1 cuts a row into parts for several GPUs, but packed answers and sums over tokens need "
            "whole rows: set it to 1. For longer rows set "
            "the recipe's sequence_parallel, training.gradient_checkpointing, or a smaller frame_budget"
        )
    if arguments.world_size % sequence_parallel:
        raise LongVPOError(
            f"sequence_parallel={sequence_parallel} computes each row in {sequence_parallel} processes, and this run "
            f"has {arguments.world_size}: start it with `accelerate launch --config_file recipes/accelerate/ddp.yaml "
            f"--num_processes {sequence_parallel} -m longvpo train ...` or a multiple of that, or set "
            "sequence_parallel=1"
        )
    if sequence_parallel > 1 and arguments.deepspeed_plugin is not None:
        raise LongVPOError(
            "sequence_parallel does not go with DeepSpeed: use recipes/accelerate/ddp.yaml, or set sequence_parallel=1"
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


def once(arguments: DPOConfig, work: Callable[[], Found], machines: bool = False) -> Found:
    """What `work` gives in the first process, in all. An error of it ends all of them.

    Args:
        machines: the first process of each machine works, as machines may have files of their own.
    """
    if arguments.world_size == 1:
        return work()
    state = arguments.distributed_state
    found = fault = own = None
    if state.is_local_main_process if machines else state.is_main_process:
        try:
            found = work()
        except Exception as error:
            own = error
            fault = str(error) if isinstance(error, LongVPOError) else f"process {state.process_index}: {error!r}"
    with together(arguments):
        parts = gather_object([(found, fault)])
    if own is not None:
        raise own
    for _, said in parts:
        if said is not None:
            raise LongVPOError(said)
    first: Found = parts[0][0]
    return first


def shard_language_alone(trainer: Any) -> None:
    """Tell FSDP, where it is used, which weights every process keeps whole; before training starts.

    Processes encode different numbers of clips (vision.py), but must gather weights equally often.

    Args:
        trainer: an AnchoredDPOTrainer.
    """
    if not trainer.is_fsdp_enabled:
        return
    core, plugin = trainer.vision.core, trainer.accelerator.state.fsdp_plugin
    head = core.get_output_embeddings()
    language = {
        weight for name, part in core.named_modules() if name.endswith(LANGUAGE) for weight in part.parameters()
    } | set(head.parameters())
    kept = [weight for weight in core.parameters() if weight not in language]
    plugin.ignored_modules = [torch.nn.ParameterList(kept)]
    # a model's own list names layers of the vision side, and such as another model of its kind has
    here = {type(part).__name__ for name, part in core.named_modules() if any(f".{one}." in name for one in LANGUAGE)}
    layers = [name for name in core._no_split_modules if name in here]
    plugin.transformer_cls_names_to_wrap = plugin.transformer_cls_names_to_wrap or layers


def whole_weights(model: Any) -> dict[str, torch.Tensor] | None:
    """The adapter's weights, put together from their parts in all processes; None where no process has parts.

    All processes must call it.
    """
    weights = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if not any(isinstance(value, DTensor) for value in weights.values()):
        return None
    return {name: value.full_tensor().detach() for name, value in weights.items()}
