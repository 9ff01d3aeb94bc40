"""Tokens and pixels of videos: what a processor makes of them, and where it need not be asked.

The rule: no table of families, and no guess. A video's tokens are those of the same frames made SMALL, which are
cheap, and what their true size adds. Of each size the processor is asked at the smallest, the largest and a middle
number of frames, and at an odd one where an encoder joins pairs. Where a group of frames has as many pixels and adds
as many tokens at all of these, it does so in between: no family gives a frame more pixels the more frames there are.
Elsewhere both halves are asked again, down to each number. So the processor counted the longest video of each size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from longvpo.models.encode import encode, encode_texts, tells_times
from longvpo.video.joined import Shown, at_rate

SMALL = (64, 64)  # width and height of pictures where only what is written between them counts
TOGETHER = 64  # videos in one call of the processor

Size = tuple[int, int]
Numbers = tuple[int, ...]


class RowLength(NamedTuple):
    """One triplet as it is trained on: its prompt with the video, chosen and rejected, one after another."""

    frames: int
    size: Size  # width and height of the frames, in pixels
    pixels: int  # numbers that the processor makes of them
    video: int  # tokens of the frames, and of what is written between them
    tokens: int  # all of the row's
    answers: int = 0  # tokens of chosen and rejected


def video_row(processor: Any, frames: int, size: Size, fps: float, question: str = "") -> RowLength:
    """What the processor makes of a prompt over a video, without an answer.

    Args:
        size: (width, height) of the frames, in pixels.
        fps: the frames' rate: some families write their times between them.
    """
    inputs = _blank(processor, size, [at_rate(frames, fps)], question)
    pixels = sum(value.numel() for name, value in inputs.items() if name.startswith("pixel_values"))
    tokens = inputs["input_ids"].shape[1]
    return RowLength(frames, size, pixels, tokens - _words(processor, question), tokens)


def video_rows(processor: Any, videos: Sequence[tuple[Size, Shown]], fps: float) -> list[RowLength]:
    """`video_row` of many videos, whose frames are on screen at the times that are told."""
    even = cache(lambda frames: at_rate(frames, fps))
    timed = tells_times(processor)
    told = [one if timed else even(len(one.times)) for _, one in videos]
    small = _small(processor, {*told, *(even(len(one.times)) for one in told)})
    counted = cache(lambda size, frames: video_row(processor, frames, size, fps))
    words = _words(processor, "")
    wanted: dict[Size, set[int]] = {}
    for size, one in videos:
        wanted.setdefault(size, set()).add(len(one.times))

    def measured(size: Size, frames: int) -> tuple[int, int, int]:
        row, least = counted(size, frames), counted(SMALL, frames)
        return row.pixels, row.video - least.video, least.pixels

    joined = getattr(processor.video_processor, "temporal_patch_size", 1)
    added = {
        (size, frames): found
        for size, counts in tqdm(wanted.items(), "tokens", leave=False, disable=None)
        for frames, found in filled(sorted(counts), partial(measured, size), joined).items()
    }
    rows = []
    for (size, one), times in zip(videos, told, strict=True):
        pixels, more, _ = added[size, len(one.times)]
        video = small[times] + more
        rows.append(RowLength(len(one.times), size, pixels, video, video + words))
    return rows


def filled(
    counts: Sequence[int], measure: Callable[[int], tuple[int, ...]], joined: int
) -> dict[int, tuple[int, ...]]:
    """`measure` of every count, as few as possible measured.

    Args:
        counts: ascending.
        measure: gives numbers of which each is that of a group times the groups, as long as a group's stay the same.
        joined: frames in a group; the last may be incomplete.
    """
    found: dict[int, Numbers] = {}

    def at(frames: int) -> tuple[int, Numbers]:
        if frames not in found:
            found[frames] = measure(frames)
        return -(-frames // joined), found[frames]

    def fill(some: Sequence[int]) -> None:
        middle = len(some) // 2
        inside = {frames % joined: frames for frames in [*some[:middle], *some[:middle:-1], some[middle]]}
        groups, numbers = at(some[0])
        others = [at(frames) for frames in (some[-1], *inside.values())]
        if len(some) <= 2:
            return
        each, rests = zip(*(divmod(number, groups) for number in numbers), strict=True)
        if not any(rests) and all(far == tuple(one * more for one in each) for more, far in others):
            for frames in some:
                found.setdefault(frames, tuple(number * -(-frames // joined) for number in each))
        else:
            fill(some[: middle + 1])
            fill(some[middle:])

    fill(counts)
    return found


def _small(processor: Any, videos: Iterable[Shown]) -> dict[Shown, int]:
    """Tokens of SMALL videos."""
    by_frames: dict[int, list[Shown]] = {}
    for one in videos:
        by_frames.setdefault(len(one.times), []).append(one)
    parts = [some[at : at + TOGETHER] for some in by_frames.values() for at in range(0, len(some), TOGETHER)]
    words = _words(processor, "")
    found: dict[Shown, int] = {}
    for part in tqdm(parts, "times", leave=False, disable=None):
        inputs = _blank(processor, SMALL, part)
        found.update(zip(part, (inputs["attention_mask"].sum(1) - words).tolist(), strict=True))
    return found


def _blank(processor: Any, size: Size, told: Sequence[Shown], question: str = "") -> dict[str, Any]:
    """Model inputs of videos of equal numbers of frames, whose pixels are not looked at."""
    import torch

    (width, height), frames, many = size, len(told[0].times), len(told)
    blank: Any = torch.empty((frames, 3, height, width), dtype=torch.uint8, device="meta")
    try:
        return encode(processor, [question] * many, [blank] * many, told)
    except (NotImplementedError, RuntimeError, TypeError):  # a processor that looks at the pixels gets some
        return encode(processor, [question] * many, [np.full((frames, height, width, 3), 127, np.uint8)] * many, told)


def _words(processor: Any, question: str) -> int:
    """Tokens of a prompt without a video."""
    return int(encode_texts(processor, [question])["input_ids"].shape[1])
