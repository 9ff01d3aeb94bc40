"""A video on its way to a vision side: the processor's numbers, or the frames from which the device makes them.

The rule: what waits, or passes from one process to another, is small. A frame of uint8 is a quarter of its float32;
resizing and normalising take longer than reading a kept frame. So where a family's video processor makes the same
numbers by itself, it does so on the device, one video at a time. Else the processor makes them where it reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from longvpo.models.encode import as_taken, encode
from longvpo.models.plain_text import TEXT
from longvpo.video.joined import Shown, at_rate

if TYPE_CHECKING:
    import torch

ODD, EVEN = (5, 60, 100), (4, 112, 84)  # frames, height and width of videos on which both ways are tried


@dataclass
class Pixels:
    """What a vision side is given of one video. It is not a mapping, so nothing moves it to a device before its
    turn."""

    made: dict[str, Any]  # the processor's tensors; where `frames` are given, all but those of pixels
    frames: torch.Tensor | None = None  # uint8 (frames, 3, height, width)
    options: dict[str, Any] = field(default_factory=dict)  # what the video processor is told with them
    count: int = 0  # numbers that it makes of them

    @property
    def numbers(self) -> int:
        """How many numbers the vision side is given."""
        return self.count or sum(int(value.numel()) for name, value in self.made.items() if _of_pixels(name))

    def on(self, device: Any, processor: Any) -> dict[str, Any]:
        """The processor's tensors, those of pixels on the device."""
        if self.frames is None:
            return {name: _moved(value, device) if _of_pixels(name) else value for name, value in self.made.items()}
        found = processor.video_processor(videos=[_moved(self.frames, device)], **self.options)
        taken = made_alone(processor) or {}
        each = {name: found[source].flatten(0, 1) if flat else found[source] for name, (source, flat) in taken.items()}
        return {**self.made, **each}

    def pin_memory(self) -> Pixels:
        """The same in memory that a GPU copies from while it computes."""
        pinned = {name: value.pin_memory() if _of_pixels(name) else value for name, value in self.made.items()}
        return Pixels(pinned, None if self.frames is None else self.frames.pin_memory(), self.options, self.count)


def prompt_and_pixels(
    processor: Any, question: str, video: np.ndarray, told: Shown, later: bool
) -> tuple[dict[str, Any], Pixels]:
    """The tensors of a prompt's tokens, and its video.

    Args:
        video: uint8 (frames, height, width, 3).
        later: the device makes the numbers, where the family allows it.
    """
    import torch

    if not later or made_alone(processor) is None:
        inputs = encode(processor, [question], [video], [told])
        return _texts(inputs), Pixels(_others(inputs))
    (frames,), (metadata,) = as_taken(processor, [video], [told])
    inputs = encode(processor, [question], [_blank(video)], [told])
    others = {name: value for name, value in _others(inputs).items() if not _of_pixels(name)}
    count = sum(int(value.numel()) for name, value in inputs.items() if _of_pixels(name))
    options = {"video_metadata": [metadata], "do_sample_frames": False, "return_tensors": "pt"}
    return _texts(inputs), Pixels(others, torch.from_numpy(frames).permute(0, 3, 1, 2), options, count)


@lru_cache(maxsize=8)
def made_alone(processor: Any) -> dict[str, tuple[str, bool]] | None:
    """The tensors of pixels by name, each with its name in the output of only the video processor, and whether two
    axes become one. None where the video processor makes other numbers than the processor, or needs them for the
    tokens.
    """
    found: list[dict[str, tuple[str, bool]]] = []
    for frames, height, width in (ODD, EVEN):
        video = np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
        try:
            found.append(_compared(processor, video, at_rate(frames, 1.0)))
        except (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError):
            return None
    return found[0] if found[0] == found[1] else None


def _compared(processor: Any, video: np.ndarray, told: Shown) -> dict[str, tuple[str, bool]]:
    """Raises ValueError where what is made apart is not what is made together."""
    import torch

    together = encode(processor, [""], [video], [told])
    blank = encode(processor, [""], [_blank(video)], [told])
    (frames,), (metadata,) = as_taken(processor, [video], [told])
    made = processor.video_processor(
        videos=[torch.from_numpy(frames).permute(0, 3, 1, 2)],
        video_metadata=[metadata],
        do_sample_frames=False,
        return_tensors="pt",
    )
    found = {}
    for name, value in together.items():
        if not _of_pixels(name):
            if not torch.equal(blank[name], value):
                raise ValueError(name)
            continue
        source = name if name in made else "pixel_values_videos"
        flat = made[source].ndim == value.ndim + 1
        if not torch.equal(made[source].flatten(0, 1) if flat else made[source], value):
            raise ValueError(name)
        found[name] = (source, flat)
    return found


def _blank(video: np.ndarray) -> Any:
    import torch

    frames, height, width, _ = video.shape
    return torch.empty((frames, 3, height, width), dtype=torch.uint8, device="meta")


def _of_pixels(name: str) -> bool:
    return name.startswith("pixel")


def _moved(value: Any, device: Any) -> Any:
    return value.to(device, non_blocking=True)


def _texts(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name in TEXT}


def _others(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name not in TEXT}
