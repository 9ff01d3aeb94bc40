"""Where the time of training goes, from some steps of it that leave nothing behind.

    longvpo train RECIPE --profile 5

One step more comes first and is not counted: it waits for the first rows, and for what libraries prepare once.
"""

from __future__ import annotations

import sys
import time
from contextlib import redirect_stdout
from typing import Any

import torch
from transformers import PrinterCallback, ProgressCallback, TrainerCallback

from longvpo.errors import LongVPOError
from longvpo.io.temporary import own_folder
from longvpo.models.counting import RowLength
from longvpo.models.load import load_processor
from longvpo.models.memory import skeleton_of
from longvpo.recipe.training import TrainRecipe
from longvpo.release.provenance import hardware
from longvpo.training.arguments import refusals, steps_of, training_arguments
from longvpo.training.arithmetic import Arithmetic, peak_of
from longvpo.training.held_out import train_and_eval_rows
from longvpo.training.plan import estimate
from longvpo.training.processes import check_processes
from longvpo.training.rows import SCORES
from longvpo.training.run import make_trainer
from longvpo.training.start import frames_of_recipe, settled, starting_adapter
from longvpo.training.step.phases import Phases, phase, recording
from longvpo.training.step.watching import Progress, peak_memory
from longvpo.training.tokens import check_budget, row_lengths
from longvpo.training.videos import check_videos
from longvpo.training.workers import reading

PHASES = ("data", "vision", "reference", "prompt", "answers", "backward", "optimizer")
LEFT_OUT = (
    "save_strategy",
    "eval_strategy",
    "eval_on_start",
    "do_eval",
    "load_best_model_at_end",
    "report_to",
)  # keys of `training:`


class Watch(TrainerCallback):
    """Begins to count after the first step, and takes the optimizer's time."""

    def __init__(self, phases: Phases) -> None:
        self.phases, self.work = phases, Work()
        self.began = 0.0

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self.phases.enter("optimizer")

    def on_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self.phases.leave()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 1:
            self.phases.seconds.clear()
            self.work.clear()
            self.began = time.perf_counter()


class Work(list[tuple[RowLength, int]]):
    """The rows that were computed, each with the tokens of what its reference saw; 0: it was scored before."""

    def add(self, batch: dict[str, Any]) -> None:
        before = "ref_chosen_logps" in batch
        scored = [0] * len(batch["clips"]) if before else _tokens(batch.get("reference", batch))
        for tokens, reference, clips, pixels in zip(
            _tokens(batch), scored, batch["clips"], batch["vision"], strict=True
        ):
            frames = sum(count for _, count in clips)
            self.append((RowLength(frames, (0, 0), pixels.numbers, 0, tokens), reference))


def _tokens(batch: dict[str, Any]) -> list[int]:
    """Tokens of the rows of a batch, when chosen and rejected share one prompt."""
    answers = batch["completion_mask"].sum(1)
    prompts = (batch["attention_mask"].sum(1) - answers).chunk(2)[0]
    found: list[int] = (prompts + answers.view(2, -1).sum(0)).tolist()
    return found


def profile_training(recipe: TrainRecipe, steps: int) -> dict[str, Any]:
    """Train for some steps, and say where the time went.

    Returns:
        recipe, hardware, steps, seconds_a_step, data_wait_share, tokens_per_second, tflop_a_step and workers. phases:
        seconds per step by phase, PHASES and `other`. mfu: where the data sheet says the device's peak. memory_gb: on
        a CPU, the memory of the whole process. memory_gb_estimate: null on a CPU.

    Raises:
        LongVPOError: as train.
    """
    if steps < 1:
        raise LongVPOError("--profile takes the number of steps to time: 5 is a good one")
    recipe = settled(recipe)
    section = {name: value for name, value in recipe.training.items() if not name.startswith(LEFT_OUT)}
    section |= {"max_steps": steps + 1, "save_strategy": "no", "logging_steps": steps + 1}
    with own_folder("profile") as folder:
        arguments = training_arguments(section, folder)
        check_processes(arguments)
        if arguments.world_size > 1 or recipe.sequence_parallel > 1:
            raise LongVPOError(
                "--profile times one process: leave `accelerate launch` out, and sequence_parallel at 1"
            )
        start = starting_adapter(recipe)
        rows, _ = train_and_eval_rows(recipe, arguments.seed)
        steps_of(arguments, len(rows))
        frames_of = frames_of_recipe(recipe)
        check_videos(rows, frames_of, recipe.frame_budget)
        processor = load_processor(recipe.base)
        lengths = row_lengths(recipe, rows, processor, frames_of)
        check_budget(recipe, rows, lengths, processor)
        if recipe.reference_log_probs == "precomputed":  # a run scores before its first step; any number does here
            for name in SCORES:
                rows = rows.add_column(name, [0.0] * len(rows))
        with refusals(section), redirect_stdout(sys.stderr), reading(), recording() as phases:
            trainer = make_trainer(recipe, arguments, rows, start, processor, frames_of, lengths)
            watch, compute, backward = Watch(phases), trainer.compute_loss, trainer.accelerator.backward

            def noted(model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
                watch.work.add(inputs)
                return compute(model, inputs, *args, **kwargs)

            def timed(*args: Any, **kwargs: Any) -> None:
                with phase("backward"):
                    backward(*args, **kwargs)

            trainer.compute_loss, trainer.accelerator.backward = noted, timed  # type: ignore[method-assign]
            trainer.remove_callback(PrinterCallback)
            trainer.remove_callback(ProgressCallback)
            trainer.add_callback(Progress())
            trainer.add_callback(watch)
            trainer.train()
            seconds = time.perf_counter() - watch.began
    cost = Arithmetic(skeleton_of(recipe.base))
    flop = sum(cost.step(length, reference) for length, reference in watch.work)
    peak = peak_of(torch.cuda.get_device_name() if torch.cuda.is_available() else "")
    known = estimate(recipe, rows, arguments.per_device_train_batch_size, arguments.gradient_checkpointing)
    parts = {name: phases.seconds[name] / steps for name in PHASES}
    return {
        "recipe": recipe.name,
        "hardware": hardware(arguments.world_size),
        "steps": steps,
        "seconds_a_step": seconds / steps,
        "phases": parts | {"other": seconds / steps - sum(parts.values())},
        "data_wait_share": parts["data"] * steps / seconds,
        "tokens_per_second": sum(length.tokens for length, _ in watch.work) / seconds,
        "tflop_a_step": flop / steps / 1e12,
        "mfu": flop / seconds / peak if peak else None,
        "memory_gb": peak_memory(),
        "memory_gb_estimate": None if arguments.use_cpu else known.get("memory_gb_estimate", {}).get("total"),
        "workers": arguments.dataloader_num_workers,
    }
