"""Train the embedded base model, which understands one to three clips.

    python -m longvpo.tiny.base FOLDER          (about 7 minutes on 2 cores)

Two phases. The vision tower and the projector first learn the four attributes of single clips, through linear heads
that are thrown away. Then the language model learns to answer, describe and ask about one to three clips, over the
frozen tower. Contexts longer than three clips are never shown: that is what preference training adds. Made again, the
weights are alike in skill and not equal bit by bit.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm
from transformers.modeling_outputs import BaseModelOutputWithPooling

from longvpo.io.files import as_json, read_text, write_text
from longvpo.models.encode import prompt_text
from longvpo.tiny.architecture import BaseRecipe, build_model, build_processor, save_encoders
from longvpo.tiny.tasks import ATTRIBUTES, short_task
from longvpo.tiny.world import MOTIONS, SHAPES, SIZE, Thing, write_world
from longvpo.video.frames import read_frames

FRAMES = 4  # a clip of 4 s at 1 fps

Task = Callable[[list[Thing], dict[str, np.ndarray], np.random.Generator], tuple[list[int], str, str]]


def load_world(folder: Path) -> tuple[list[Thing], np.ndarray]:
    """Read a drawn world back from its files: what each clip shows, and all its frames (clips, 16, 96, 96, 3)."""
    rows = [json.loads(line) for line in read_text(folder / "metadata.jsonl").splitlines()]
    things = []
    for row in rows:
        _, color, shape, _, motion, _, _, place = row["caption"].split()
        things.append(Thing(shape, color, place, motion))
    times = np.arange(16) / 4 + 0.125
    frames = np.empty((len(rows), len(times), SIZE, SIZE, 3), np.uint8)  # 2.7 GB of 6,000 clips: never twice
    for place, row in enumerate(rows):
        frames[place] = read_frames(folder / row["file_name"], times)
    return things, frames


def pixels(processor: Any, frames: np.ndarray) -> torch.Tensor:
    """All frames through the processor's own video processor: float16 of shape (clips, 16, 3, 32, 32)."""
    batches = [
        processor.video_processor(list(frames[i : i + 100]), return_tensors="pt")["pixel_values_videos"].half()
        for i in range(0, len(frames), 100)
    ]
    return torch.cat(batches)


def frame_features(model: Any, pixel_values: torch.Tensor) -> torch.Tensor:
    """(clips, frames, 3, 32, 32) -> (clips, frames, hidden), the family's newline token left out."""
    return model.model.get_video_features(pixel_values.float(), return_dict=True).pooler_output[:, :-1]


def train_vision(model: Any, clips: torch.Tensor, things: list[Thing], recipe: BaseRecipe, steps: int) -> list[float]:
    """Phase one, in place. Returns the loss of every step."""
    labels = torch.tensor([[ATTRIBUTES[k].index(value) for k, value in enumerate(thing)] for thing in things])
    hidden = recipe.hidden
    still = torch.nn.ModuleList([torch.nn.Linear(hidden, len(values)) for values in ATTRIBUTES[:3]])
    moving = torch.nn.Linear(FRAMES * hidden, len(MOTIONS))
    trained = [*model.model.vision_tower.parameters(), *model.model.multi_modal_projector.parameters()]
    optimizer = torch.optim.AdamW(
        [*trained, *still.parameters(), *moving.parameters()], weight_decay=0.05, betas=(0.9, 0.98)
    )
    rng = np.random.default_rng(recipe.seed)
    losses = []
    for step in tqdm(range(steps), desc="vision", disable=None):
        _set_learning_rate(optimizer, recipe.vision_learning_rate, step, steps)
        rows = rng.integers(len(clips), size=recipe.vision_batch)
        offset = rng.integers(4)
        features = frame_features(model, clips[rows][:, offset::4])
        loss = sum(
            F.cross_entropy(head(features).flatten(0, 1), labels[rows, k].repeat_interleave(FRAMES))
            for k, head in enumerate(still)
        ) + F.cross_entropy(moving(features.flatten(1)), labels[rows, 3])
        _step(optimizer, loss, trained)
        losses.append(loss.item())
        if step % 200 == 199:
            tqdm.write(f"vision {step + 1}: loss {np.mean(losses[-200:]):.3f}")
    return losses


def train_language(
    model: Any,
    processor: Any,
    features: torch.Tensor,
    things: list[Thing],
    recipe: BaseRecipe,
    steps: int,
    task: Task = short_task,
) -> list[float]:
    """Phase two, in place. `features` of shape (clips, offsets, frames, hidden). Returns the loss of every step.

    Args:
        task: draws a row: indices of its clips, the user's text, the answer.
    """
    model.model.vision_tower.requires_grad_(False)
    model.model.multi_modal_projector.requires_grad_(False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, weight_decay=0.05, betas=(0.9, 0.98))
    rng = np.random.default_rng(recipe.seed + 1)
    by_shape = {shape: np.flatnonzero([thing.shape == shape for thing in things]) for shape in SHAPES}
    losses = []
    for step in tqdm(range(steps), desc="language", disable=None):
        _set_learning_rate(optimizer, recipe.language_learning_rate, step, steps)
        rows = [task(things, by_shape, rng) for _ in range(recipe.language_batch)]
        loss = language_loss(model, processor, features[:, rng.integers(features.shape[1])], rows)
        _step(optimizer, loss, trained)
        losses.append(loss.item())
        if step % 250 == 249:
            tqdm.write(f"language {step + 1}: loss {np.mean(losses[-250:]):.4f}")
    return losses


def row_text(processor: Any, clips: int, text: str, answer: str) -> tuple[str, str]:
    """Prompt and completion exactly as the processor expands them, for clips of FRAMES frames."""
    prompt = prompt_text(processor, text)
    return prompt.replace("<video>", "<video>" * (clips * FRAMES + 1)), answer + processor.tokenizer.eos_token


def language_loss(
    model: Any, processor: Any, features: torch.Tensor, rows: list[tuple[list[int], str, str]]
) -> torch.Tensor:
    """Cross-entropy of the answers, mean over rows' answer tokens."""
    texts = [row_text(processor, len(clips), text, answer) for clips, text, answer in rows]
    prompts = processor.tokenizer([prompt for prompt, _ in texts], add_special_tokens=False)["input_ids"]
    answers = processor.tokenizer([answer for _, answer in texts], add_special_tokens=False)["input_ids"]
    length = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    ids = torch.full((len(rows), length), processor.tokenizer.pad_token_id)
    labels = torch.full_like(ids, -100)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : end] = torch.tensor(answer)
    newline = model.model.image_newline[None]
    video = torch.cat([torch.cat([features[clips].flatten(0, 1), newline]) for clips, _, _ in rows])
    vision = {"video": BaseModelOutputWithPooling(pooler_output=video[None])}
    return model(input_ids=ids, labels=labels, mm_encoder_outputs=vision, use_cache=False).loss


def _set_learning_rate(optimizer: torch.optim.Optimizer, peak: float, step: int, steps: int) -> None:
    """50 steps of warm-up, then a cosine to 5 %."""
    rate = peak * min(1.0, (step + 1) / 50) * (0.525 + 0.475 * math.cos(math.pi * step / steps))
    for group in optimizer.param_groups:
        group["lr"] = rate


def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor, trained: list[torch.nn.Parameter]) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()


def main(folder: Path, recipe: BaseRecipe = BaseRecipe(), start: Path | None = None, task: Task = short_task) -> None:
    """Train a base into `folder`: its checkpoint, and the two encoders.

    Args:
        start: a checkpoint whose vision side stays as it is and whose language model learns on; None: from nothing.
        task: what the language model learns; see train_language.
    """
    processor = build_processor()
    model = build_model(recipe, processor)
    if start is not None:
        model = type(model).from_pretrained(start, dtype=torch.float32)
    with tempfile.TemporaryDirectory() as world:
        write_world(Path(world), recipe.clips, recipe.seed, "train")
        things, frames = load_world(Path(world))
    clips = pixels(processor, frames)
    del frames
    if start is None:
        train_vision(model, clips, things, recipe, recipe.vision_steps)
    with torch.no_grad():
        features = torch.stack(
            [
                torch.cat([frame_features(model, part[:, offset::4]) for part in clips.split(200)])
                for offset in range(4)
            ],
            1,
        )
    train_language(model, processor, features, things, recipe, recipe.language_steps, task)
    model.save_pretrained(folder / "checkpoint")
    processor.save_pretrained(folder / "checkpoint")
    write_text(folder / "checkpoint" / "base_recipe.json", as_json(asdict(recipe)))
    save_encoders(model, processor, folder)


if __name__ == "__main__":
    import sys

    main(Path(sys.argv[1]))
