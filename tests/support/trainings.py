"""Trainings by the command line: how they are started, and what they left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands import launch
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env
from safetensors.torch import load_file


def launched(config: Path) -> dict[str, str]:
    """What `accelerate launch --config_file` sets for the processes that it starts."""
    arguments = launch.launch_command_parser().parse_args(["--config_file", str(config), "longvpo"])
    arguments, defaults, _ = launch._validate_launch_command(arguments)
    if arguments.use_deepspeed:
        arguments.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
        _, environment = prepare_deepspeed_cmd_env(arguments)
    else:
        environment = prepare_multi_gpu_env(arguments)
    return {name: value for name, value in environment.items() if os.environ.get(name) != value}


CLOCK = {"tokens_per_second", "memory_gb"}


def command(data: Path, world: Path, output: Path, *training: str) -> list[str]:
    """Two triplets a step: of one process, or with `each` of two."""
    section = ["gradient_accumulation_steps=1", "warmup_steps=0", "logging_steps=1", *training]
    return [
        *("train", "tiny/stage1", f"data.dataset={data}", f"data.videos={{drawn: {world}, stories: {world}}}"),
        *(f"training.{item}" for item in section),
        *("--output", str(output)),
    ]


def logged(adapter: Path) -> list[dict[str, float]]:
    history = json.loads((adapter / "trainer_state.json").read_text())["log_history"]
    return [
        {name: value for name, value in entry.items() if name not in CLOCK} for entry in history if "loss" in entry
    ]


def facts_of(adapter: Path) -> dict[str, Any]:
    return json.loads((adapter / "facts.json").read_text())


def apart(one: Path, other: Path) -> float:
    """Length of the difference of two adapters, relative to the length of one."""
    weights = [load_file(folder / "adapter_model.safetensors") for folder in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    flat = [torch.cat([value.float().flatten() for _, value in sorted(part.items())]) for part in weights]
    assert flat[0].norm() > 1
    return ((flat[0] - flat[1]).norm() / flat[0].norm()).item()


def check_equal(one: Path, other: Path) -> None:
    """Float32 sums in another order: a few 1e-7 in the first losses, and a few 1e-6 after ten steps at a rate of 2e-3.

    AdamW divides a gradient by its size, so the rounding of one that is almost nothing counts for more.
    """
    for step, (entry, expected) in enumerate(zip(logged(other), logged(one), strict=True)):
        assert entry.keys() == expected.keys()
        close = 1e-6 if step < 3 else 1e-5
        for name in ("loss", "nll_loss", "reference/margins"):
            assert entry[name] == pytest.approx(expected[name], rel=close), (step, name)
        assert entry == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert apart(one, other) < 1e-5
