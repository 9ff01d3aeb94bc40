"""What a training step of a small model allocates, beside what memory.py says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from support.families import FAMILIES
from support.live import Live
from support.trainers import QUESTION, lora
from support.triplets import SameFrames
from torch.utils._pytree import tree_leaves

from longvpo.models.counting import video_row
from longvpo.models.memory import Skeleton
from longvpo.recipe.sections import ModelSection
from longvpo.training.arguments import training_arguments
from longvpo.training.collator import AnchoredCollator
from longvpo.training.memory import step_memory
from longvpo.training.step.trainer import AnchoredDPOTrainer


def wider(name: str, layers: int) -> tuple[Any, Any]:
    """The family's small model with a language model so wide that it decides the memory, and its processor."""
    model, processor = FAMILIES[name]()
    config = model.config
    text = config.text_config
    # as many heads of keys as of queries: a GPU repeats shared ones for the answers, a CPU does not
    text.hidden_size, text.intermediate_size, text.num_attention_heads, text.num_key_value_heads = 256, 1024, 4, 4
    text.num_hidden_layers = layers
    if hasattr(config.vision_config, "out_hidden_size"):
        config.vision_config.out_hidden_size = 256
        text.rope_parameters = text.rope_parameters | {"mrope_section": [12, 10, 10]}
    if getattr(text, "head_dim", None):
        text.head_dim = 64
    if getattr(text, "layer_types", None):
        text.layer_types = ["full_attention"] * layers
    torch.manual_seed(0)
    return type(model)(config), processor


def allocated(name: str, checkpointing: bool, folder: Path, together: int = 1) -> tuple[int, int]:
    """Bytes of activations at the peak of a step in float32 on a CPU, and those that are expected.

    Args:
        together: processes that compute the row together, of which this is one.
    """
    model, processor = wider(name, layers=4)
    frames, skeleton = 96, Skeleton(model.config)
    clip = {"source": "drawn", "video": "any", "start": 0.0, "end": float(frames)}
    texts = {"prompt": QUESTION, "chosen": "red", "rejected": "blue"}
    row = texts | {"context": [clip], "anchors": [0], "reference": "full"}
    pictures = np.random.default_rng(0).integers(1, 256, (frames, 96, 96, 3), dtype=np.uint8)
    section = {"bf16": False, "gradient_checkpointing": checkpointing, "max_steps": 1}
    trainer = AnchoredDPOTrainer(
        model=model,
        args=training_arguments(section, folder),
        train_dataset=Dataset.from_list([row]),
        processing_class=processor,
        data_collator=AnchoredCollator(processor, SameFrames(pictures)),
        peft_config=lora(),
        sequence_parallel=together,
    )
    if checkpointing:
        trainer.model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    batch = trainer._prepare_inputs(trainer.data_collator([row]))
    trainer.model.train()
    answers = int(batch["completion_mask"].sum())
    one = video_row(processor, frames, (96, 96), 1.0, QUESTION)
    base = ModelSection(model=name, dtype="float32")
    tokens = one.tokens + answers
    expected = step_memory(
        skeleton, base, lora(), tokens, answers, one.pixels, checkpointing=checkpointing, together=together
    )
    known = [
        *trainer.model.parameters(),
        *trainer.model.buffers(),
        *tree_leaves([one.made for one in batch["vision"]]),
    ]
    with Live([tensor for tensor in known if isinstance(tensor, torch.Tensor)]) as live:
        trainer.compute_loss(trainer.model, batch).backward()
    assert expected["activations"] > expected["vision"]
    return live.peak, expected["activations"]
