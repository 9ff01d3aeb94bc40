"""A step of one row in two processes on one GPU (`sequence_parallel: 2`) against one process: equal, in what memory?

    python benchmarks/ulysses_gpu.py [--frames 16 64] [--cases float32 bf16-nf4] [--large] [--seconds 80] [--out FILE]
    python benchmarks/ulysses_gpu.py --tiny       # the same on a CPU, in less than a minute: shows only that it runs

Nothing is downloaded: an InternVL3-1B of random weights (14 heads, 2 of keys), or an InternVL3-8B (28 and 4); frames
of noise, checkpointing. NCCL refuses two processes on one card, so they speak by gloo, through the CPU's memory:
seconds say nothing of two cards.
The first process computes each case by itself: by the rule of TRL (two rows), and by ours (one row). Then both
processes compute it together. A case is a line of JSON:

    loss_off, grad_off     how far the two processes are from one, relative
    loss_noise, grad_noise how far TRL's two rows are from our one row, in one process: what rounding alone does
    peak_gb, alone_gb      tensors of each process at their peak, and of the one process
    estimate_gb, estimate_alone_gb   what `longvpo train --dry-run` says of them
    case                   float32; or bf16-nf4: bfloat16, with the linear layers of the language model in NF4
"""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from gpu_models import CUDA, built, emptied, internvl
from gpu_step import Side, estimate, tell_to
from torch import distributed, multiprocessing

SMALL = {  # the language model of InternVL3-1B, which is Qwen2.5-0.5B
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
}
CASES = {"float32": (torch.float32, False), "bf16-nf4": (torch.bfloat16, True)}


def internvl_of(size: str) -> tuple[Any, Any]:
    config, processor = internvl(size == "tiny")
    if size == "1b":
        text = config.text_config.to_dict() | SMALL
        del text["layer_types"]
        config.text_config = transformers.Qwen2Config(**text)
    return config, processor


def computed(case: str, frames: int, size: str, folder: str, together: int, packed: bool = True) -> dict[str, Any]:
    """A step of this process: its loss and gradients, seconds and peak."""
    config, processor = internvl_of(size)
    dtype, nf4 = CASES[case]
    section = {"bf16": dtype == torch.bfloat16 and CUDA, "ddp_backend": "gloo"}
    model = built(config, nf4, dtype if CUDA else torch.float32)
    side = Side("ours", model, processor, frames, folder, together, **section)
    side.trainer.accelerator.gather = lambda values: values  # for what is logged: gloo gathers nothing from a GPU
    side.trainer.packed = packed
    if CUDA:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    began = time.monotonic()
    loss, gradients = side.step(), side.gradients()
    found = {
        "loss": loss,
        "gradients": gradients,
        "seconds": round(time.monotonic() - began, 2),
        "peak": round(torch.cuda.max_memory_allocated() / 1e9, 2) if CUDA else None,
        "tokens": side.tokens,
        "estimate": round(estimate(config, side, frames, nf4, together=together), 2),
    }
    model = side = None
    emptied()
    return found


def off(found: dict[str, Any], expected: dict[str, Any]) -> tuple[float, float]:
    theirs = expected["gradients"]
    return (
        abs(found["loss"] - expected["loss"]) / abs(expected["loss"]),
        float((found["gradients"] - theirs).norm() / theirs.norm()),
    )


def compare(case: str, frames: int, size: str, rank: int, folder: str) -> dict[str, Any] | None:
    """What the first process says of a case."""
    alone = two_rows = None
    if rank == 0:
        alone = computed(case, frames, size, folder, 1)
        two_rows = computed(case, frames, size, folder, 1, packed=False)
    distributed.barrier()
    both = computed(case, frames, size, folder, 2)
    distributed.all_reduce(both["gradients"])
    both["gradients"] /= 2  # as DDP has it
    peaks: list[Any] = [None, None]
    distributed.all_gather_object(peaks, both["peak"])
    if alone is None or two_rows is None:
        return None
    (loss_off, grad_off), (loss_noise, grad_noise) = off(both, alone), off(two_rows, alone)
    return {
        "case": case,
        "frames": frames,
        "tokens": both["tokens"],
        "loss": alone["loss"],
        "loss_off": loss_off,
        "grad_off": grad_off,
        "loss_noise": loss_noise,
        "grad_noise": grad_noise,
        "peak_gb": peaks,
        "alone_gb": alone["peak"],
        "estimate_gb": both["estimate"],
        "estimate_alone_gb": alone["estimate"],
        "seconds": both["seconds"],
        "seconds_alone": alone["seconds"],
    }


def work(rank: int, port: int, given: argparse.Namespace, until: float) -> None:
    """One of the two processes, both on the same card."""
    warnings.filterwarnings("ignore")
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if not CUDA:
        torch.set_num_threads(1)
        os.environ["ACCELERATE_USE_CPU"] = "true"
    from accelerate import PartialState

    PartialState(cpu=not CUDA, backend="gloo")
    if rank == 0:
        name = torch.cuda.get_device_name() if CUDA else "cpu"
        tell_to(given.out, device=name, torch=torch.__version__, transformers=transformers.__version__)
    size = "tiny" if given.tiny else "8b" if given.large else "1b"
    with tempfile.TemporaryDirectory() as folder:
        for frames, case in ((frames, case) for frames in given.frames for case in given.cases):
            late = [time.time() > until]
            distributed.broadcast_object_list(late)
            if late[0]:
                found: dict[str, Any] | None = {"case": case, "frames": frames, "stopped": "out of time"}
            else:
                found = compare(case, frames, size, rank, folder)
            if rank == 0 and found is not None:
                tell_to(given.out, **found)
    distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--large", action="store_true", help="an InternVL3-8B")
    parser.add_argument("--frames", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--seconds", type=float, default=80, help="no case begins after so many")
    parser.add_argument("--out", type=Path, help="a file that the lines are added to")
    given = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (port, given, time.time() + given.seconds), nprocs=2)


if __name__ == "__main__":
    main()
