"""Run a TrainRecipe: triplets and a base, then a QLoRA adapter in a folder.

    longvpo train my-recipe.yaml

The folder holds the adapter, the processor, a card, recipe.yaml, facts.json and trainer_state.json. It appears whole,
when training is done.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, load_dataset
from datasets.exceptions import DatasetNotFoundError
from peft import LoraConfig
from transformers import PrinterCallback, ProgressCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import DPOConfig, TrlParser

from longvpo.cards import render
from longvpo.collator import AnchoredCollator, check_videos
from longvpo.errors import LongVPOError, first_line
from longvpo.folder import finished, whole_folder
from longvpo.model import load_model, load_processor
from longvpo.recipe import DataSection, TrainRecipe
from longvpo.recipe_file import dump_recipe, recipe_hash
from longvpo.trainer import AnchoredDPOTrainer
from longvpo.video import ClipFrames

SHOWN = {"loss": "loss", "nll_loss": "nll", "rewards/margins": "margin", "rewards/accuracies": "accuracy"}


def train(recipe: TrainRecipe, output: Path) -> dict[str, Any]:
    """Train the adapter into the folder `output`, and return the run's facts.

    Checkpoints, if the recipe asks for them, lie beside it in `output`.checkpoints until the end; running the same
    recipe again goes on from the last one.

    Raises:
        LongVPOError: the recipe, the dataset, its videos or the base cannot be used.
    """
    checkpoints = output.with_name(output.name + ".checkpoints")
    arguments = training_arguments(recipe.training, checkpoints)
    rows = load_triplets(recipe.data)
    key = f"{recipe_hash(recipe)},{_content_hash(rows)}"
    done = finished(output, "facts.json", key)
    if done:
        return done
    frames_of = ClipFrames(recipe.video, recipe.data.videos)
    check_videos(rows, frames_of)
    processor = load_processor(recipe.base)
    with _checkpoints_or_nothing(checkpoints):
        trainer = AnchoredDPOTrainer(
            model=load_model(recipe.base),
            args=arguments,
            train_dataset=rows,
            processing_class=processor,
            data_collator=AnchoredCollator(processor, frames_of, recipe.video.fps, recipe.reference),
            peft_config=LoraConfig(**recipe.lora.model_dump(), task_type="CAUSAL_LM"),
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
        "triplets": len(rows),
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
        (folder / "recipe.yaml").write_text(dump_recipe(recipe))
        (folder / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
    shutil.rmtree(checkpoints, ignore_errors=True)
    return facts


def plan(recipe: TrainRecipe) -> dict[str, Any]:
    """What a training run would do, without loading a model."""
    arguments = training_arguments(recipe.training, Path("unused"))
    batch = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps
    known = Path(recipe.data.dataset).is_dir()
    rows = len(load_triplets(recipe.data)) if known else None
    steps: int | None = arguments.max_steps if arguments.max_steps > 0 else None
    if steps is None and rows is not None:
        steps = int(-(-rows // batch) * arguments.num_train_epochs)
    return {
        "recipe": recipe.name,
        "hash": recipe_hash(recipe),
        "base": f"{recipe.base.model}@{recipe.base.revision}",
        "quantization": recipe.base.quantization,
        "dataset": recipe.data.dataset,
        "triplets": rows,
        "triplets_a_step": batch,
        "steps": steps,
        "learning_rate": arguments.learning_rate,
        "beta": arguments.beta,
        "loss": dict(
            zip(arguments.loss_type, arguments.loss_weights or [1.0] * len(arguments.loss_type), strict=True)
        ),
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


def load_triplets(section: DataSection) -> Dataset:
    """The triplets of a folder that build-dataset made, or of a Hub dataset.

    Raises:
        LongVPOError: there is no such dataset, or its columns are not those of triplets.
    """
    try:
        rows = load_dataset(section.dataset, section.config, split=section.split, revision=_revision(section))
    except (DatasetNotFoundError, FileNotFoundError, ValueError, ConnectionError) as error:
        raise LongVPOError(f"cannot load {section.dataset}, config {section.config}: {first_line(error)}") from error
    missing = [
        name for name in ("prompt", "chosen", "rejected", "context", "anchors") if name not in rows.column_names
    ]
    if missing:
        raise LongVPOError(f"{section.dataset} holds no triplets: it has no column {missing[0]}")
    return rows


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
    return render("model", front, name=recipe.name, recipe=recipe, facts=facts)


def _content_hash(rows: Dataset) -> str:
    """Twelve hexadecimal digits of what is trained on."""
    columns = rows.select_columns(["prompt", "chosen", "rejected", "context", "anchors"])
    return hashlib.sha256(json.dumps(columns.to_list()).encode()).hexdigest()[:12]


def _revision(section: DataSection) -> str | None:
    return None if Path(section.dataset).is_dir() else section.revision


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
            f"{checkpoints} holds a run of another recipe or dataset: delete it, or give another --output"
        )
    checkpoints.mkdir(parents=True, exist_ok=True)
    mark.write_text(key)
    last: str | None = get_last_checkpoint(str(checkpoints))
    return last
