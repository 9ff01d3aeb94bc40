"""Tokens and pixels of videos: how many a processor makes, mostly without running it.

The rule: no table of families, and no guess. A video's tokens are counted on the same frames made SMALL, which is
cheap. Their true size adds tokens. An encoder joins frames into groups, and each group adds the same number where all
groups have the same pixels. The family's video processor says quickly how many pixels a group has. It is asked for the
smallest, the largest and a middle number of frames. Where an encoder joins pairs, it is asked for an odd number, too.
Where the pixels are the same at all of these, they are the same in between, because more frames never mean more pixels
per frame. Elsewhere both halves are asked again, down to each number. The processor then confirms the longest videos;
if it does not, it counts all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache, partial
from heapq import nlargest
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from longvpo.models.encode import encode, encode_texts
from longvpo.video.joined import Shown, at_rate

SMALL = (64, 64)  # width and height of pictures where only what is written between them counts
WIDE = (1920, 1080)  # width and height, before scaling, that a video which is not read is taken to have
TOGETHER = 64  # videos in one call of the processor
CONFIRMED = 3  # the longest videos

Size = tuple[int, int]
Numbers = tuple[int, ...]


class RowLength(NamedTuple):
    """A row as a model sees it: a prompt with its video, and after it answers, if any."""

    frames: int
    size: Size  # width and height of the frames, in pixels
    pixels: int  # numbers that the processor makes of them
    video: int  # tokens of the frames, and of what is written between them
    tokens: int  # all of the row's
    answers: int = 0  # tokens of all answers


def video_row(processor: Any, frames: int, size: Size, fps: float, question: str = "") -> RowLength:
    """What the processor makes of a prompt over a video, without an answer.

    Args:
        size: (width, height) of the frames, in pixels.
        fps: the frames' rate: some families write their times between them.
    """
    inputs = _blank(processor, size, [at_rate(frames, fps)], question)
    tokens = inputs["input_ids"].shape[1]
    return RowLength(frames, size, _numbers(inputs), tokens - _words(processor, question), tokens)


def video_rows(processor: Any, videos: Sequence[tuple[Size, Shown]], fps: float) -> list[RowLength]:
    """`video_row` of many videos, whose frames are on screen at the times that are told."""
    even = cache(lambda frames: at_rate(frames, fps))
    wanted: dict[Size, set[int]] = {}
    for size, one in videos:
        wanted.setdefault(size, set()).add(len(one.times))
    small = _small(
        processor, {*(one for _, one in videos), *(even(frames) for counts in wanted.values() for frames in counts)}
    )
    words = _words(processor, "")
    joined = getattr(processor.video_processor, "temporal_patch_size", 1)
    pixels_of = cache(partial(_pixels, processor))
    counted = cache(lambda size, frames: video_row(processor, frames, size, fps))

    def by_processor(size: Size, counts: Iterable[int]) -> dict[int, Numbers]:
        """Pixels of some numbers of frames of a size, and the tokens that they have beyond those of SMALL ones."""
        asked = {frames: counted(size, frames) for frames in counts}
        return {frames: (one.pixels, one.video - small[even(frames)]) for frames, one in asked.items()}

    def by_arithmetic(size: Size, counts: Iterable[int]) -> dict[int, Numbers]:
        pixels = filled(sorted(counts), lambda frames: (pixels_of(size, frames), pixels_of(SMALL, frames)), joined)
        groups = {frames: -(-frames // joined) for frames in pixels}
        alike = {frames: tuple(Fraction(one, groups[frames]) for one in pixels[frames]) for frames in pixels}
        first = {group: frames for frames, group in sorted(alike.items(), reverse=True)}  # the fewest frames
        asked = by_processor(size, first.values())
        return {
            frames: tuple(int(Fraction(one * groups[frames], groups[first[group]])) for one in asked[first[group]])
            for frames, group in alike.items()
        }

    def row(size: Size, told: Shown) -> RowLength:
        pixels, tokens = more[size][len(told.times)]
        video = small[told] + tokens
        return RowLength(len(told.times), size, pixels, video, video + words)

    bar = tqdm(wanted.items(), "tokens", leave=False, disable=None)
    more = {size: by_arithmetic(size, counts) for size, counts in bar}
    longest = nlargest(
        CONFIRMED, {row(size, even(frames)) for size in wanted for frames in wanted[size]}, attrgetter("tokens")
    )
    if any(one != counted(one.size, one.frames) for one in longest):
        more = {size: by_processor(size, counts) for size, counts in wanted.items()}
    return [row(*one) for one in videos]


def writes_times(processor: Any) -> bool:
    """Whether a family writes between frames when they are on screen: then the times of a video decide its tokens."""
    short, long = (_blank(processor, SMALL, [at_rate(4, fps)])["input_ids"].tolist() for fps in (1.0, 0.01))
    return bool(short != long)


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
    many = len(told)
    return _unseen(
        lambda frames: encode(processor, [question] * many, [frames] * many, told), len(told[0].times), size
    )


def _pixels(processor: Any, size: Size, frames: int) -> int:
    """Numbers that the family's video processor makes for frames, without the rest of the processor."""
    frames = max(frames, getattr(processor.video_processor, "temporal_patch_size", 1))  # as in encode
    about = {"do_sample_frames": False, "video_metadata": [at_rate(frames, 1.0).metadata(range(frames))]}
    made = _unseen(lambda video: processor.video_processor(videos=[video], return_tensors="pt", **about), frames, size)
    return _numbers(made)


def _numbers(inputs: Mapping[str, Any]) -> int:
    return sum(value.numel() for name, value in inputs.items() if name.startswith("pixel_values"))


def _unseen(make: Callable[[Any], Any], frames: int, size: Size) -> dict[str, Any]:
    """What is made of frames without pixels; something that looks at the pixels gets some."""
    import torch

    width, height = size
    try:
        return dict(make(torch.empty((frames, 3, height, width), dtype=torch.uint8, device="meta")))
    except (NotImplementedError, RuntimeError, TypeError):
        return dict(make(np.full((frames, height, width, 3), 127, np.uint8)))


def _words(processor: Any, question: str) -> int:
    """Tokens of a prompt without a video."""
    return int(encode_texts(processor, [question])["input_ids"].shape[1])
