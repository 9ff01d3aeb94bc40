"""Trainings by the command line: how they are started, and what they left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from accelerate.commands import launch
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env


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
