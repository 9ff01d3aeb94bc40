"""What a model's vision side makes of a video, and how the model takes it back in place of pixels.

The rule: no table of families. A model says by its own methods what it makes of pixels, and by its placeholder tokens
how many features it expects. So videos of any lengths fit into one batch: each is encoded by itself, and no pixels are
stacked.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from longvpo.models.encode import encode, encode_each, to_model
from longvpo.video.joined import Shown, at_rate

_tried: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()  # what `takes_features` found


class Features(NamedTuple):
    """The features of one video, or of one clip."""

    rows: torch.Tensor  # (tokens, size)
    deeper: list[torch.Tensor]  # models that feed later layers too (Qwen3-VL) have these, each (tokens, size)


class VideoEncoder:
    """The vision side of a video model.

    Args:
        core: the model around vision tower and language model, out of PEFT's.
    """

    def __init__(self, core: Any) -> None:
        self.core = core
        self.listed = False  # whether the model gives, and takes, a list with the features of each video
        self.kind = "image"

    def features_of(self, pixels: dict[str, Any]) -> Features:
        """Features of one video.

        Args:
            pixels: the processor's, such as {"pixel_values_videos": (1, frames, 3, H, W)}.
        """
        inputs = {name: value for name, value in pixels.items() if name.startswith("pixel") or "grid_thw" in name}
        inputs = to_model(inputs, self.core)
        if "pixel_values_videos" in inputs:
            self.kind, found = "video", self.core.get_video_features(**inputs, return_dict=True)
        else:
            self.kind, found = "image", self.core.get_image_features(**inputs, return_dict=True)
        self.listed = not isinstance(found.pooler_output, torch.Tensor)
        deeper = [torch.cat(tuple(layer)) for layer in getattr(found, "deepstack_features", None) or []]
        rows = torch.cat(tuple(found.pooler_output)) if self.listed else found.pooler_output.flatten(0, 1)
        return Features(rows, deeper)

    def outputs(self, features: list[Features]) -> dict[str, Any]:
        """What the model takes as `mm_encoder_outputs`: the features of several videos, one after another."""
        rows = [one.rows for one in features]
        found = BaseModelOutputWithPooling(pooler_output=rows if self.listed else torch.cat(rows)[None])
        if features[0].deeper:
            layers = zip(*(one.deeper for one in features), strict=True)
            found["deepstack_features"] = [list(layer) for layer in layers]
        return {self.kind: found}

    def places(self, tokens: torch.Tensor) -> int:
        """How many features a prompt has places for."""
        config = self.core.config
        return int((tokens == (config.video_token_id if self.kind == "video" else config.image_token_id)).sum())


def ragged_inputs(
    core: Any, processor: Any, questions: list[str], videos: list[np.ndarray], told: list[Shown]
) -> dict[str, Any]:
    """As `encode`, of videos of any lengths, with their features in place of pixels; on the model's device."""
    inputs, vision = encode_each(processor, questions, videos, told)
    encoder = VideoEncoder(core)
    found = encoder.outputs([encoder.features_of(pixels) for pixels in vision])
    return to_model(inputs, core) | {"mm_encoder_outputs": found}


def takes_features(core: Any, processor: Any) -> bool:
    """Whether a model gives the same result for a video's features as for its pixels. A short video is tried, once per
    model."""
    if getattr(processor, "video_processor", None) is None:
        return False
    if core not in _tried:
        _tried[core] = _agrees(core, processor)
    return _tried[core]


@torch.no_grad()
def _agrees(core: Any, processor: Any) -> bool:
    frames = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), np.uint8)
    video = ([""], [frames], [at_rate(4, 1.0)])
    pixels = to_model(encode(processor, *video), core)
    try:
        features = ragged_inputs(core, processor, *video)
        found = core.base_model(**features, use_cache=False).last_hidden_state
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):  # where a family has none, or other ones
        return False
    expected = core.base_model(**pixels, use_cache=False).last_hidden_state
    return bool(found.shape == expected.shape and (found - expected).norm() < 0.01 * expected.norm())
