"""Videos that are lists of pictures: frame n is on screen from n / rate to (n + 1) / rate seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.clips.placed import FRAMES, KEPT, kept_folder
from longvpo.errors import VideoError
from longvpo.recipe.sections import VideoSection
from longvpo.video.frames import ClipFrames, sample_times, scaled_size
from longvpo.video.joined import join
from longvpo.video.pictures import encoded, opened, size_of


class ListedFrames:
    """The frames of clips that bring their pictures' paths as `frames`, as video.kept.Published.

    They are sampled by time, as a video of such frames would be. Larger ones are scaled down. Those of another shape
    than the first get black bars.

    Args:
        folders: folder of each source's pictures.
        rate: frames per second of the list.
    """

    quality = None  # they are seen as they are

    def __init__(self, dataset: str, folders: Mapping[str, Path], section: VideoSection, rate: float) -> None:
        self.dataset, self.folders, self.section, self.rate = dataset, folders, section, rate

    def has(self, clip: Mapping[str, Any]) -> bool:
        return bool(clip.get("frames"))

    def count(self, clip: Mapping[str, Any]) -> int:
        return len(self._times(clip))

    def pictures(self, clip: Mapping[str, Any], places: np.ndarray | None = None) -> list[bytes]:
        """The pictures on screen at the times of the clip's frames, or of some of them. Raises VideoError."""
        times, frames = self._times(clip), clip["frames"]
        asked = times if places is None else times[places]
        numbers = np.minimum((asked * self.rate + 1e-6).astype(int), len(frames) - 1)
        size = self._size(clip)
        return [self._picture(clip, frames[number], size) for number in numbers]

    def _times(self, clip: Mapping[str, Any]) -> np.ndarray:
        return sample_times(clip["start"], clip["end"], self.section.fps, self.section.max_frames)

    def _size(self, clip: Mapping[str, Any]) -> tuple[int, int]:
        height, width = size_of(self._bytes(clip, clip["frames"][0]), clip["video"])
        width, height = scaled_size(width, height, self.section.short_side)
        return height, width

    def _picture(self, clip: Mapping[str, Any], path: str, size: tuple[int, int]) -> bytes:
        content = self._bytes(clip, path)
        if size_of(content, clip["video"]) == size:
            return content
        with opened(content, clip["video"]) as image:
            frame = np.asarray(image.convert("RGB"))
        return encoded(join([frame[None]], "letterbox", size), None)[0]

    def _bytes(self, clip: Mapping[str, Any], path: str) -> bytes:
        try:
            return self._path(clip, path).read_bytes()
        except OSError as error:
            raise VideoError(f"a frame of {clip['video']} cannot be read: {error.strerror}") from error

    def _path(self, clip: Mapping[str, Any], path: str) -> Path:
        return self.folders[clip["source"].removesuffix(FRAMES)] / path


def frames_of_pairs(dataset: str, section: VideoSection, folders: Mapping[str, Path], rate: float) -> ClipFrames:
    """The frames of rows from another tool: from videos in folders, from lists of pictures, or from bytes in the
    rows."""
    known = {**folders, KEPT: kept_folder()}
    return ClipFrames(section, known, published=ListedFrames(dataset, known, section, rate))
