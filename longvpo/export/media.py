"""The videos of contexts as files that any tool reads: one joined mp4 a context, or pictures of its frames.

The rule: a file is written once and is whole when it is there, so that a killed export resumes. Contexts share clips:
the pictures of a clip are files once for all contexts that show it on the same canvas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from longvpo.clips.published import NAMES
from longvpo.clips.triplets import on_canvas, told_of
from longvpo.io.files import text_hash, whole_file
from longvpo.video.frames import ClipFrames, write_video
from longvpo.video.joined import join
from longvpo.video.pictures import encoded

VIDEOS, FRAMES = "videos", "frames"  # folders


class Film(NamedTuple):
    """A context as it was written.

    Attributes:
        paths: paths of the mp4 or of all frames, relative to the export.
        frames: how many there are of each clip.
        rate: frames per second, so that the whole is as long as its clips together.
    """

    paths: list[str]
    frames: list[int]
    rate: float

    @property
    def seconds(self) -> float:
        return round(sum(self.frames) / self.rate, 3)

    @property
    def spans(self) -> list[tuple[float, float]]:
        """From when to when each clip is on screen, in seconds of the whole."""
        ends = [sum(self.frames[: place + 1]) / self.rate for place in range(len(self.frames))]
        return [(round(start, 3), round(end, 3)) for start, end in zip([0.0, *ends], ends, strict=False)]


class Media:
    """Writes contexts into a folder.

    Args:
        frames_of: gives the sampled frames of clips.
        quality: JPEG quality of pictures; None: PNG, without loss.
        pictures: they are written in place of mp4.
        states: state of each video, by source and video; it changes when the file changes.
    """

    def __init__(
        self,
        folder: Path,
        frames_of: ClipFrames,
        pictures: bool,
        quality: int | None,
        states: Mapping[tuple[str, str], Any] | None = None,
    ) -> None:
        self.folder, self.frames_of, self.pictures, self.quality = folder, frames_of, pictures, quality
        self.states = states or {}

    def write(self, context: Sequence[Mapping[str, Any]]) -> Film:
        """Write a context, as far as its files are not there. Raises VideoError where a clip cannot be read."""
        told = told_of(context, self.frames_of, None)
        counts = [self.frames_of.count(clip) for clip in context]
        paths = self._pictures(context, counts) if self.pictures else [self._mp4(context, told.fps)]
        return Film(paths, counts, told.fps)

    def _mp4(self, context: Sequence[Mapping[str, Any]], fps: float) -> str:
        name = f"{VIDEOS}/{self._key(context)}.mp4"
        path = self.folder / name
        if not path.is_file():
            kept, size = on_canvas(context, range(len(context)), self.frames_of, None)
            frames = join(kept, self.frames_of.section.fit, size)
            height, width = (max(side // 2 * 2, 2) for side in size)  # H.264 takes only even sizes
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.stem}.unfinished.mp4")  # one context is written once
            write_video(part, frames[:, :height, :width], Fraction(fps).limit_denominator(1000))
            part.replace(path)
        return name

    def _pictures(self, context: Sequence[Mapping[str, Any]], counts: list[int]) -> list[str]:
        size = self._canvas(context)
        paths = []
        for clip, count in zip(context, counts, strict=True):
            folder = f"{FRAMES}/{self._key([clip], size)}"
            suffix = ".png" if self.quality is None else ".jpg"
            names = [f"{folder}/{number:04}{suffix}" for number in range(count)]
            if not all((self.folder / name).is_file() for name in names):
                frames = join([self.frames_of(clip)], self.frames_of.section.fit, size)
                for name, picture in zip(names, encoded(frames, self.quality), strict=True):
                    with whole_file(self.folder / name) as file:
                        file.write(picture)
            paths += names
        return paths

    def _canvas(self, context: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        _, size = on_canvas(context, [], self.frames_of, None)
        return size

    def _key(self, context: Sequence[Mapping[str, Any]], *more: Any) -> str:
        """Changes with the clips, with their files, and with how they are sampled."""
        section = self.frames_of.section
        sampled = (section.fps, section.max_frames, section.short_side, section.fit, self.quality)
        states = [self.states.get((clip["source"], clip["video"])) for clip in context]
        return text_hash(repr([[clip[name] for name in NAMES] for clip in context] + [sampled, more, states]))[:16]
