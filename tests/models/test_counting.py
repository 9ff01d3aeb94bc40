"""Tokens of videos by arithmetic, held against the processors of five families."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from support.families import FAMILIES

from longvpo.models import counting
from longvpo.models.counting import RowLength, filled, video_rows
from longvpo.models.encode import encode, encode_texts
from longvpo.video.joined import Shown, at_rate, shown

SIZES = [(64, 64), (96, 96), (150, 70), (320, 180), (448, 448)]
COUNTS = [*range(1, 14), 16, 17, 31, 32, 63, 64, 99, 100, 101, 128]


def by_the_processor(processor: Any, size: tuple[int, int], told: Shown) -> RowLength:
    """Each video in a call of its own."""
    frames = len(told.times)
    blank = torch.empty((frames, 3, *size[::-1]), dtype=torch.uint8, device="meta")
    inputs = encode(processor, [""], [blank], [told])  # type: ignore[list-item]
    pixels = sum(value.numel() for name, value in inputs.items() if name.startswith("pixel_values"))
    tokens = inputs["input_ids"].shape[1]
    return RowLength(frames, size, pixels, tokens - encode_texts(processor, [""])["input_ids"].shape[1], tokens)


def test_arithmetic_gives_what_the_processor_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames at odd times, of which some families write each; 448 x 448 is beyond the pixels that Qwen3-VL allows."""
    _, processor = FAMILIES[name]()
    draw, asked = np.random.default_rng(0), Counter[tuple[int, int]]()
    real = counting.video_row

    def counted(processor: Any, frames: int, size: tuple[int, int], fps: float) -> RowLength:
        asked[size] += 1
        return real(processor, frames, size, fps)

    monkeypatch.setattr(counting, "video_row", counted)
    videos = [
        (size, shown([(0.0, float(draw.uniform(0.3, 12) * frames))], [frames])) for size in SIZES for frames in COUNTS
    ]
    places = draw.permutation(len(videos))
    found = video_rows(processor, [videos[place] for place in places], 1.0)
    expected = [by_the_processor(processor, *videos[place]) for place in places]
    assert found == expected
    assert len(found) == len(videos)
    most = 12 if name == "qwen3_vl" else 4  # it gives frames of longer videos fewer pixels
    assert max(asked[size] for size in SIZES) <= most
    assert {row.frames for row in found} == set(COUNTS)


def test_where_arithmetic_does_not_hold_the_processor_counts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if frames of long videos had as many pixels as those of short ones, and fewer tokens."""
    _, processor = FAMILIES["qwen3_vl"]()
    videos = [((448, 448), at_rate(frames, 1.0)) for frames in (*range(2, 60, 3), 128)]
    monkeypatch.setattr(counting, "_pixels", lambda processor, size, frames: -(-frames // 2) * size[0])
    assert video_rows(processor, videos, 1.0) == [by_the_processor(processor, *one) for one in videos]


@pytest.mark.parametrize(
    ("joined", "numbers", "most"),
    [
        (1, lambda n: (7 * n, 3 * n), 3),
        (2, lambda n: (-(-n // 2) * 9, -(-n // 2)), 4),
        (2, lambda n: (n // 2 * 9, n), 50),  # it drops the last of an odd number instead
        (1, lambda n: (min(7 * n, 170), n), 40),  # no more pixels in all
        (1, lambda n: (7 * n + 5, n), 50),  # not in proportion
        (1, lambda n: (max(90 // n, 1) * n, n), 40),  # a frame is smaller the more there are
        (4, lambda n: (-(-n // 4) * 3 // 2, n), 50),  # half a token a group
    ],
)
@pytest.mark.parametrize("counts", [range(1, 51), range(3, 50, 5), [4], [2, 3], [1, 40]])
def test_few_counts_are_measured_and_all_are_right(joined: int, numbers: Any, most: int, counts: Any) -> None:
    measured = []

    def measure(frames: int) -> Any:
        measured.append(frames)
        return numbers(frames)

    found = filled(list(counts), measure, joined)
    assert found == {frames: numbers(frames) for frames in counts}
    assert len(measured) == len(set(measured)) <= min(most, len(counts))
    assert {min(counts), max(counts)} <= set(measured)
