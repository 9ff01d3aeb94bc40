"""What training costs in tokens and bytes, found before any weight is loaded.

The rule: no table of families. Tokens are counted by the base's own processor (counting.py), from frames without
pixels (torch's meta device). Bytes are an estimate, from memory.py.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from longvpo.errors import LongVPOError
from longvpo.io.files import text_hash
from longvpo.io.remembered import kept_under
from longvpo.models.attention import attends_to_all
from longvpo.models.counting import WIDE, RowLength, video_row, video_rows, writes_times
from longvpo.models.memory import linear_layers, skeleton_of
from longvpo.models.plain_text import answer_frame, answer_ids, control_tokens, described, plain_ids, tokenizer_of
from longvpo.recipe.training import TrainRecipe
from longvpo.training.adapter import check_kept_features, lora_config
from longvpo.training.memory import adapted_layers
from longvpo.video.frames import ClipFrames, sample_times, scaled_size
from longvpo.video.joined import at_rate, canvas, shown

if TYPE_CHECKING:
    from datasets import Dataset

COUNTED = 1  # another number when the same rows are counted otherwise


def row_lengths(
    recipe: TrainRecipe, rows: Dataset, processor: Any, frames_of: ClipFrames | None = None
) -> list[RowLength]:
    """Length of every triplet, in the order of `rows`, which are training_rows'; kept for the next run.

    A video that cannot be read is taken to be WIDE.
    """
    frames_of = frames_of or ClipFrames(recipe.video, recipe.data.videos)
    contexts = rows["context"][:]
    each = {(clip["source"], clip["video"]): clip for context in contexts for clip in context}
    sizes = {video: picture_size(frames_of, clip)[::-1] for video, clip in each.items()}  # as check_videos found them
    texts = [rows[name][:] for name in ("prompt", "chosen", "rejected")]
    about = [recipe.video.fps, recipe.video.max_frames, recipe.frame_budget, texts, contexts, list(sizes.items())]
    key = text_hash(json.dumps([COUNTED, version("transformers"), described(processor), *about]))
    found = kept_under("lengths", key[:32], lambda: _lengths(recipe, rows, processor, sizes))
    return [RowLength(frames, (width, height), *rest) for frames, (width, height), *rest in found]


def _lengths(
    recipe: TrainRecipe, rows: Dataset, processor: Any, sizes: dict[tuple[str, str], tuple[int, int]]
) -> list[RowLength]:
    tokenizer, video, controls = tokenizer_of(processor), recipe.video, control_tokens(processor)

    def tokens_of(name: str, ids_of: Callable[[Any, str], list[int]], before: str = "", end: str = "") -> list[int]:
        texts = rows[name][:]
        together = tokenizer([before + text + end for text in texts], add_special_tokens=False)["input_ids"]
        return [
            len(ids_of(processor, text) if controls.search(text) else ids)
            for text, ids in zip(texts, together, strict=True)
        ]

    prompts = tokens_of("prompt", plain_ids)
    chosen, rejected = (tokens_of(name, answer_ids, *answer_frame(processor)) for name in ("chosen", "rejected"))

    sampled = cache(lambda start, end: len(sample_times(start, end, video.fps, video.max_frames)))
    even, timed = cache(lambda frames: at_rate(frames, video.fps)), writes_times(processor)
    videos = []
    for context in rows["context"][:]:
        spans = [(clip["start"], clip["end"]) for clip in context]
        counts = [sampled(*span) for span in spans]
        budget = recipe.frame_budget or sum(counts)
        told = shown(spans, counts, budget) if timed else even(min(sum(counts), budget))
        videos.append((canvas([sizes[clip["source"], clip["video"]] for clip in context])[::-1], told))
    answers = list(map(sum, zip(chosen, rejected, strict=True)))
    return [
        one._replace(tokens=one.tokens + prompts[number] + answers[number], answers=answers[number])
        for number, one in enumerate(video_rows(processor, videos, video.fps))
    ]


def picture_size(frames_of: ClipFrames, clip: Mapping[str, Any]) -> tuple[int, int]:
    """(width, height) of a clip's frames as they are sampled."""
    try:
        height, width = frames_of.size(clip)
    except LongVPOError:
        return scaled_size(*WIDE, frames_of.section.short_side)
    return width, height


def longest(lengths: list[RowLength]) -> int:
    """Place of the triplet with the most tokens: run first, it shows in the first minute whether memory suffices."""
    return max(range(len(lengths)), key=lambda place: lengths[place].tokens)


def rehearsed(lengths: list[RowLength], batch: int) -> list[list[int]]:
    """Places of the rows in the micro-batches that may need the most memory: those with the most tokens, and the one
    with the most pixels."""
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


def check_heads(recipe: TrainRecipe) -> None:
    """Raises LongVPOError when the base cannot have its rows computed by `sequence_parallel` processes together."""
    size = recipe.sequence_parallel
    if size == 1:
        return
    text = skeleton_of(recipe.base).text
    if not attends_to_all(text):
        raise LongVPOError(
            f"sequence_parallel: not all layers of {recipe.base.model} attend to everything before: set it to 1"
        )
    heads = text.num_attention_heads
    if heads % size:
        fit = ", ".join(str(some) for some in range(1, heads + 1) if heads % some == 0)
        raise LongVPOError(
            f"sequence_parallel={size}: {recipe.base.model} has {heads} heads of attention, which {size} processes "
            f"cannot share evenly: set it to one of {fit}"
        )
    if getattr(text, "output_router_logits", False):
        raise LongVPOError(
            f"sequence_parallel: {recipe.base.model} balances its experts over a whole row: set it to 1"
        )
