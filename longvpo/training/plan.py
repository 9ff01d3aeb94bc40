"""What a training run would do and cost, without loading a model."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets

from longvpo.clips.stored import check_there
from longvpo.errors import LongVPOError
from longvpo.io.files import file_hash
from longvpo.io.home import meant_folder
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.models.counting import WIDE, video_row
from longvpo.models.load import check_model, load_processor
from longvpo.models.memory import gigabytes, skeleton_of
from longvpo.models.named import refusals
from longvpo.recipe.file import recipe_hash
from longvpo.recipe.training import TrainRecipe
from longvpo.training.adapter import lora_config
from longvpo.training.arguments import check_evaluated, steps_of, training_arguments
from longvpo.training.held_out import train_and_eval_rows
from longvpo.training.memory import step_memory
from longvpo.training.processes import check_processes
from longvpo.training.rows import check_mix, check_scores
from longvpo.training.start import frames_of_recipe, sampled_otherwise, settled, starting_adapter
from longvpo.training.tokens import check_budget, check_heads, check_targets, longest, row_lengths
from longvpo.training.videos import check_videos
from longvpo.video.frames import scaled_size


def plan_training(recipe: TrainRecipe) -> dict[str, Any]:
    """What a training run would do and cost, without loading a model.

    Raises:
        LongVPOError: the recipe cannot be used, or a dataset or an adapter in a folder, or a triplet is too long.
    """
    known = os.path.exists(recipe.data.dataset)
    recipe = settled(recipe) if known else recipe
    arguments = training_arguments(recipe.training, Path("unused"), evaluates=recipe.data.eval is not None)
    together = recipe.sequence_parallel
    groups = arguments.world_size // together or 1  # what is refused is said of the processes that are here
    batch = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps * groups
    left_out: Counter[str] = Counter()
    start = starting_adapter(recipe, fetch=False)
    check_mix(recipe.data)
    rows, evals = train_and_eval_rows(recipe, arguments.seed, left_out) if known else (None, None)
    steps = steps_of(arguments, len(rows), together) if rows is not None else max(arguments.max_steps, 0) or None
    refused = refusals([(recipe.base.model, lambda: check_model(recipe.base))])
    if together > 1:
        refused += refusals([("", lambda: check_processes(arguments, together))])
        refused += refusals([(recipe.base.model, lambda: check_heads(recipe))])
    if not known and ("/" in recipe.data.dataset or meant_folder(recipe.data.dataset)):  # else it may yet be built
        refused += refusals([("", lambda: check_there(recipe.data.dataset))])
    videos: list[str] = []
    if rows is not None:
        whole = concatenate_datasets([rows, evals])
        videos = refusals([("", lambda: check_videos(whole, frames_of_recipe(recipe), recipe.frame_budget))])
        checks = [lambda: check_evaluated(arguments, steps_of(arguments, len(rows), together))]
        if recipe.reference_log_probs == "dataset" and (start or not recipe.adapter):
            sha256 = file_hash(start / ADAPTER_WEIGHTS) if start else None
            checks.append(lambda: check_scores(recipe, whole, sha256, frames_of_recipe(recipe)))
        refused += refusals([("", check) for check in checks]) + videos
    return {
        "recipe": recipe.name,
        "hash": recipe_hash(recipe),
        "base": f"{recipe.base.model}@{recipe.base.revision}",
        "quantization": recipe.base.quantization,
        "adapter": recipe.adapter,
        "dataset": recipe.data.dataset,
        "triplets": None if rows is None else len(rows),
        "eval_triplets": None if evals is None else len(evals),
        "left_out": dict(left_out),
        "videos": None if rows is None else next(iter(videos), "all can be used"),
        "sampled_otherwise": sampled_otherwise(recipe),
        "configs": config_counts(recipe, rows),
        "triplets_a_step": batch,
        **({"processes_a_row": together, "groups": groups} if together > 1 else {}),
        "steps": steps,
        "learning_rate": arguments.learning_rate,
        "beta": arguments.beta,
        "loss": dict(
            zip(arguments.loss_type, arguments.loss_weights or [1.0] * len(arguments.loss_type), strict=True)
        ),
        "frame_budget": recipe.frame_budget,
        "token_budget": recipe.token_budget,
        "reference": recipe.reference,
        "reference_log_probs": recipe.reference_log_probs,
        "refused": refused,
    } | estimate(recipe, rows, arguments.per_device_train_batch_size, arguments.gradient_checkpointing, evals)


def spread(values: list[int]) -> dict[str, int]:
    return {"least": min(values), "median": int(np.median(values)), "most": max(values)}


def config_counts(recipe: TrainRecipe, rows: Dataset | None) -> list[dict[str, Any]]:
    """The configs that are trained on: their names, what the reference sees, and how many triplets there are."""
    counts = Counter(rows["config"][:]) if rows is not None else None
    return [
        {"config": config, "reference": reference, "triplets": counts[config] if counts else None}
        for config, reference in recipe.references.items()
    ]


def estimate(
    recipe: TrainRecipe, rows: Dataset | None, batch: int, checkpointing: bool, evals: Dataset | None = None
) -> dict[str, Any]:
    """What `longvpo train --dry-run` says of tokens and memory.

    Args:
        rows: training_rows'; None where they are not known: then a context of `frame_budget` frames stands for them.
        batch: triplets a device.
        checkpointing: whether gradients are checkpointed.
        evals: those to evaluate on.

    Returns:
        Tokens and frames of the longest triplet, and its memory in GB of 10^9 bytes. Where there is no estimate,
        `cost` is a sentence that says why.

    Raises:
        LongVPOError: a triplet has more tokens than `token_budget`.
    """
    from peft import LoraConfig

    try:
        processor, skeleton = load_processor(recipe.base), skeleton_of(recipe.base)
    except LongVPOError as error:
        return {"cost": f"not estimated: {error}"}
    check_targets(recipe)
    check_model(recipe.base)
    found: dict[str, Any] = {}
    if rows:
        frames_of = frames_of_recipe(recipe)
        lengths = row_lengths(recipe, rows, processor, frames_of)
        check_budget(recipe, rows, lengths, processor)
        if evals:
            check_budget(recipe, evals, row_lengths(recipe, evals, processor, frames_of), processor)
        row = lengths[longest(lengths)]
        found["tokens_mean"] = round(sum(row.tokens for row in lengths) / len(lengths))
    elif recipe.frame_budget is not None:
        row = video_row(processor, recipe.frame_budget, scaled_size(*WIDE, recipe.video.short_side), recipe.video.fps)
    else:
        return {"cost": "not estimated: there are no triplets in a folder here, and no frame_budget is set"}
    here = recipe.adapter is not None and Path(recipe.adapter).is_dir()
    # an adapter on the Hub is not fetched: its rank is taken to be the recipe's default
    lora = LoraConfig.from_pretrained(recipe.adapter) if here else lora_config(recipe.lora, recipe.base, skeleton)
    encoded = min(1.0, recipe.video.max_frames / row.frames) if recipe.vision_cache_gb else 1.0
    step = partial(step_memory, skeleton, recipe.base, lora, row.tokens, row.answers, row.pixels, batch=batch)
    step = partial(step, mlp_tokens=recipe.mlp_tokens, frozen_copy=recipe.adapter is not None, encoded=encoded)
    step = partial(step, together=recipe.sequence_parallel)
    memory = {part: gigabytes(count) for part, count in step(checkpointing=checkpointing).items()}
    other = f"total_{'without' if checkpointing else 'with'}_checkpointing"
    memory[other] = gigabytes(step(checkpointing=not checkpointing)["total"])
    return found | {
        "frames_longest": row.frames,
        "tokens_longest": row.tokens,
        "tokens_a_frame": round(row.video / row.frames, 1),
        "memory_gb_estimate": memory,
    }
