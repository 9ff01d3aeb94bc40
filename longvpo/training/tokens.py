"""What training costs in tokens and bytes, found before any weight is loaded.

The rule: no table of families. Tokens are counted by the base's own processor, from frames without pixels (torch's
meta device), so that hundreds of frames take milliseconds. Bytes are an estimate, from memory.py.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from longvpo.errors import LongVPOError, VideoError
from longvpo.io.names import video_file
from longvpo.models.encode import encode, encode_texts, tells_times
from longvpo.models.plain_text import answer_frame, answer_ids, control_tokens, plain_ids, tokenizer_of
from longvpo.recipe.training import TrainRecipe
from longvpo.training.adapter import check_kept_features, lora_config, skeleton_of
from longvpo.training.memory import adapted_layers, linear_layers
from longvpo.video.extent import extent
from longvpo.video.frames import sample_times, scaled_size
from longvpo.video.joined import Shown, at_rate, canvas, shown

if TYPE_CHECKING:
    from datasets import Dataset

SMALL = (64, 64)  # width and height of pictures where only what is written between them counts
WIDE = (1920, 1080)  # width and height, before scaling, that a video which cannot be read is taken to have


class RowLength(NamedTuple):
    """One triplet as it is trained on: its prompt with the video, chosen and rejected, one after another."""

    frames: int
    size: tuple[int, int]  # width and height of the frames, in pixels
    pixels: int  # numbers that the processor makes of them
    video: int  # tokens of the frames, and of what is written between them
    tokens: int  # all of the row's
    answers: int = 0  # tokens of chosen and rejected


def video_row(processor: Any, frames: int, size: tuple[int, int], fps: float, question: str = "") -> RowLength:
    """What the processor makes of a prompt over a video, without an answer.

    Args:
        size: (width, height) of the frames, in pixels.
        fps: the frames' rate: some families write their times between them.
    """
    return shown_row(processor, size, at_rate(frames, fps), question)


def shown_row(processor: Any, size: tuple[int, int], told: Shown, question: str = "") -> RowLength:
    """`video_row` of frames that are on screen at these times."""
    import torch

    frames = len(told.times)
    width, height = size
    blank: Any = torch.empty((frames, 3, height, width), dtype=torch.uint8, device="meta")
    try:
        inputs = encode(processor, [question], [blank], [told])
    except (NotImplementedError, RuntimeError, TypeError):  # a processor that looks at the pixels gets some
        inputs = encode(processor, [question], [np.full((frames, height, width, 3), 127, np.uint8)], [told])
    pixels = sum(value.numel() for name, value in inputs.items() if name.startswith("pixel_values"))
    tokens = inputs["input_ids"].shape[1]
    return RowLength(frames, size, pixels, tokens - encode_texts(processor, [question])["input_ids"].shape[1], tokens)


def row_lengths(recipe: TrainRecipe, rows: Dataset, processor: Any) -> list[RowLength]:
    """Length of every triplet, in the order of `rows`, which are training_rows'.

    The processor counts once for each number of frames with each size and, where it writes their times, for all that
    are on screen at the same. A video that cannot be read is taken to be WIDE.
    """
    tokenizer, video, controls = tokenizer_of(processor), recipe.video, control_tokens(processor)

    def tokens_of(name: str, ids_of: Callable[[Any, str], list[int]], before: str = "", end: str = "") -> list[int]:
        together = tokenizer([before + text + end for text in rows[name]], add_special_tokens=False)["input_ids"]
        return [
            len(ids_of(processor, text) if controls.search(text) else ids)
            for text, ids in zip(rows[name], together, strict=True)
        ]

    prompts = tokens_of("prompt", plain_ids)
    chosen, rejected = (tokens_of(name, answer_ids, *answer_frame(processor)) for name in ("chosen", "rejected"))
    contexts = rows["context"]
    each = list({(clip["source"], clip["video"]) for context in contexts for clip in context})
    with ThreadPoolExecutor(video.workers) as pool:
        sizes = dict(zip(each, pool.map(lambda one: picture_size(recipe, *one)[::-1], each), strict=True))

    sampled = cache(lambda start, end: len(sample_times(start, end, video.fps, video.max_frames)))
    counted, timed = cache(partial(shown_row, processor)), tells_times(processor)
    found = []
    for number, context in enumerate(tqdm(contexts, "tokens", leave=False, disable=None)):
        spans = [(clip["start"], clip["end"]) for clip in context]
        told = shown(spans, [sampled(*span) for span in spans], recipe.frame_budget)
        even = at_rate(len(told.times), video.fps)
        size = canvas([sizes[clip["source"], clip["video"]] for clip in context])
        one = counted(size[::-1], even)
        longer = counted(SMALL, told).video - counted(SMALL, even).video if timed else 0
        answers = chosen[number] + rejected[number]
        tokens = one.tokens + longer + prompts[number] + answers
        found.append(one._replace(video=one.video + longer, tokens=tokens, answers=answers))
    return found


def picture_size(recipe: TrainRecipe, source: str, video: str) -> tuple[int, int]:
    """(width, height) of a video's frames as they are sampled."""
    try:
        file = extent(video_file(recipe.data.videos[source], video))
        width, height = file.width, file.height
    except (VideoError, KeyError):
        width, height = WIDE
    return scaled_size(width, height, recipe.video.short_side)


def longest(lengths: list[RowLength]) -> int:
    """Place of the triplet with the most tokens: run first, it shows in the first minute whether memory suffices."""
    return max(range(len(lengths)), key=lambda place: lengths[place].tokens)


def rehearsed(lengths: list[RowLength], batch: int) -> list[list[int]]:
    """Places of the rows of the micro-batches that may need most memory: those with the most tokens, and the one with
    the most pixels where it is none of them."""
    by_tokens = sorted(range(len(lengths)), key=lambda place: (-lengths[place].tokens, place))[:batch]
    most = max(range(len(lengths)), key=lambda place: lengths[place].pixels)
    seen = lengths[most].pixels <= max(lengths[place].pixels for place in by_tokens)
    return [by_tokens] if seen else [by_tokens, [most]]


def check_budget(recipe: TrainRecipe, rows: Dataset, lengths: list[RowLength], processor: Any) -> None:
    """Raises LongVPOError when a triplet has more tokens than `token_budget`; it names the longest."""
    budget, place = recipe.token_budget, longest(lengths)
    row = lengths[place]
    if budget is None or row.tokens <= budget:
        return
    over = sum(one.tokens > budget for one in lengths)
    room = budget - max(one.tokens - one.video for one in lengths)
    seconds = sum(clip["end"] - clip["start"] for clip in rows[place]["context"])
    # so many frames fit beside the longest texts
    fit = bisect_right(range(1, row.frames), room, key=lambda n: video_row(processor, n, row.size, n / seconds).video)
    fewer = f"frame_budget to {fit} or less, or " if fit > 0 else ""
    raise LongVPOError(
        f"{over} of {len(lengths)} triplets have more tokens than the token_budget of {budget}. The longest is row "
        f'{place} ("{rows[place]["prompt"][:60]}", config {rows[place]["config"]}): {row.tokens} tokens, '
        f"{row.frames} frames. Set {fewer}token_budget to {row.tokens}"
    )


def check_targets(recipe: TrainRecipe) -> None:
    """Look at the layers that get a new adapter; no weight is loaded for it.

    Raises:
        LongVPOError: `lora.target_modules` names no linear layer of the base, or they are of a vision side whose
            features are to be kept.
    """
    targets = recipe.lora.target_modules
    if recipe.adapter is not None:
        return
    skeleton = skeleton_of(recipe.base)
    every = skeleton.language | skeleton.vision
    try:
        lora = lora_config(recipe.lora, recipe.base, skeleton)
        adapted = linear_layers(every) if targets == "all-linear" else adapted_layers(every, lora)
    except re.error as error:
        raise LongVPOError(f"lora.target_modules: {targets!r} is not a regular expression: {error}") from error
    if not adapted:
        raise LongVPOError(
            f"lora.target_modules: {targets!r} matches no linear layer of {recipe.base.model}. It is a regular "
            f"expression of whole names, such as {next(iter(linear_layers(skeleton.language)))}"
        )
    check_kept_features(adapted, recipe.vision_cache_gb)
