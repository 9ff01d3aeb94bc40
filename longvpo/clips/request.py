"""What a model is asked about clips: their frames one after the other, told when each is on screen.

The rule: a request goes by what is seen, and not by where it is kept. A build and an evaluation ask alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from longvpo.clips.rows import Clip
from longvpo.clips.triplets import on_canvas, places_of, told_of
from longvpo.models.text import Expected
from longvpo.models.writer import Request
from longvpo.recipe.training import Reference
from longvpo.video.frames import ClipFrames, sample_times
from longvpo.video.joined import join, read, shown


@dataclass(frozen=True)
class FramesOfClips:
    """The frames of clips that are shown one after the other, read when they are asked for.

    It names its clips, so that it can be sent to another machine and be read there.
    """

    clips: tuple[Mapping[str, Any], ...]  # as triplets name them
    budget: int | None  # frames of several clips
    frames_of: ClipFrames

    def __call__(self) -> np.ndarray:
        if len(self.clips) == 1:
            return self.frames_of(self.clips[0])
        return join(read(self.frames_of, self.clips, self.budget), self.frames_of.section.fit)


def clip_request(
    clips: Sequence[Clip],
    frames_of: ClipFrames,
    text: str,
    budget: int | None = None,
    seed: int = 0,
    temperature: float = 0.0,
    expects: type[Expected] | None = None,
) -> Request:
    """A request about clips that are shown one after the other.

    Args:
        budget: frames of several clips; more are thinned. None: all are shown.
    """
    video = frames_of.section
    spans = [(clip.start, clip.end) for clip in clips]
    counts = [len(sample_times(*span, video.fps, video.max_frames)) for span in spans]
    told = shown(spans, counts, budget if len(clips) > 1 else None)

    # letterboxes go by the names that earlier versions gave to clips of one size
    seen = " crop" if video.fit == "crop" and len(clips) > 1 else ""
    seen += f" jpeg {video.jpeg_quality}" if video.jpeg_quality is not None else ""

    return Request(
        text=text,
        seed=seed,
        temperature=temperature,
        expects=expects,
        times=told.times,
        seconds=told.seconds,
        media=" + ".join(f"{clip.sha256} {clip.start:g}-{clip.end:g} {video.short_side}" for clip in clips) + seen,
        frames=FramesOfClips(tuple(clip.reference for clip in clips), budget, frames_of),
    )


def triplet_request(
    row: Mapping[str, Any], kind: Reference | None, frames_of: ClipFrames, budget: int | None
) -> Request:
    """A triplet's prompt after those clips of its context that `kind` sees, as they stand there; None: after nothing.

    Args:
        budget: frames; more are thinned. None: all are shown.
    """
    if kind is None:
        return Request(row["prompt"])
    context, places = row["context"], places_of(row, kind)

    def frames() -> np.ndarray:
        kept, size = on_canvas(context, places, frames_of, budget)
        return join(kept, frames_of.section.fit, size)

    told = told_of([context[place] for place in places], frames_of, budget)
    # the other clips decide the canvas
    media = json.dumps([places, [[clip["source"], clip["video"], frames_of.content(clip)] for clip in context]])
    return Request(row["prompt"], times=told.times, seconds=told.seconds, media=media, frames=frames)
