"""The section `training:` of a recipe: TRL's own names, read by TRL's own parser.

The rule: what training cannot do is said before any work, in one line that names the key.
"""

from __future__ import annotations

import math
import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import torch
from transformers import Trainer, get_scheduler
from transformers.hf_argparser import string_to_bool
from transformers.integrations import get_reporting_integration_callbacks
from transformers.utils import is_liger_kernel_available
from trl import DPOConfig, TrlParser

from longvpo.errors import LongVPOError, did_you_mean, first_line

EVALUATION = ("eval_strategy", "eval_on_start", "do_eval", "load_best_model_at_end", "save_strategy=best")
BEST_BY = re.compile(r"(eval_)?(loss|nll_loss|rewards/(accuracies|margins|chosen|rejected)|reference/margins)")
NOT_OURS = {  # keys, or how they begin, and what does that instead
    ("push_to_hub", "hub_"): "`longvpo push` publishes the adapter, whole and under a tag",
    ("trackio_",): "trackio keeps its log on this machine (training.report_to: trackio)",
    ("deepspeed", "fsdp", "parallelism_config", "local_rank"): (
        "give `accelerate launch` a --config_file, such as those in recipes/accelerate"
    ),
    EVALUATION: (
        "no rows are set aside to evaluate on. Set data.eval to the name of a split, or to a share of the rows, such "
        "as 0.1; `longvpo evaluate` measures adapters"
    ),
    ("do_predict",): "`longvpo evaluate` measures adapters",
    ("precompute_ref_log_probs", "sync_ref_model"): (
        "the reference is scored on inputs of its own; `reference_log_probs: precomputed` scores it beforehand"
    ),
    ("resume_from_checkpoint", "save_only_model"): (
        "a run that was killed resumes from its last whole checkpoint with the same command"
    ),
    ("train_sampling_strategy=group_by_length", "train_sampling_strategy=batch_rebalance"): (
        "rows are dealt to processes and micro-batches by their cost as it is"
    ),
    ("sequence_parallel",): "it stands beside `training`, as `sequence_parallel: 2`",
    ("include_num_input_tokens_seen",): "every log entry has `num_tokens`, which counts them",
    ("trust_remote_code",): "no code comes with a base",
}
HARMLESS = (None, False, "", "no", "none", "false")
COMMON = {"no", "none", "all", "auto", "true", "false", "steps", "epoch", "cpu"}  # words that name no key
SEEDS = (0, 2**32 - 1)  # numpy's
RANGES: dict[str, tuple[float, float]] = {
    "seed": SEEDS,
    "data_seed": SEEDS,
    "per_device_train_batch_size": (1, 2**31),
    "per_device_eval_batch_size": (1, 2**31),
    "gradient_accumulation_steps": (1, 2**31),
    "num_train_epochs": (0, 1e9),
    "learning_rate": (0, 1e9),
    "weight_decay": (0, 1e9),
    "beta": (1e-12, 1e9),
    "adam_beta1": (0, 1 - 1e-12),
    "adam_beta2": (0, 1 - 1e-12),
    "max_grad_norm": (0, math.inf),
    "logging_steps": (0, 1e18),
    "save_steps": (0, 1e18),
    "eval_steps": (0, 1e18),
    "save_total_limit": (0, 2**31),
    "dataloader_num_workers": (0, 2**16),
}
KINDS = {int: "a whole number", float: "a number", bool: "true or false"}
PARSED = re.compile(r"argument --(\w+)\S*: (.*)")


class Parser(TrlParser):
    """TRL's, which ends the program after a page of usage where a word stands for a number."""

    def error(self, message: str) -> Any:
        raise ValueError(message)


def training_arguments(section: dict[str, Any], output_dir: Path, evaluates: bool = False) -> DPOConfig:
    """`training:` of a recipe, read by TRL's own parser.

    Args:
        evaluates: whether rows are set aside to evaluate on (`data.eval`).

    Raises:
        LongVPOError: a key that DPOConfig does not know, a value that it or what it names refuses, or one that is not
            the recipe's to set.
    """
    ours = {
        "output_dir": str(output_dir),
        "remove_unused_columns": False,  # the collator reads the columns
        "max_length": None,  # cutting would drop video tokens
        "model_init_kwargs": None,
    }
    _check_ours(section, ours, evaluates)
    hints = get_type_hints(DPOConfig)
    section = {name: _checked(name, value, hints.get(name)) for name, value in section.items()}
    defaults = {
        "use_cpu": not torch.cuda.is_available(),  # the CPU is meant: TRL refuses bfloat16 unless it is told so
        "report_to": "none",
        "project": "longvpo",  # in Trackio
        "logging_steps": 10,
        "ddp_find_unused_parameters": False,  # all adapters take part in every row
        "ddp_timeout": 4 * 3600,  # seconds: others wait while one looks at all videos the first time
    }
    if evaluates:
        batch = section.get("per_device_train_batch_size", DPOConfig.per_device_train_batch_size)
        defaults |= {"eval_strategy": "epoch", "per_device_eval_batch_size": batch}
    with refusals(section):
        parser = Parser(DPOConfig)
        unknown = parser.set_defaults_with_config(**defaults | section | ours)
        if unknown:
            names = (str(name).removeprefix("--") for name in unknown[::2])
            said = ", ".join(f"training.{name}{did_you_mean(name, hints)}" for name in names)
            raise LongVPOError(f"trl.DPOConfig does not know {said}: see its documentation for the names")
        (arguments,) = parser.parse_args_into_dataclasses(args=[], look_for_args_file=False)
    if arguments.max_steps <= 0 and arguments.num_train_epochs == 0:
        raise LongVPOError("training.num_train_epochs: 0 takes no step: set it above 0, or set training.max_steps")
    if not arguments.loss_type:
        raise LongVPOError("training.loss_type names no loss: set it to sigmoid, or leave it out")
    if evaluates:
        _check_evaluation(arguments)
    with refusals(section, "report_to"):
        [tracker() for tracker in get_reporting_integration_callbacks(arguments.report_to)]
    _check_steps(section, arguments)
    return arguments


def _check_evaluation(arguments: DPOConfig) -> None:
    """Raises LongVPOError when rows are set aside for nothing, or what tells the best step is not measured."""
    if arguments.eval_strategy == "no":
        raise LongVPOError(
            "data.eval sets rows aside that training.eval_strategy: no never looks at: leave one of them out"
        )
    metric = arguments.metric_for_best_model
    if metric is not None and not BEST_BY.fullmatch(metric):
        raise LongVPOError(
            f"training.metric_for_best_model: {shortened(metric)} is not measured: set it to loss, "
            "rewards/accuracies, rewards/margins or nll_loss"
        )


def _check_ours(section: dict[str, Any], ours: dict[str, Any], evaluates: bool) -> None:
    """Raises LongVPOError when a key says something that is not the recipe's to say. No value is repeated: it may be
    a token."""
    for key, value in section.items():
        for names, instead in NOT_OURS.items():
            if names == EVALUATION and evaluates:
                continue
            begins = any(key.startswith(name) for name in names) or f"{key}={value}" in names
            if begins and not (value in HARMLESS or value == getattr(DPOConfig, key, None)):
                raise LongVPOError(f"training.{key} is not the recipe's to set: {instead}")
        if key in ours and value != ours[key]:
            raise LongVPOError(f"training.{key} is set by longvpo: remove it from the recipe")


def _checked(name: str, value: Any, hint: Any) -> Any:
    """A value, a number or a truth where DPOConfig wants one, and within its range; the parser converts only text."""
    kinds = set(get_args(hint)) or {hint}
    optional, kind = NoneType in kinds, next(iter(kinds - {NoneType}))
    if value is False and name.endswith("_strategy"):
        return "no"  # which YAML reads as false
    if name.endswith("_kwargs") and not (value is None or isinstance(value, dict) or str(value).startswith("{")):
        raise LongVPOError(f"training.{name}: {shortened(value)} is not an object of names and values")
    if len(kinds - {NoneType}) > 1 or kind not in KINDS or (value is None and optional):
        return value
    try:
        if kind is bool:
            return string_to_bool(str(value))
        read = kind(value) if isinstance(value, str) else value
        if isinstance(read, bool) or math.isnan(read) or read != kind(read):
            raise ValueError
    except (ValueError, TypeError, OverflowError, ArgumentTypeError) as error:
        raise LongVPOError(f"training.{name}: {shortened(value)} is not {KINDS[kind]}") from error
    least, most = RANGES.get(name, (-math.inf, math.inf))
    if not least <= read <= most:
        raise LongVPOError(f"training.{name}: {shortened(value)} is not between {least:g} and {most:.10g}")
    return kind(read)


def _check_steps(section: dict[str, Any], arguments: DPOConfig) -> None:
    """Raises LongVPOError when the optimizer or its schedule cannot be made; both are tried on one weight."""
    if arguments.use_liger_kernel and not is_liger_kernel_available():
        raise LongVPOError("training.use_liger_kernel needs the package liger-kernel: install it, or remove the key")
    weight = torch.nn.Linear(1, 1)
    aimed = arguments.optim_target_modules is not None  # the optimizer is for modules that one weight has not
    with refusals(section, "optim"), suppress(*(ValueError,) * aimed):
        kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments, weight)
        if not {"params", "model", "optimizer_dict"} & set(options):  # those are Trainer's to fill in
            kind(weight.parameters(), **options)
    with refusals(section, "lr_scheduler_type"):
        get_scheduler(
            arguments.lr_scheduler_type,
            torch.optim.SGD(weight.parameters(), lr=arguments.learning_rate),
            num_warmup_steps=arguments.get_warmup_steps(10),
            num_training_steps=10,
            scheduler_specific_kwargs=arguments.lr_scheduler_kwargs,
        )


def steps_of(arguments: DPOConfig, triplets: int, sequence_parallel: int = 1) -> int:
    """Optimizer steps of a run. Raises LongVPOError where it would take none."""
    batch = arguments.per_device_train_batch_size * (arguments.world_size // sequence_parallel or 1)
    batches = triplets // batch if arguments.dataloader_drop_last else -(-triplets // batch)
    if not batches:
        raise LongVPOError(
            f"{triplets} triplets are fewer than one batch of {batch}, and training.dataloader_drop_last leaves it "
            "out: no step would be taken. Set training.per_device_train_batch_size lower, or give more triplets"
        )
    if arguments.max_steps > 0:
        return arguments.max_steps
    return math.ceil(-(-batches // arguments.gradient_accumulation_steps) * arguments.num_train_epochs)


def check_evaluated(arguments: DPOConfig, steps: int) -> None:
    """Raises LongVPOError when a run would end before its first evaluation."""
    every = arguments.eval_steps if arguments.eval_strategy == "steps" else 0
    if every and every > steps:
        raise LongVPOError(
            f"training.eval_steps: {every:g} is more than the {steps} steps of the run, which would end before its "
            f"first evaluation: set it to {steps} or less"
        )


@contextmanager
def refusals(
    section: dict[str, Any], key: str | None = None, begun: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """What a library refuses of `training:` as one line that names the key.

    Args:
        section: `training:` of the recipe.
        key: the one that is tried; None: the one that the library's sentence names, or whose value it names.
        begun: whether a step was taken: what fails after it is not a refusal, and passes as it is.
    """
    try:
        yield
    except (LongVPOError, OSError):
        raise
    except Exception as error:  # errors of argparse, transformers, TRL, PEFT, accelerate, torch have no common base
        if begun():
            raise
        said = first_line(error)
        parsed = PARSED.match(said)
        key, said = (parsed[1], parsed[2]) if parsed else (key or named_key(section, str(error)), said)
        where = f"training.{key}" if key else "training"
        if not isinstance(error, ValueError | ImportError | RuntimeError):  # a sentence for programmers, or a mistake
            said = f"{type(error).__name__}: {said} (LONGVPO_DEBUG=1 shows where)"
        raise LongVPOError(f"{where}: TRL refuses it: {said}") from error


def named_key(section: dict[str, Any], text: str) -> str | None:
    """The key that a sentence is about: one that it names, or one whose value, a word, it names."""
    words = {word.strip("_.-").lower() for word in re.findall(r"[\w.-]+", text)} - COMMON
    found = [name for name in section if name in words and (f"--{name}" in text or re.search(r"[_\d]", name))]
    for name, value in section.items():
        values = value if isinstance(value, list | dict) else [value]
        told = any(isinstance(one, str) and one.lower() in words for one in values)
        if told or any(text.startswith(f"{one} is not a valid ") for one in values):
            found.append(name)
    return next(iter(found), None)


def shortened(value: Any) -> str:
    """A value as it was written, at most 60 characters of it."""
    return repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
