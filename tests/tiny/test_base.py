"""The embedded model: an ordinary checkpoint, small, trained by the recipe recorded beside it, and trainable again."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from support.world import TINY

from longvpo import TINY as CHECKPOINT
from longvpo.models.encode import encode
from longvpo.models.load import load_model, load_processor
from longvpo.models.local import answer
from longvpo.models.writer import Request
from longvpo.tiny import base
from longvpo.tiny.architecture import BaseRecipe, build_model, build_processor
from longvpo.tiny.world import (
    COLORS,
    SHAPES,
)
from longvpo.video.frames import read_frames
from longvpo.video.joined import at_rate


def test_the_checkpoint_loads_with_transformers_alone() -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(CHECKPOINT)
    processor = AutoProcessor.from_pretrained(CHECKPOINT)
    assert type(model).__module__.startswith("transformers.")
    assert type(processor).__module__.startswith("transformers.")
    assert sum(path.stat().st_size for path in CHECKPOINT.iterdir()) < 5_000_000
    assert not list(CHECKPOINT.glob("*.bin"))


def test_the_recorded_recipe_is_the_modules_own() -> None:
    assert json.loads((CHECKPOINT / "base_recipe.json").read_text()) == asdict(BaseRecipe())


def test_the_recorded_weights_fit_the_recipe() -> None:
    processor = build_processor()
    built = build_model(BaseRecipe(), processor).state_dict()
    shipped = load_model(TINY).state_dict()
    assert {key: value.shape for key, value in built.items()} == {key: v.shape for key, v in shipped.items()}
    assert processor.tokenizer.get_vocab() == load_processor(TINY).tokenizer.get_vocab()


def test_rows_of_the_base_training_are_what_the_processor_makes(world: Path) -> None:
    processor = load_processor(TINY)
    frames = read_frames(world / "videos" / "00000.mp4", np.arange(base.FRAMES) + 0.5)
    question = "what color are the ring and the bar?"
    for clips in (1, 3):
        prompt, answer = base.row_text(processor, clips, question, "red and blue")
        inputs = encode(processor, [question], [np.concatenate([frames] * clips)], [at_rate(clips * len(frames), 1.0)])
        expected = processor.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        assert inputs["input_ids"][0].tolist() == expected
        assert answer.endswith(processor.tokenizer.eos_token)


def test_words_of_the_world_are_single_tokens_and_others_survive() -> None:
    tokenizer = load_processor(TINY).tokenizer
    for word in [*SHAPES, *COLORS]:
        assert len(tokenizer(word)["input_ids"]) == 1
    text = "a dog chases the Kätzchen, 12 times?"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_few_steps_of_both_phases_lower_the_loss(world: Path) -> None:
    recipe = BaseRecipe(vision_batch=16, language_batch=16)
    processor = build_processor()
    model = build_model(recipe, processor)
    things, frames = base.load_world(world)
    clips = base.pixels(processor, frames)
    losses = base.train_vision(model, clips, things, recipe, steps=80)
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:10])
    with torch.no_grad():
        features = base.frame_features(model, clips[:, 1::4])[:, None]
    losses = base.train_language(model, processor, features, things, recipe, steps=80)
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])


@pytest.mark.parametrize("count", [1, 2])
def test_the_base_answers_about_short_contexts(test_world: Path, count: int) -> None:
    """Held-out combinations, one and two clips: the skill that preference training extends."""
    rows = [json.loads(line) for line in (test_world / "metadata.jsonl").read_text().splitlines()]
    frames = [read_frames(test_world / row["file_name"], np.arange(base.FRAMES) + 0.5) for row in rows]
    shapes = [row["caption"].split()[2] for row in rows]
    requests, answers = [], []
    for index, row in enumerate(rows):
        other = next(i for i in range(len(rows)) if shapes[i] != shapes[index])
        video = [frames[index]] if count == 1 else [frames[index], frames[other]]
        told = at_rate(count * base.FRAMES, 1.0)
        requests.append(
            Request(row["question"], times=told.times, seconds=told.seconds, frames=partial(np.concatenate, video))
        )
        answers.append(row["answer"])
    model, processor = load_model(TINY), load_processor(TINY)
    written = [said for i in range(0, 60, 20) for said in answer(model, processor, requests[i : i + 20], 6)]
    right = np.mean([a.text == b for a, b in zip(written, answers, strict=True)])
    assert right >= 0.95
