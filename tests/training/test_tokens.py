"""Tokens of rows, held against real processors and real batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.families import FAMILIES
from support.trainers import QUESTION, train_recipe

from longvpo.errors import LongVPOError
from longvpo.models.counting import RowLength, video_row
from longvpo.models.encode import encode
from longvpo.models.load import load_processor
from longvpo.recipe.training import TrainRecipe
from longvpo.training import tokens
from longvpo.training.collator import AnchoredCollator
from longvpo.training.rows import training_rows
from longvpo.training.step.packing import pack
from longvpo.training.tokens import check_budget, longest, picture_size, row_lengths
from longvpo.video.frames import ClipFrames
from longvpo.video.joined import at_rate


@pytest.mark.parametrize("size", [(96, 96), (150, 70)])
@pytest.mark.parametrize("frames", [1, 2, 7, 8, 64, 128])
def test_tokens_are_those_of_real_frames(name: str, frames: int, size: tuple[int, int]) -> None:
    _, processor = FAMILIES[name]()
    video = np.random.default_rng(0).integers(0, 256, (frames, size[1], size[0], 3), dtype=np.uint8)
    real = encode(processor, [QUESTION], [video], [at_rate(frames, 0.7)])
    row = video_row(processor, frames, size, 0.7, QUESTION)
    pixels = sum(value.numel() for name, value in real.items() if name.startswith("pixel_values"))
    assert (row.frames, row.tokens, row.pixels) == (frames, real["input_ids"].shape[1], pixels)


class Watched:
    """A processor, and what it was given as frames."""

    def __init__(self, processor: Any, refused: type | None = None) -> None:
        self.processor, self.refused, self.seen = processor, refused, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)

    def __call__(self, **inputs: Any) -> Any:
        self.seen += inputs.get("videos", [])
        if self.refused and any(isinstance(video, self.refused) for video in inputs.get("videos", [])):
            raise NotImplementedError("Cannot copy out of meta tensor; no data!")
        return self.processor(**inputs)


def test_no_pixel_is_made_unless_a_processor_looks_at_them() -> None:
    _, processor = FAMILIES["internvl"]()
    watched, picky = Watched(processor), Watched(processor, refused=torch.Tensor)
    assert video_row(watched, 9, (96, 96), 1.0) == video_row(picky, 9, (96, 96), 1.0)
    assert [video.device.type for video in watched.seen] == ["meta"]
    assert picky.seen[-1].shape == (9, 96, 96, 3)


@pytest.mark.parametrize("overrides", [[], ["frame_budget=9"], ["video.fps=2.5", "video.max_frames=7"]])
def test_rows_are_as_long_as_training_makes_them(
    name: str, base: Path, dataset: Path, world: Path, overrides: list[str]
) -> None:
    recipe = train_recipe(dataset, world, f"base.model={base}", *overrides)
    rows, processor = training_rows(recipe, 0), load_processor(recipe.base)
    frames_of = ClipFrames(recipe.video, recipe.data.videos)
    collator = AnchoredCollator(processor, frames_of, recipe.frame_budget)
    lengths = row_lengths(recipe, rows, processor)
    for number in range(0, len(rows), 5):
        batch, row = collator([rows[number]]), lengths[number]
        places = torch.arange(batch["input_ids"].shape[1]).expand(1, 2, -1)
        packed = pack(batch["input_ids"], batch["completion_mask"], batch["attention_mask"], places)
        assert row.frames == sum(count for _, count in batch["clips"][0])
        assert row.answers == batch["completion_mask"].sum()
        tokens = packed["input_ids"].shape[1] + 1  # no answer's end is an input, and each begins with a prompt's token
        assert row.tokens == tokens
        pixels = {key: value for key, value in batch["vision"][0].made.items() if key.startswith("pixel_values")}
        assert row.pixels == sum(value.numel() for value in pixels.values())
    assert lengths[longest(lengths)].tokens == max(row.tokens for row in lengths)


def test_lengths_are_kept_until_something_changes_them(
    dataset: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = train_recipe(dataset, world, "video.short_side=80")
    rows, processor, counted = training_rows(recipe, 0), load_processor(recipe.base), []
    real = tokens.video_rows
    monkeypatch.setattr(tokens, "video_rows", lambda *given: counted.append(1) or real(*given))
    first = row_lengths(recipe, rows, processor)
    assert row_lengths(recipe, rows, load_processor(recipe.base)) == first
    assert [type(row) for row in first] == [RowLength] * len(rows)
    assert len(counted) == 1
    changed = train_recipe(dataset, world, "video.short_side=80", "frame_budget=9")
    longer = rows.map(lambda row: {"chosen": row["chosen"] + " and more"}, keep_in_memory=True)
    other = load_processor(recipe.base)
    other.chat_template += "{# other #}"
    assert row_lengths(changed, rows, processor) != first
    assert row_lengths(recipe, longer, processor) != first
    row_lengths(recipe, rows, other)
    assert len(counted) == 4


def test_the_size_of_pictures_is_that_of_the_sampled_frames(dataset: Path, world: Path) -> None:
    recipe = train_recipe(dataset, world, "video.short_side=64")
    clip = training_rows(recipe, 0)[0]["context"][0]
    frames_of = ClipFrames(recipe.video, recipe.data.videos)
    width, height = picture_size(frames_of, clip)
    assert frames_of(clip).shape[1:3] == (height, width) == (64, 64)
    for gone in ({"video": "videos/gone.mp4"}, {"source": "elsewhere"}):
        assert picture_size(frames_of, clip | gone) == (114, 64), "wide, and scaled down"


def test_a_row_beyond_the_token_budget_is_named(name: str, base: Path, dataset: Path, world: Path) -> None:
    def recipe(*overrides: str) -> TrainRecipe:
        return train_recipe(dataset, world, f"base.model={base}", *overrides)

    rows, processor = training_rows(recipe(), 0), load_processor(recipe().base)
    lengths = row_lengths(recipe(), rows, processor)
    place = longest(lengths)
    tokens = lengths[place].tokens
    check_budget(recipe(), rows, lengths, processor)
    check_budget(recipe(f"token_budget={tokens}"), rows, lengths, processor)
    budget = tokens - lengths[place].video // 2
    with pytest.raises(LongVPOError) as raised:
        check_budget(recipe(f"token_budget={budget}"), rows, lengths, processor)
    said = str(raised.value)
    over = sum(row.tokens > budget for row in lengths)
    assert said.startswith(f"{over} of {len(rows)} triplets have more tokens than the token_budget of {budget}")
    assert f'row {place} ("{rows[place]["prompt"]}", config stage1): {tokens} tokens, 32 frames' in said
    assert said.endswith(f"token_budget to {tokens}")
    # what it says helps
    frames = said.split("frame_budget to ")[1].split(" ")[0]
    followed = recipe(f"token_budget={budget}", f"frame_budget={frames}")
    check_budget(followed, rows, row_lengths(followed, rows, processor), processor)


def test_no_frame_budget_helps_against_long_texts(dataset: Path, world: Path) -> None:
    recipe = train_recipe(dataset, world, "token_budget=10")
    rows, processor = training_rows(recipe, 0), load_processor(recipe.base)
    lengths = [RowLength(frames=4, size=(64, 64), pixels=0, video=8, tokens=40)] * len(rows)
    with pytest.raises(LongVPOError, match=r"4 frames\. Set token_budget to 40$"):
        check_budget(recipe, rows, lengths, processor)
