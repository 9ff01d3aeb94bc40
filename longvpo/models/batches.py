"""Requests side by side: which of them go together, and what a model on this machine is given of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from longvpo.models.encode import encode, encode_texts, to_model
from longvpo.models.features import ragged_inputs, takes_features
from longvpo.models.writer import Request

FRAMES = 64  # a request of that many counts as one of a batch's `size`, as video.max_frames has it by default


def alike(requests: list[Request], size: int, ragged: bool) -> list[list[int]]:
    """Indices of all requests in batches of at most `size`, and of `size` times FRAMES frames, padding included.

    Those of a batch have one temperature, and all of them a video or none. The longest come first, each beside those
    nearest in length: little is padded, and memory that does not suffice shows at once.

    Args:
        ragged: whether the model takes videos of different lengths in one batch; else those have equal numbers of
            frames.
    """

    def kind(index: int) -> tuple[bool, float, int]:
        one = requests[index]
        return one.count > 0, one.temperature, 0 if ragged else one.count

    def length(index: int) -> int:
        return requests[index].count or len(requests[index].text)

    found: list[list[int]] = []
    for index in sorted(range(len(requests)), key=lambda index: (kind(index), -length(index))):
        last = found[-1] if found else [index]
        fits = len(last) < size and (len(last) + 1) * requests[last[0]].count <= size * FRAMES
        if found and fits and kind(last[0]) == kind(index):
            last.append(index)
        else:
            found.append([index])
    return found


def core_of(model: Any) -> Any:
    """The model itself, out of PEFT's."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def batch_frames(batch: list[Request]) -> list[np.ndarray]:
    """The frames of all requests that have some."""
    return [request.frames() for request in batch if request.frames]


def prompt_inputs(
    model: Any, processor: Any, batch: list[Request], videos: list[np.ndarray] | None = None
) -> dict[str, Any]:
    """A model's inputs of one batch of `alike` requests, on its device, padded on the left.

    Args:
        videos: the requests' frames, where they were read before.
    """
    texts, shown, core = [request.text for request in batch], [request.shown for request in batch], core_of(model)
    videos = batch_frames(batch) if videos is None else videos
    if videos and takes_features(core, processor):
        return ragged_inputs(core, processor, texts, videos, shown)
    return to_model(encode(processor, texts, videos, shown) if videos else encode_texts(processor, texts), model)
