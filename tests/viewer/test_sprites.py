"""Strips of frames: small, made once, and a clip that cannot be read ends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.commands import Capture
from support.triplets import SameFrames

from longvpo.errors import VideoError
from longvpo.viewer.sprites import FRAMES, HIGH, WIDEST, name_of, strips

CLIP: dict[str, Any] = {"source": "a", "video": "../../etc/x.mp4", "start": 0.0, "end": 2.0}


def noise(frames: int, height: int, width: int) -> Any:
    return SameFrames(np.random.default_rng(0).integers(0, 255, (frames, height, width, 3), np.uint8))


@pytest.mark.parametrize(
    ("frames", "height", "width", "size"),
    [
        (20, 320, 640, (320, HIGH, FRAMES)),
        (1, 64, 64, (64, 64, 1)),
        (3, 640, 100, (25, HIGH, 3)),
        (2, 20, 960, (WIDEST, 10, 2)),
    ],
)
def test_a_strip_has_some_frames_side_by_side(
    tmp_path: Path, frames: int, height: int, width: int, size: tuple[int, int, int]
) -> None:
    (strip,) = strips(tmp_path, [CLIP], noise(frames, height, width)).values()
    assert tuple(strip[1:]) == size
    with Image.open(tmp_path / f"{strip[0]}.jpg") as image:
        assert image.size == (size[0] * size[2], size[1])


def test_no_name_of_a_stranger_is_a_name_of_ours(tmp_path: Path) -> None:
    strips(tmp_path, [CLIP], noise(2, 32, 32))
    (found,) = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")]
    assert found == f"{name_of(CLIP)}.jpg"
    assert name_of(CLIP) != name_of(CLIP | {"end": 3.0})


def test_what_is_there_is_not_made_again_and_what_cannot_be_read_is_told(tmp_path: Path, capsys: Capture) -> None:
    clips = [CLIP | {"start": float(number), "end": number + 1.0} for number in range(3)]
    first = strips(tmp_path, clips[:2], noise(4, 32, 48))

    class Broken(SameFrames):
        def __call__(self, clip: Any, places: Any = None) -> Any:
            raise VideoError(f"no such video: '/home/someone/{clip['video']}'")

    again = strips(tmp_path, clips, Broken(np.zeros((4, 1, 1, 3))))
    assert again == first
    said = capsys.readouterr().err
    assert "1 of 3 clips have no pictures; most often: no such video" in said
    assert "/home/someone" not in said
