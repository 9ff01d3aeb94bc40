"""Run a TrainRecipe: triplets and a base, or an adapter to go on from, then a QLoRA adapter in a folder.

    longvpo train my-recipe.yaml

The folder holds the adapter, the processor, a card, recipe.yaml, facts.json and trainer_state.json. It appears whole,
when training is done.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from datasets import Dataset
from peft import LoraConfig
from transformers import PrinterCallback, ProgressCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import DPOConfig, TrlParser

from longvpo.cards import render
from longvpo.collator import AnchoredCollator, check_videos
from longvpo.errors import LongVPOError
from longvpo.folder import file_hash, finished, whole_folder
from longvpo.model import ADAPTER_WEIGHTS, adapter_folder, check_adapter, load_model, load_processor
from longvpo.recipe import Reference, TrainRecipe
from longvpo.recipe_file import dump_recipe, recipe_hash
from longvpo.rows import check_mix, load_triplets
from longvpo.trainer import AnchoredDPOTrainer
from longvpo.video import ClipFrames

SEEN: dict[Reference, str] = {
    "anchor": "the anchor clip",
    "relevant": "the relevant clips",
    "full": "the whole context",
}
SHOWN = {"loss": "loss", "nll_loss": "nll", "rewards/margins": "margin", "rewards/accuracies": "accuracy"}


def train(recipe: TrainRecipe, output: Path) -> dict[str, Any]:
    """Train the adapter into the folder `output`, and return the run's facts.

    Checkpoints, if the recipe asks for them, lie beside it in `output`.checkpoints until the end; running the same
    recipe again goes on from the last one.

    Raises:
        LongVPOError: the recipe, the dataset, its videos, the base or the adapter to go on from cannot be used.
    """
    checkpoints = output.with_name(output.name + ".checkpoints")
    arguments = training_arguments(recipe.training, checkpoints)
    start = _start(recipe)
    rows = load_triplets(recipe, arguments.seed)
    start_hash = file_hash(start / ADAPTER_WEIGHTS) if start else None
    key = ",".join([recipe_hash(recipe), _content_hash(rows), *([start_hash] if start_hash else [])])
    done = finished(output, "facts.json", key)
    if done:
        return done
    frames_of = ClipFrames(recipe.video, recipe.data.videos)
    check_videos(rows, frames_of)
    processor = load_processor(recipe.base)
    with _checkpoints_or_nothing(checkpoints):
        trainer = AnchoredDPOTrainer(
            model=load_model(recipe.base, start, trainable=True),
            args=arguments,
            train_dataset=rows,
            processing_class=processor,
            data_collator=AnchoredCollator(processor, frames_of, recipe.video.fps, recipe.frame_budget),
            peft_config=None if start else LoraConfig(**recipe.lora.model_dump(), task_type="CAUSAL_LM"),
        )
        trainer.remove_callback(ProgressCallback)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Progress)
        resume = _last_checkpoint(key, checkpoints)
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=resume)
    facts = {
        "key": key,
        "recipe": recipe_hash(recipe),
        "adapter_sha256": start_hash,  # of the weights that training went on from
        "triplets": len(rows),
        "configs": _configs(recipe, rows),
        "steps": trainer.state.global_step,
        "seconds": round(time.monotonic() - started, 1),
        "trained_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "last_log": next((entry for entry in reversed(trainer.state.log_history) if "loss" in entry), {}),
    }
    with whole_folder(output) as folder:
        # the name that finds the base again, not the path it was loaded from
        trainer.model.peft_config["default"].base_model_name_or_path = recipe.base.model
        trainer.model.peft_config["default"].revision = recipe.base.revision
        trainer.model.save_pretrained(folder, selected_adapters=["default"], save_embedding_layers=False)
        (folder / "README.md").write_text(_card(recipe, facts))  # over PEFT's template, with nothing filled in
        processor.save_pretrained(folder)
        trainer.state.save_to_json(str(folder / "trainer_state.json"))
        (folder / "recipe.yaml").write_text(_resolved(recipe))
        (folder / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
    shutil.rmtree(checkpoints, ignore_errors=True)
    return facts


def plan(recipe: TrainRecipe) -> dict[str, Any]:
    """What a training run would do, without loading a model.

    Raises:
        LongVPOError: the recipe cannot be used, or a dataset or an adapter in a folder.
    """
    arguments = training_arguments(recipe.training, Path("unused"))
    batch = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps
    _check_start(recipe)
    check_mix(recipe.data)
    known = Path(recipe.data.dataset).is_dir()
    rows = load_triplets(recipe, arguments.seed) if known else None
    steps: int | None = arguments.max_steps if arguments.max_steps > 0 else None
    if steps is None and rows is not None:
        steps = int(-(-len(rows) // batch) * arguments.num_train_epochs)
    return {
        "recipe": recipe.name,
        "hash": recipe_hash(recipe),
        "base": f"{recipe.base.model}@{recipe.base.revision}",
        "quantization": recipe.base.quantization,
        "adapter": recipe.adapter,
        "dataset": recipe.data.dataset,
        "triplets": None if rows is None else len(rows),
        "configs": _configs(recipe, rows),
        "triplets_a_step": batch,
        "steps": steps,
        "learning_rate": arguments.learning_rate,
        "beta": arguments.beta,
        "loss": dict(
            zip(arguments.loss_type, arguments.loss_weights or [1.0] * len(arguments.loss_type), strict=True)
        ),
        "frame_budget": recipe.frame_budget,
        "reference": recipe.reference,
    }


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
    clash = sorted(set(section) & set(ours))
    if clash:
        raise LongVPOError(f"training.{clash[0]} is set by longvpo: remove it from the recipe")
    # without a GPU the CPU is meant: TRL refuses bfloat16 unless it is told so
    defaults = {"use_cpu": not torch.cuda.is_available(), "report_to": "none", "logging_steps": 10}
    parser = TrlParser(DPOConfig)
    try:
        unknown = parser.set_defaults_with_config(**defaults | section | ours)
        (arguments,) = parser.parse_args_into_dataclasses(args=[])
    except (ValueError, TypeError, SystemExit) as error:
        raise LongVPOError(f"training: TRL refuses it: {error}") from error
    unknown = [str(item) for item in unknown][::2]  # --key value --key value ...
    if unknown:
        names = ", ".join(f"training.{name.removeprefix('--')}" for name in unknown)
        raise LongVPOError(f"trl.DPOConfig does not know {names}: see its documentation for the names")
    return arguments


def _check_start(recipe: TrainRecipe) -> None:
    """Raises LongVPOError when `adapter` does not go with the rest of the recipe; one on the Hub is not looked at."""
    if recipe.adapter is None:
        return
    if "lora" in recipe.model_fields_set:
        raise LongVPOError("`lora` comes with the adapter that training goes on from: leave `lora` or `adapter` out")
    if Path(recipe.adapter).is_dir():
        check_adapter(recipe.base, Path(recipe.adapter))


def _start(recipe: TrainRecipe) -> Path | None:
    """Folder of the adapter that training goes on from, if there is one."""
    _check_start(recipe)
    if recipe.adapter is None:
        return None
    folder = adapter_folder(recipe.adapter, recipe.adapter_revision)
    check_adapter(recipe.base, folder)
    return folder


def _configs(recipe: TrainRecipe, rows: Dataset | None) -> list[dict[str, Any]]:
    """Of each config that is trained on: its name, what the reference sees, and how many triplets there are."""
    references = {recipe.data.config: recipe.reference} | {mix.config: mix.reference for mix in recipe.data.mix}
    counts = Counter(rows["config"]) if rows is not None else None
    return [
        {"config": config, "reference": reference, "triplets": counts[config] if counts else None}
        for config, reference in references.items()
    ]


def _resolved(recipe: TrainRecipe) -> str:
    """The recipe as YAML, for another run of it."""
    text = dump_recipe(recipe)
    if recipe.adapter is None:
        return text
    values = yaml.safe_load(text)
    del values["lora"]  # it came with the adapter: a recipe with both is refused
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)


class Progress(ProgressCallback):
    """The training bar, with the last logged values beside it; Trainer's own prints them to stdout, line by line."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        shown = {short: round(logs[name], 3) for name, short in SHOWN.items() if logs and name in logs}
        if state.is_world_process_zero and self.training_bar is not None and shown:
            self.training_bar.set_postfix(shown)


def _card(recipe: TrainRecipe, facts: dict[str, Any]) -> str:
    front = {
        "library_name": "peft",
        "base_model": recipe.base.model,
        "base_model_relation": "adapter",
        "pipeline_tag": "video-text-to-text",
        "tags": ["longvpo", "lora", "dpo", "trl"],
    }
    return render("model", front, name=recipe.name, recipe=recipe, facts=facts, seen=SEEN)


def _content_hash(rows: Dataset) -> str:
    """Twelve hexadecimal digits of what is trained on."""
    return hashlib.sha256(json.dumps(rows.to_list()).encode()).hexdigest()[:12]


@contextmanager
def _checkpoints_or_nothing(checkpoints: Path) -> Iterator[None]:
    """A run that fails before its first checkpoint leaves no folder behind: there is nothing to go on from."""
    try:
        yield
    except BaseException:
        if checkpoints.is_dir() and get_last_checkpoint(str(checkpoints)) is None:
            shutil.rmtree(checkpoints)
        raise


def _last_checkpoint(key: str, checkpoints: Path) -> str | None:
    mark = checkpoints / "key"
    if mark.is_file() and mark.read_text() != key:
        raise LongVPOError(
            f"{checkpoints} holds a run of another recipe, dataset or starting adapter: delete it, or give another "
            "--output"
        )
    checkpoints.mkdir(parents=True, exist_ok=True)
    mark.write_text(key)
    last: str | None = get_last_checkpoint(str(checkpoints))
    return last
