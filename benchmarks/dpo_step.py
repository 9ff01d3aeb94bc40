"""What a step of DPO on a long video costs against stock TRL: seconds, arithmetic and memory, as ratios.

    python benchmarks/dpo_step.py [--frames 8 16 32 64 128] [--json] [--peers]

A small InternVL, made from its configuration, sees 16 tokens per frame. There is one triplet, whose context has clips
of 8 frames; the reference is scored on one clip. Stock TRL's DPOTrainer and ours take turns on the same rows in one
run. Each step has forward, reference and backward, in float32 on one thread. Seconds are the process's own. Memory is
how far the peak of a step lies above what was resident before it. With the reference on the whole context ours
computes what stock TRL computes: `loss_difference` is relative to stock's loss there.

    stock         TRL's own, gradient checkpointing on
    ours          the same setting; the reference is scored at each step
    precomputed   the same setting; the reference was scored before
    full          the same setting; the reference is scored on the whole context, so that the loss is stock's
    ours_read     as ours, and each step reads its frames from a folder of kept ones (video.frames) and makes its batch
    stock_plain, ours_plain   without checkpointing
    ours_kept     without checkpointing; the reference was scored before, and the clips' vision features are kept

`--peers` adds the case of peer_case.py, a small Qwen2.5-VL with its 151,936 token ids, at 64 and 256 frames. Ours and
ms-swift take turns in separate processes. ms-swift is installed into its own environment.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peer_case import ms_swift_environment, write_case
from peft import LoraConfig
from step_parts import Noise, StockCollator, StockTrainer, kept_on_disk, row, small_internvl
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from longvpo.recipe.training import LoraSection
from longvpo.training.collator import AnchoredCollator
from longvpo.training.run import training_arguments
from longvpo.training.step.trainer import AnchoredDPOTrainer

STEPS = 3
TURNS = 3
PEER_FRAMES = (64, 256)
SIDES = ("stock", "ours", "precomputed", "full", "ours_read", "stock_plain", "ours_plain", "ours_kept")
PLAIN = ("stock_plain", "ours_plain", "ours_kept")  # without gradient checkpointing


class Side:
    """One way to compute a step of one triplet."""

    def __init__(self, name: str, frames: int, folder: str) -> None:
        model, processor = small_internvl()
        stock = name.startswith("stock")
        self.row = row(frames) | ({"reference": "full"} if name == "full" else {})
        section = {
            "beta": 0.1,
            "bf16": False,
            "per_device_train_batch_size": 1,
            "gradient_checkpointing": name not in PLAIN,
            "save_strategy": "no",
        }
        options = {"vision_cache_gb": 1.0} if name == "ours_kept" else {}
        self.reads = name == "ours_read"
        frames_of = kept_on_disk(frames, folder) if self.reads else Noise()
        self.trainer = (StockTrainer if stock else AnchoredDPOTrainer)(
            model=model,
            args=training_arguments(section, Path(folder)),
            train_dataset=Dataset.from_list([self.row]),
            processing_class=processor,
            data_collator=(StockCollator if stock else AnchoredCollator)(processor, frames_of),
            peft_config=LoraConfig(**LoraSection().of_peft(), task_type="CAUSAL_LM"),
            **options,
        )
        generator = torch.Generator().manual_seed(0)
        for key, parameter in self.trainer.model.named_parameters():
            if "lora_B" in key:
                parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
        self.trainer.model.train()
        if name not in PLAIN:
            self.trainer.model.get_base_model().gradient_checkpointing_enable(
                self.trainer.args.gradient_checkpointing_kwargs
            )
        self.batch = self.trainer.data_collator([self.row])
        if name in ("precomputed", "ours_kept"):
            seen = self.trainer.with_features(self.batch.pop("reference"))
            chosen, rejected = self.trainer.compute_ref_log_probs(self.trainer.model, seen)
            self.batch |= {"ref_chosen_logps": chosen, "ref_rejected_logps": rejected}

    def step(self) -> float:
        loss = self.trainer.compute_loss(self.trainer.model, dict(self.batch))
        loss.backward()
        self.trainer.model.zero_grad()
        return loss.item()

    def timed(self) -> float:
        gc.collect()
        start = time.process_time()
        if self.reads:
            self.batch = self.trainer.data_collator([self.row])
        self.step()
        return time.process_time() - start

    def flops(self) -> int:
        """The arithmetic of one step; attention on a CPU is counted as on a GPU: as if not causal."""
        attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        counted = {
            attention: lambda q, k, v, *args, out_shape=None, **kwargs: sdpa_flop_count(q, k, v),
            torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
                lambda g, q, k, v, *args, out_shape=None, **kwargs: sdpa_backward_flop_count(g, q, k, v)
            ),
        }
        with FlopCounterMode(display=False, custom_mapping=counted) as counter:
            self.step()
        return counter.get_total_flops()

    def memory(self) -> float:
        """MB by which the peak of a step lies above what was resident before it."""
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        before = resident("VmRSS")
        self.step()
        return resident("VmHWM") - before


def resident(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1000
    raise KeyError(name)


def memories(frames: int, folder: str) -> dict[str, float]:
    """The least of some steps after the first, for each side."""
    found = {}
    for name in SIDES:
        side = Side(name, frames, folder)
        side.step()
        found[name] = min(side.memory() for _ in range(STEPS))
    return found


def measure(frames: int, folder: str) -> dict[str, Any]:
    # in a process of its own, whose freed tensors are not resident: each has a mapping of its own, which is slow
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 16)}
    command = [sys.executable, "-W", "ignore", __file__, "--memory", "--frames", str(frames)]
    child = subprocess.run(command, env=environment, capture_output=True, text=True)
    if child.returncode:
        raise RuntimeError(child.stderr)
    memory_of = json.loads(child.stdout)
    sides = {name: Side(name, frames, folder) for name in SIDES}
    losses = {name: side.step() for name, side in sides.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(STEPS):
        for name, side in sides.items():
            seconds[name].append(side.timed())
    flops = {name: side.flops() for name, side in sides.items()}
    time_of = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "frames": frames,
        "tokens": int(sides["stock"].batch["attention_mask"][0].sum()),
        "time_ratio": time_of["ours"] / time_of["stock"],
        "flop_ratio": flops["ours"] / flops["stock"],
        "memory_ratio": memory_of["ours"] / memory_of["stock"],
        "loss_difference": abs(losses["full"] - losses["stock"]) / abs(losses["stock"]),
        "seconds": time_of,
        "gflop": {name: value / 1e9 for name, value in flops.items()},
        "memory_mb": memory_of,
        "loss": losses,
    }


def against_ms_swift(frames: int, folder: Path) -> dict[str, Any]:
    """Medians of a few turns each, with gradient checkpointing on, as is ms-swift's default."""
    write_case(folder, frames)
    here = Path(__file__).parent
    commands = {
        "ours": [sys.executable, "-W", "ignore", str(here / "peer_longvpo.py"), str(folder)],
        "ms_swift": [str(ms_swift_environment()), str(here / "peer_ms_swift.py"), str(folder)],
    }
    commands["ours_full"] = [*commands["ours"], "--reference", "full"]
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(TURNS):
        for name, command in commands.items():
            child = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
            if child.returncode:
                raise RuntimeError(child.stderr[-3000:])
            turns[name].append(json.loads(child.stdout.splitlines()[-1]))
    seconds, memory = (
        {name: statistics.median(turn[part] for turn in each) for name, each in turns.items()}
        for part in ("cpu_seconds", "peak_mb")
    )
    return {
        "frames": frames,
        "video_tokens": turns["ours"][0]["video_tokens"],
        "version": turns["ms_swift"][0]["version"],
        "time_ratio": seconds["ours"] / seconds["ms_swift"],
        "memory_ratio": memory["ours"] / memory["ms_swift"],
        "seconds": seconds,
        "memory_mb": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")
    parser.add_argument("--peers", action="store_true", help="Against ms-swift too, which is installed: 6.5 GB.")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.memory:
            print(json.dumps(memories(arguments.frames[0], folder)))
            return
        results = [measure(frames, folder) for frames in arguments.frames]
        cases = [against_ms_swift(frames, Path(folder) / str(frames)) for frames in PEER_FRAMES if arguments.peers]
    if arguments.json:
        print(json.dumps({"results": results, "ms_swift": cases}))
        return
    for result in results:
        print(f"{result['frames']} frames, {result['tokens']} tokens; loss differs by {result['loss_difference']:.1e}")
        for name in SIDES:
            _print(name, result, "stock", (("seconds", "s"), ("gflop", "GFLOP"), ("memory_mb", "MB")))
    for case in cases:
        print(f"ms-swift {case['version']}, {case['frames']} frames, {case['video_tokens']} video tokens")
        for name in case["seconds"]:
            _print(name, case, "ms_swift", (("seconds", "s"), ("memory_mb", "MB")))


def _print(name: str, result: dict[str, Any], other: str, parts: tuple[tuple[str, str], ...]) -> None:
    """A line of values, each with its ratio to another's."""
    cells = [
        f"{result[part][name]:9.2f} {unit:5} {result[part][name] / result[part][other]:5.2f}x" for part, unit in parts
    ]
    print(f"  {name:12}" + "   ".join(cells))


if __name__ == "__main__":
    main()
