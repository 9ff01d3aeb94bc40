"""The section `training:` of a recipe: TRL's own names, read by TRL's own parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers.integrations import get_reporting_integration_callbacks
from trl import DPOConfig, TrlParser

from longvpo.errors import LongVPOError, first_line

LAUNCHED = ("deepspeed", "fsdp", "fsdp_config", "parallelism_config")  # how processes share the work


def training_arguments(section: dict[str, Any], output_dir: Path) -> DPOConfig:
    """`training:` of a recipe, read by TRL's own parser.

    Raises:
        LongVPOError: a key that DPOConfig does not know, a value it refuses, or one that is not the recipe's to set.
    """
    ours = {
        "output_dir": str(output_dir),
        "remove_unused_columns": False,  # the collator reads the columns
        "max_length": None,  # cutting would drop video tokens
        "model_init_kwargs": None,
    }
    launched = sorted(set(section) & set(LAUNCHED))
    if launched:
        raise LongVPOError(
            f"training.{launched[0]} is not the recipe's to set: give `accelerate launch` a --config_file, such as "
            "those in recipes/accelerate"
        )
    clash = sorted(set(section) & set(ours))
    if clash:
        raise LongVPOError(f"training.{clash[0]} is set by longvpo: remove it from the recipe")
    defaults = {
        "use_cpu": not torch.cuda.is_available(),  # the CPU is meant: TRL refuses bfloat16 unless it is told so
        "report_to": "none",
        "project": "longvpo",  # in Trackio
        "logging_steps": 10,
        "ddp_find_unused_parameters": False,  # all adapters take part in every row
    }
    parser = TrlParser(DPOConfig)
    try:
        unknown = parser.set_defaults_with_config(**defaults | section | ours)
        (arguments,) = parser.parse_args_into_dataclasses(args=[])
    except (ValueError, TypeError, ImportError, SystemExit) as error:
        raise LongVPOError(f"training: TRL refuses it: {error}") from error
    unknown = [str(item) for item in unknown][::2]  # --key value --key value ...
    if unknown:
        names = ", ".join(f"training.{name.removeprefix('--')}" for name in unknown)
        raise LongVPOError(f"trl.DPOConfig does not know {names}: see its documentation for the names")
    try:
        [tracker() for tracker in get_reporting_integration_callbacks(arguments.report_to)]
    except (ValueError, RuntimeError, ImportError) as error:
        raise LongVPOError(f"training.report_to: {first_line(error)}") from error
    return arguments
