"""Frames to the bytes of pictures and back.

The rule: what is kept on disk and what is published are the same bytes, as only this module makes them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from longvpo.errors import VideoError


def encoded(frames: np.ndarray, quality: int | None) -> list[bytes]:
    """uint8 RGB frames of shape (frames, height, width, 3), each as a picture: JPEG of a quality, or None: exact, PNG.

    PNG's first level is taken: its higher ones take longer, and most of what a frame holds is noise.
    """
    pictures = []
    for frame in frames:
        file = io.BytesIO()
        image = Image.fromarray(frame)
        if quality is None:
            image.save(file, "PNG", compress_level=1)
        else:
            image.save(file, "JPEG", quality=quality)
        pictures.append(file.getvalue())
    return pictures


def decoded(pictures: Sequence[bytes], video: str = "") -> np.ndarray:
    """Pictures of one size as uint8 RGB frames of shape (frames, height, width, 3).

    Args:
        video: which they are of, for errors.

    Raises:
        VideoError: one is damaged.
    """
    frames = np.empty((len(pictures), *size_of(pictures[0], video), 3), np.uint8)
    for place, picture in enumerate(pictures):
        try:
            with Image.open(io.BytesIO(picture)) as image:
                frames[place] = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise _damaged(video) from error
    return frames


def as_column(pictures: Sequence[bytes]) -> list[dict[str, Any]]:
    """Pictures as datasets.Image stores them."""
    return [{"bytes": picture, "path": None} for picture in pictures]


def size_of(picture: bytes, video: str = "") -> tuple[int, int]:
    """(height, width) of a picture, from its first bytes. Raises VideoError where it is none."""
    try:
        with Image.open(io.BytesIO(picture)) as image:
            return image.height, image.width
    except (OSError, ValueError, SyntaxError) as error:
        raise _damaged(video) from error


def _damaged(video: str) -> VideoError:
    return VideoError(f"a kept or published picture{f' of {video}' if video else ''} is damaged")
