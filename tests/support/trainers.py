"""Trainers on the small models of five families, and one step of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from support.families import FAMILIES
from support.world import TINY

from longvpo.models.encode import encode
from longvpo.models.load import load_model, load_processor
from longvpo.models.plain_text import answer_ids
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sections import VideoSection
from longvpo.recipe.training import LoraSection, TrainRecipe
from longvpo.training.arguments import training_arguments
from longvpo.training.checkpoints import mark_whole
from longvpo.training.collator import AnchoredCollator
from longvpo.training.step.trainer import AnchoredDPOTrainer
from longvpo.video.frames import ClipFrames
from longvpo.video.joined import at_rate

BETA, ALPHA = 0.3, 0.7
SECTION = {
    "beta": BETA,
    "loss_type": ["sigmoid", "sft"],
    "loss_weights": [1.0, ALPHA],
    "bf16": False,
    "gradient_checkpointing": False,
    "per_device_train_batch_size": 3,
    "save_strategy": "no",
}


def family(name: str) -> tuple[Any, Any]:
    """(model, processor) of a family, or of the embedded model."""
    return (load_model(TINY), load_processor(TINY)) if name == "tiny" else FAMILIES[name]()


def make_trainer(
    name: str,
    rows: list[dict[str, Any]],
    world: Path,
    output: Path,
    kind: type = AnchoredDPOTrainer,
    vision_cache_gb: float | None = None,
    **section: Any,
) -> Any:
    """A trainer whose adapter is not nothing, so that policy and reference differ."""
    model, processor = family(name)
    trainer = kind(
        model=model,
        args=training_arguments(SECTION | section, output / "run"),
        train_dataset=Dataset.from_list(rows),
        processing_class=processor,
        data_collator=AnchoredCollator(processor, ClipFrames(VideoSection(), {"drawn": world})),
        peft_config=LoraConfig(**LoraSection(r=4, lora_alpha=8).of_peft(), task_type="CAUSAL_LM"),
        **({} if vision_cache_gb is None else {"vision_cache_gb": vision_cache_gb}),
    )
    generator = torch.Generator().manual_seed(0)
    for key, parameter in trainer.model.named_parameters():
        if "lora_B" in key:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return trainer


def step(trainer: Any, rows: list[dict[str, Any]], packed: bool) -> tuple[float, dict[str, Any], dict[str, Any]]:
    """Loss, gradients and metrics of one batch."""
    trainer.packed = packed
    trainer._metrics["train"].clear()
    trainer.model.train()
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
    loss.backward()
    gradients = {key: p.grad.clone() for key, p in trainer.model.named_parameters() if p.grad is not None}
    metrics = {key: values[-1] for key, values in trainer._metrics["train"].items() if key != "num_tokens"}
    return loss.item(), gradients, metrics


def difference(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """The difference of all gradients together, relative to their length."""
    assert ours.keys() == theirs.keys()
    square = sum((ours[key] - theirs[key]).float().square().sum() for key in ours)
    return float((square / sum(value.float().square().sum() for value in theirs.values())).sqrt())


def log_prob(model: Any, processor: Any, question: str, frames: np.ndarray, answer: str) -> torch.Tensor:
    """Log-probabilities of the answer's tokens by one plain forward of one sequence, shape (tokens,)."""
    inputs = encode(processor, [question], [frames], [at_rate(len(frames), 1.0)])
    ids = torch.tensor([answer_ids(processor, answer)])
    start = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], ids], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if "mm_token_type_ids" in inputs:
        inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(ids)], 1)
    logits = model(**inputs).logits[0, start - 1 : -1]
    return logits.log_softmax(-1).gather(1, ids[0][:, None])[:, 0]


FRESH = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig
base, adapter, inputs, output = sys.argv[1:]
nf4 = BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.float32,
    llm_int8_skip_modules=["model.vision_tower", "model.multi_modal_projector", "lm_head"],
)
model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32, quantization_config=nf4)
model = PeftModel.from_pretrained(model, adapter).eval()
assert "longvpo" not in sys.modules
with torch.no_grad():
    torch.save(model(**torch.load(inputs)).logits, output)
"""


def checkpoint(folder: Path, step: int, whole: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "trainer_state.json").write_text("{}")
    if whole:
        mark_whole(path)
    return path


QUESTION = "what color is the ring?"


def train_recipe(dataset: Path, world: Path, *overrides: str) -> TrainRecipe:
    return load_recipe(
        TrainRecipe, "tiny/stage1", [f"data.dataset={dataset}", f"data.videos.drawn={world}", *overrides]
    )


def lora(**options: Any) -> LoraConfig:
    """The recipes' adapter; PEFT writes into what it is given."""
    return LoraConfig(**LoraSection().of_peft() | options, task_type="CAUSAL_LM")
