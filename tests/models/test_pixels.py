"""Pixels that the device makes are those of the processor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.families import FAMILIES
from support.trainers import family

from longvpo.models.encode import encode
from longvpo.models.pixels import Pixels, made_alone, prompt_and_pixels
from longvpo.video.joined import at_rate


@pytest.fixture(scope="module", params=["tiny", *FAMILIES])
def processor(request: pytest.FixtureRequest) -> Any:
    return family(request.param)[1]


@pytest.mark.parametrize("shape", [(7, 48, 64), (1, 96, 96), (4, 112, 84)])
def test_they_are_the_same_bit_by_bit(processor: Any, shape: tuple[int, int, int]) -> None:
    video = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    told = at_rate(shape[0], 0.5)
    together = encode(processor, ["what happens?"], [video], [told])
    made = {}
    for later in (False, True):
        texts, pixels = prompt_and_pixels(processor, "what happens?", video, told, later)
        assert (pixels.frames is not None) == later
        made = texts | pixels.on(torch.device("cpu"), processor)
        assert set(made) == set(together)
        assert all(torch.equal(torch.as_tensor(made[name]), torch.as_tensor(together[name])) for name in together)
    assert pixels.frames is not None
    assert pixels.frames.dtype == torch.uint8, "a quarter of what waits otherwise"


def test_another_video_processor_is_found_out() -> None:
    _, processor = FAMILIES["internvl"]()
    assert made_alone(processor)
    _, other = FAMILIES["internvl"]()
    plain = type(other.video_processor).preprocess

    def tinted(self: Any, videos: Any, **options: Any) -> Any:
        found = plain(self, videos, **options)
        if videos and isinstance(videos[0], torch.Tensor) and videos[0].device.type == "cpu":
            found["pixel_values_videos"] = found["pixel_values_videos"] + 1
        return found

    other.video_processor.preprocess = tinted.__get__(other.video_processor)
    assert made_alone(other) is None
    video = np.zeros((2, 60, 60, 3), np.uint8)
    _, pixels = prompt_and_pixels(other, "", video, at_rate(2, 1.0), later=True)
    assert pixels.frames is None, "the processor makes them where it reads"


def test_nothing_moves_them_before_their_turn() -> None:
    """Trainers send whatever is a mapping, a list or a tensor, or has `to`, to the device."""
    assert not hasattr(Pixels({}), "to")
    assert not isinstance(Pixels({}), dict | list | tuple)
