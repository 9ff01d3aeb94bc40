"""Run a TrainRecipe: triplets and a base, or an adapter to start from, then a QLoRA adapter in a folder.

    longvpo train my-recipe.yaml

    accelerate launch --config_file recipes/accelerate/ddp.yaml -m longvpo train my-recipe.yaml

The folder holds the adapter, the processor, a card, recipe.yaml, facts.json, trainer_state.json and its curves. It
appears whole, when training is done.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import Counter
from contextlib import closing, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

from datasets import Dataset, concatenate_datasets
from transformers import PrinterCallback, ProgressCallback
from trl import DPOConfig

from longvpo.clips.published import told_differing
from longvpo.clips.trained import write_trained
from longvpo.clips.triplets import TEACHES_NOTHING
from longvpo.errors import say
from longvpo.io.disk import writing
from longvpo.io.files import PROVENANCE, as_json, file_hash, text_hash, write_text
from longvpo.io.output import Place, claimed, finished, place_of, write_whole
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.models.counting import RowLength
from longvpo.models.load import check_model, load_model, load_processor
from longvpo.models.revision import about_base, base_hash, commit_of
from longvpo.recipe.file import dump_recipe, recipe_hash
from longvpo.recipe.training import TrainRecipe
from longvpo.release.card_file import write_card
from longvpo.release.figures import curves
from longvpo.release.provenance import hardware, made_by, made_of
from longvpo.training.about import about_adapter, about_settings, base_folder, memory_of_answers, not_in_nf4
from longvpo.training.adapter import lora_config
from longvpo.training.arguments import check_evaluated, refusals, steps_of, training_arguments
from longvpo.training.checkpoints import (
    Checkpoints,
    at_step,
    check_disk,
    delete_checkpoints,
    kept_if_whole,
    last_checkpoint,
)
from longvpo.training.collator import AnchoredCollator
from longvpo.training.dealing import row_costs
from longvpo.training.held_out import about_evaluation, told, train_and_eval_rows
from longvpo.training.plan import config_counts, spread
from longvpo.training.processes import check_processes, once, shard_language_alone, together, whole_weights
from longvpo.training.reference import score_reference
from longvpo.training.rows import check_scores, pictures_of
from longvpo.training.start import (
    frames_of_recipe,
    sampled_otherwise,
    settled,
    starting_adapter,
    videos_trained_on,
)
from longvpo.training.step import tiles
from longvpo.training.step.trainer import AnchoredDPOTrainer
from longvpo.training.step.watching import Progress
from longvpo.training.tokens import check_budget, check_heads, check_targets, longest, rehearsed, row_lengths
from longvpo.training.videos import check_videos
from longvpo.training.workers import reading, set_workers
from longvpo.video.frames import ClipFrames


def train(recipe: TrainRecipe, output: Path) -> dict[str, Any]:
    """Train the adapter into the folder `output`, and return the run's facts.

    Checkpoints, if the recipe asks for them, are in `output`.checkpoints until the end. Running the same recipe again
    resumes from the last one. The first of several processes writes, and all return the facts.

    Raises:
        LongVPOError: the recipe, the dataset, its videos, the base or the adapter to start from cannot be used.
    """
    recipe = settled(recipe)
    place = place_of(output)
    arguments = training_arguments(recipe.training, place.checkpoints, evaluates=recipe.data.eval is not None)
    arguments.run_name = arguments.run_name or output.name or place.path.name
    processes = arguments.distributed_state
    check_processes(arguments, recipe.sequence_parallel)
    start = starting_adapter(recipe)
    left_out: Counter[str] = Counter()
    rows, evals = train_and_eval_rows(recipe, arguments.seed, left_out)
    check_evaluated(arguments, steps_of(arguments, len(rows), recipe.sequence_parallel))
    start_hash = file_hash(start / ADAPTER_WEIGHTS) if start else None
    if recipe.reference_log_probs == "dataset":
        check_model(recipe.base)
        check_scores(recipe, concatenate_datasets([rows, evals]), start_hash, frames_of_recipe(recipe))
    content = ",".join(text_hash(json.dumps(some.to_list()))[:12] for some in (rows, evals) if len(some))
    key = ",".join([recipe_hash(recipe), content, *([start_hash] if start_hash else [])])
    if arguments.world_size > 1:  # a step takes more triplets
        key += f",{arguments.world_size} processes"
    done = finished(place, "facts.json", key)
    if done:
        if processes.is_main_process:
            delete_checkpoints(place.checkpoints, key)
        return done
    for reason in TEACHES_NOTHING if processes.is_main_process else ():
        if left_out[reason]:
            say(f"warning: {left_out[reason]} rows that teach nothing are left out: {reason}")
    otherwise = sampled_otherwise(recipe)
    if otherwise and processes.is_main_process:
        say(f"warning: {told_differing(otherwise)}")
    if len(evals) and processes.is_main_process:
        say(told(rows, evals))
    check_targets(recipe)
    check_heads(recipe)
    check_model(recipe.base)
    made_of(recipe)  # a release.json that is damaged is found out before the work, too
    with claimed(place, key, recipe_hash(recipe)) if processes.is_main_process else nullcontext():
        return _train(recipe, arguments, place, rows, evals, left_out, start, start_hash, key, otherwise)


def _train(
    recipe: TrainRecipe,
    arguments: DPOConfig,
    place: Place,
    rows: Dataset,
    evals: Dataset,
    left_out: Counter[str],
    start: Path | None,
    start_hash: str | None,
    key: str,
    otherwise: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Train, in a place that is claimed."""
    processes, checkpoints = arguments.distributed_state, place.checkpoints
    videos = videos_trained_on(recipe, rows, start)
    frames_of = frames_of_recipe(recipe)
    whole = concatenate_datasets([rows, evals])
    once(arguments, lambda: check_videos(whole, frames_of, recipe.frame_budget), machines=True)
    processor = load_processor(recipe.base)

    def counted() -> list[RowLength]:
        found = [row_lengths(recipe, some, processor, frames_of) if len(some) else [] for some in (rows, evals)]
        for some, lengths in zip((rows, evals), found, strict=True):
            if lengths:
                check_budget(recipe, some, lengths, processor)
        return found[0]

    lengths = once(arguments, counted)
    limit, arguments.save_total_limit = arguments.save_total_limit, None  # Checkpoints keeps it
    # what TRL and trackers print is not a result
    bar = Progress()
    with (
        kept_if_whole(checkpoints, processes),
        refusals(recipe.training, begun=lambda: bar.begun),
        together(arguments),
        closing(bar),
        redirect_stdout(sys.stderr),
        reading(),
    ):
        held = evals if len(evals) else None
        trainer = make_trainer(recipe, arguments, rows, start, processor, frames_of, lengths, held)
        check_disk(trainer, checkpoints, limit)
        if recipe.reference_log_probs == "precomputed":
            trainer.train_dataset = score_reference(trainer, rows)
            trainer.eval_dataset = score_reference(trainer, evals) if held else None
        trainer.remove_callback(ProgressCallback)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(bar)
        trainer.add_callback(Checkpoints(limit))
        base = about_base(trainer.model.get_base_model(), commit_of(recipe.base))
        base |= {"not_in_nf4": not_in_nf4(recipe), **base_folder(recipe.base.model)}
        about = {
            "training": about_settings(arguments, steps_of(arguments, len(rows), recipe.sequence_parallel)),
            "lora": about_adapter(trainer.model),
            "memory": memory_of_answers(recipe, processor, max(length.frames for length in lengths)),  # estimates
        }
        shard_language_alone(trainer)
        last = last_checkpoint(checkpoints, key, processes)
        if last and processes.is_main_process:
            say(f"resumed: from {last}")
        arguments.eval_on_start = arguments.eval_on_start and last is None
        started = time.monotonic()
        then = "free some space, and the same command resumes from the last checkpoint"
        with writing(checkpoints, then, everything=False):  # a full disk, whichever library meets it
            trainer.train(resume_from_checkpoint=str(last) if last else None)
    seconds = time.monotonic() - started
    weights = whole_weights(trainer.model)
    facts = {
        "key": key,
        "kind": "model",
        "name": recipe.name,
        "recipe": recipe_hash(recipe),
        "license": recipe.license or recipe.base.license,
        "seed": arguments.seed,
        "base": base,
        **about,
        "frames": spread([length.frames for length in lengths]),
        "tokens": spread([length.tokens for length in lengths]),
        "hardware": hardware(arguments.world_size),
        "adapter_sha256": start_hash,  # the weights that training started from
        "triplets": len(rows),
        "left_out": +left_out,  # rows that teach nothing or cannot be used, by reason
        "configs": config_counts(recipe, rows),
        "videos": None if videos is None else len(videos),  # that were trained on; null: the dataset does not say
        "pictures": pictures_of(rows, frames_of),  # for each source: decoded, kept or published frames
        "sampled_otherwise": otherwise,  # keys of `video` that differ from the dataset's recipe
        "processes": arguments.world_size,
        **(
            {"sequence_parallel": recipe.sequence_parallel} if recipe.sequence_parallel > 1 else {}
        ),  # processes per row
        "triplets_a_step": trainer.get_total_train_batch_size(arguments),
        "steps": trainer.state.global_step,
        "resumed_from_step": int(last.name.rpartition("-")[2]) if last else None,
        "seconds": round(seconds, 1),  # since that step
        "data_wait_share": round(trainer.waited / seconds, 4),  # share of these seconds that waited for videos
        "workers": arguments.dataloader_num_workers,  # processes that read them
        "dealt": trainer.deals,  # rows of a step went to processes and micro-batches by their cost
        "trained_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        **({"evaluation": about_evaluation(recipe, evals, trainer)} if len(evals) else {}),
        "last_log": next((entry for entry in reversed(trainer.state.log_history) if "loss" in entry), {}),
    }
    processes.wait_for_everyone()  # all have written what they had to write
    if not processes.is_main_process:
        return facts

    def write(folder: Path) -> None:
        # the name and the commit that find the base again, not the path it was loaded from
        trainer.model.peft_config["default"].base_model_name_or_path = recipe.base.found_at
        trainer.model.peft_config["default"].revision = base["revision"]
        trainer.model.save_pretrained(
            folder, selected_adapters=["default"], save_embedding_layers=False, state_dict=weights
        )
        processor.save_pretrained(folder)
        write_trained(folder, videos)
        trainer.state.save_to_json(str(folder / "trainer_state.json"))
        curves(folder / "curves.png", trainer.state.log_history)
        # where the adapter brought it, `lora` stays out: a recipe with both is refused
        write_text(folder / "recipe.yaml", dump_recipe(recipe, without={"lora"} if recipe.adapter else None))
        facts["weights_sha256"] = file_hash(folder / ADAPTER_WEIGHTS)
        write_text(folder / "facts.json", as_json(facts))
        files = base_hash(recipe.base.model, base["revision"])  # it is known by them, wherever it lies
        named = {"model": recipe.base.model, "revision": base["revision"], **({"files": files} if files else {})}
        made = made_by(recipe_hash(recipe), key, seed=arguments.seed, base=named, **made_of(recipe))
        write_text(folder / PROVENANCE, as_json(made))
        write_card(folder)  # over PEFT's template, with nothing filled in
        if (checkpoints / "runs").is_dir():  # TensorBoard's
            shutil.copytree(checkpoints / "runs", folder / "runs")

    write_whole(place, write, resumes=at_step(checkpoints, trainer.state.global_step))
    delete_checkpoints(checkpoints, key)
    return facts


def make_trainer(
    recipe: TrainRecipe,
    arguments: DPOConfig,
    rows: Dataset,
    start: Path | None,
    processor: Any,
    frames_of: ClipFrames,
    lengths: list[RowLength],
    eval_dataset: Dataset | None = None,
) -> AnchoredDPOTrainer:
    """The base in memory, under a new adapter or the one in the folder `start`.

    Args:
        lengths: row_lengths', by which the rows are read, dealt and rehearsed.
    """
    set_workers(arguments, recipe.training, lengths[longest(lengths)])
    worst = rehearsed(lengths, arguments.per_device_train_batch_size)
    trainer = AnchoredDPOTrainer(
        model=load_model(recipe.base, start, trainable=True),
        args=arguments,
        train_dataset=rows,
        eval_dataset=eval_dataset,
        processing_class=processor,
        data_collator=AnchoredCollator(
            processor, frames_of, recipe.frame_budget, recipe.token_budget, recipe.video.fit, not arguments.use_cpu
        ),
        peft_config=None if start else lora_config(recipe.lora, recipe.base),
        vision_cache_gb=recipe.vision_cache_gb,
        longest=[[rows[place] for place in some] for some in worst],
        costs=row_costs(recipe, rows, lengths, arguments, frames_of),
        sequence_parallel=recipe.sequence_parallel,
    )
    if recipe.mlp_tokens is not None:
        tiles.install(trainer.model.get_base_model(), recipe.mlp_tokens)
    return trainer
