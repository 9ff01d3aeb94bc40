"""Several clips as one video: which of their frames are left, when each is on screen, and on which canvas.

The rule: what a model is told of time is true, and no clip is known by its shape. Both are computed here for all:
building, training and evaluation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from heapq import heapify, heapreplace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from longvpo.errors import LongVPOError
from longvpo.recipe.sections import Fit
from longvpo.video.frames import ClipFrames, middles

TICKS = 1000  # a second


class Shown(NamedTuple):
    """When the frames of a video are on screen."""

    times: tuple[float, ...]  # seconds from the video's start, to the millisecond
    seconds: float  # length of the video; for several clips, the sum of theirs

    @property
    def fps(self) -> float:
        """Frames over seconds; nothing is shorter than a tick."""
        return len(self.times) / max(self.seconds, 1 / TICKS)

    def metadata(self, places: Sequence[int]) -> dict[str, Any]:
        """What transformers' and vLLM's processors are told: they get these of a video with TICKS pictures per second.

        By that each frame has a time of its own, and the processor's `sampled_fps` is frames over seconds.

        Args:
            places: those of the frames among `times`.
        """
        return {
            "fps": float(TICKS),
            "frames_indices": [round(self.times[place] * TICKS) for place in places],
            "total_num_frames": max(round(self.seconds * TICKS), 1),
            "duration": self.seconds,
        }


def shown(spans: Sequence[tuple[float, float]], counts: Sequence[int], budget: int | None = None) -> Shown:
    """When the frames of clips are on screen that are shown one after the other.

    Args:
        spans: start and end of each clip, in seconds of its own video.
        counts: frames of each clip, as `sample_times` took them.
        budget: as in `thin`.
    """
    sampled = [middles(start, end, count) - start for (start, end), count in zip(spans, counts, strict=True)]
    begins = np.cumsum([0.0, *(end - start for start, end in spans)])
    times = (kept + begin for kept, begin in zip(thin(sampled, budget), begins, strict=False))
    return Shown(tuple(round(float(time), 3) for time in np.concatenate([*times])), round(float(begins[-1]), 3))


def read(frames_of: ClipFrames, clips: Sequence[Mapping[str, Any]], budget: int | None) -> list[np.ndarray]:
    """The frames of some clips, thinned to the budget: none is decoded that is not among them."""
    return [frames_of(clip, some) for clip, some in zip(clips, left(frames_of, clips, budget), strict=True)]


def left(frames_of: ClipFrames, clips: Sequence[Mapping[str, Any]], budget: int | None) -> list[np.ndarray | None]:
    """The places of the frames of each clip that a budget leaves; None: all."""
    counts = [frames_of.count(clip) for clip in clips]
    kept = thin([np.arange(count) for count in counts], budget)
    return [None if len(some) == count else some for some, count in zip(kept, counts, strict=True)]


def at_rate(frames: int, fps: float) -> Shown:
    """When the frames of one clip are on screen that was sampled at this rate."""
    return shown([(0.0, frames / fps)], [frames])


def canvas(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The (height, width) of a video that is made of clips of these sizes: the one that most of them have.

    Of sizes that as many have it is the largest. Neither order nor role of a clip counts: no anchor is known by its
    shape.
    """
    have = Counter(sizes)
    return max(have, key=lambda size: (have[size], size[0] * size[1], size))


def join(clips: list[np.ndarray], fit: Fit, size: tuple[int, int] | None = None) -> np.ndarray:
    """One video from several clips: frames of shape (sum of frames, height, width, 3).

    Args:
        fit: how clips of another size are shown, whose shapes are kept. letterbox: the whole picture with black bars.
            crop: its middle without bars.
        size: (height, width) of the video; None: the clips' `canvas`.
    """
    height, width = size or canvas([clip.shape[1:3] for clip in clips])
    return np.concatenate([_fitted(clip, fit, height, width) for clip in clips])


def _fitted(frames: np.ndarray, fit: Fit, height: int, width: int) -> np.ndarray:
    tall, wide = frames.shape[1:3]
    if (tall, wide) == (height, width):
        return frames
    scale = (max if fit == "crop" else min)(height / tall, width / wide)
    # the middle of the frame is shown in the middle of the canvas
    part = min(width / scale, wide), min(height / scale, tall)
    inner = max(round(part[0] * scale), 1), max(round(part[1] * scale), 1)
    left, top = (wide - part[0]) / 2, (tall - part[1]) / 2
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    box = (left, top, left + part[0], top + part[1])
    found = np.zeros((len(frames), height, width, 3), np.uint8)
    for target, frame in zip(found, frames, strict=True):
        image = Image.fromarray(frame).resize(inner, Image.Resampling.BICUBIC, box)
        target[y : y + inner[1], x : x + inner[0]] = np.asarray(image)
    return found


def thin(clips: list[np.ndarray], budget: int | None) -> list[np.ndarray]:
    """The clips with at most `budget` frames together: every clip in proportion, one frame of each at least.

    Args:
        clips: arrays of shape (frames, ...), such as frames of shape (frames, height, width, 3) or their times.
        budget: frames; None: all are kept.

    Returns:
        The same clips where they fit. Otherwise `budget` frames in all, those of a clip at even distances.

    Raises:
        LongVPOError: there are more clips than `budget`.
    """
    lengths = [len(clip) for clip in clips]
    if budget is None or sum(lengths) <= budget:
        return clips
    if len(clips) > budget:
        raise LongVPOError(f"{len(clips)} clips do not fit into a budget of {budget} frames: raise frame_budget")
    # Sainte-Laguë's divisors: no clip is further from its share than whole frames ask for
    kept = [1] * len(clips)
    first = [(-length / 3, place) for place, length in enumerate(lengths)]
    heapify(first)
    for _ in range(budget - len(clips)):
        place = first[0][1]
        kept[place] += 1
        heapreplace(first, (-lengths[place] / (2 * kept[place] + 1), place))
    return [
        clip[((np.arange(count) + 0.5) * len(clip) / count).astype(int)]
        for clip, count in zip(clips, kept, strict=True)
    ]
