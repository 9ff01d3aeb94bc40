"""Frames to the bytes of pictures and back.

The rule: what is kept on disk and what is published are the same bytes, as only this module makes them. A stranger's
picture is opened as one of a few formats, none of which calls another program. Its size is checked before it is
opened.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from longvpo.errors import VideoError
from longvpo.video.bounds import PIXELS

KINDS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM")
CLIP_PIXELS = 2**30  # pixels of a clip's pictures together: 3 GB


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
        video: the video or clip that they belong to, for errors.

    Raises:
        VideoError: one is damaged.
    """
    height, width = size_of(pictures[0], video)
    if len(pictures) * height * width > CLIP_PIXELS:
        raise VideoError(f"{len(pictures)} pictures{_of(video)} of {width}x{height} are more than one clip may have")
    frames = np.empty((len(pictures), height, width, 3), np.uint8)
    for place, picture in enumerate(pictures):
        with opened(picture, video) as image:
            frames[place] = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    return frames


@contextmanager
def opened(picture: bytes, video: str = "") -> Iterator[Image.Image]:
    """A picture, whose size is known and whose pixels are not read yet.

    Args:
        video: the video or clip that it belongs to, for errors.

    Raises:
        VideoError: it is none, is damaged or too large, or what is done with it inside of `with` fails.
    """
    try:
        with Image.open(io.BytesIO(picture), formats=KINDS) as image:
            if image.width * image.height > PIXELS:
                raise _too_large(video, f"{image.width}x{image.height}")
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(video, "far too many") from error
    except VideoError:
        raise
    except Exception as error:  # Pillow's readers raise what their bytes lead to: struct.error, KeyError, TypeError
        raise VideoError(f"a kept or published picture{_of(video)} is damaged") from error


def as_column(pictures: Sequence[bytes]) -> list[dict[str, Any]]:
    """Pictures as datasets.Image stores them."""
    return [{"bytes": picture, "path": None} for picture in pictures]


def size_of(picture: bytes, video: str = "") -> tuple[int, int]:
    """(height, width) of a picture, from its first bytes. Raises VideoError where it is none, or too large."""
    with opened(picture, video) as image:
        return image.height, image.width


def _too_large(video: str, pixels: str) -> VideoError:
    return VideoError(f"a picture{_of(video)} has {pixels} pixels, more than {PIXELS // 10**6} million")


def _of(video: str) -> str:
    return f" of {video}" if video else ""
