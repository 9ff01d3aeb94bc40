"""Decode and sample clips.

The rule: a frame is asked for by its time in seconds, never by its index. Every backend gives the frame that is on
screen at that time, or says why it cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.errors import LongVPOError, VideoError
from longvpo.io.names import existing_file
from longvpo.recipe.sections import JPEG_QUALITY, Backend, VideoSection
from longvpo.video.children import asked, isolated, work_of
from longvpo.video.container import local
from longvpo.video.decoders import read
from longvpo.video.extent import extent
from longvpo.video.kept import KeptFrames, Published, hash_of
from longvpo.video.pictures import decoded, encoded, size_of
from longvpo.video.probe import SLACK, Extent, packed, probe
from longvpo.video.recent import Recent

# A frame that starts this much after the asked time, in seconds, is on screen: containers round their time stamps.
ROUNDING = 1e-3


def sample_times(start: float, end: float, fps: float, max_frames: int) -> np.ndarray:
    """The times of the frames that stand for the span [start, end).

    The span is cut into equal intervals, one for each 1/fps seconds, but at least one and at most `max_frames`. The
    middle of each interval gives its frame.

    Returns:
        Seconds, ascending, of shape (frames,).
    """
    return middles(start, end, min(max(round((end - start) * fps), 1), max_frames))


def middles(start: float, end: float, count: int) -> np.ndarray:
    """The middles of `count` equal parts of the span [start, end): seconds, of shape (count,)."""
    return start + (np.arange(count) + 0.5) * (end - start) / count


def duration(path: Path) -> float:
    """Length of a video's pictures in seconds. Raises VideoError when the file is missing, or is not a video."""
    return probe(path).seconds


def read_frames(path: Path, times: np.ndarray, short_side: int = 448, backend: Backend = "auto") -> np.ndarray:
    """The frames on screen at the given times, which count from the first frame. Threads may call it at once.

    Args:
        times: seconds, ascending, of shape (frames,).
        short_side: frames whose shorter side has more pixels than this are scaled down to it, aspect ratio kept.
        backend: auto takes decord for files on which it is exact and not slow, and PyAV for all others.

    Returns:
        uint8 RGB of shape (frames, height, width, 3).

    Raises:
        VideoError: the file is missing, cannot be decoded, ends before the last time, or is one that this backend
            could be wrong on.
        LongVPOError: the backend is not installed.
    """
    file = probe(path)
    check_reach(path, file.extent, times[-1])
    shown_from = file.times
    places = np.maximum(np.searchsorted(shown_from, times + ROUNDING, side="right") - 1, 0)
    size = scaled_size(file.width, file.height, short_side)
    if not isolated():
        return read(path, file, places, size, backend)
    head, arrays = packed(file)
    question = head | {"what": "frames", "size": size, "backend": backend}
    room = len(places) * size[0] * size[1] * 3
    work = work_of(path.stat().st_size, (int(places[-1]) + 1) * file.width * file.height)
    [found] = asked(path, question, *arrays, places, most=room, work=work)
    return found.arrays[0]


def check_reach(path: Path, file: Extent, seconds: float) -> None:
    """Raises VideoError when a file's pictures end before that time."""
    # the last frame may stay as long as any other did
    if seconds > file.end + max(SLACK, file.step):
        ends = f"the pictures of {path.name} end at {file.end:.1f} s"
        if file.header > seconds:
            raise VideoError(f"{ends}, its header says {file.header:.1f} s: the file is cut short")
        raise VideoError(f"{ends}, but the one at {seconds:.1f} s was asked for")


def scaled_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """(width, height) scaled down so that the shorter side is at most `short_side`; never scaled up."""
    scale = min(1.0, short_side / min(width, height))
    return max(round(width * scale), 1), max(round(height * scale), 1)


def write_video(path: Path, frames: np.ndarray, fps: int | Fraction) -> None:
    """Write uint8 RGB frames of shape (frames, height, width, 3) as H.264 in mp4, one closed GOP a second."""
    import av

    with av.open(local(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        # the assembly of PyAV's x264 encodes equal frames to other bytes from run to run; seeded clips must be equal
        stream.options = {
            "crf": "18",
            "preset": "ultrafast",
            "g": str(max(round(fps), 1)),
            "x264-params": "open-gop=0:no-asm=1",
        }
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


class ClipFrames:
    """Sampled frames of clips, each decoded once while it is in memory; the least recently used leaves first.

    Contexts share clips, so the same frames are asked for many times in a build and in training. Threads may share it.
    With `video.frames` they are kept on disk too, and all are seen as they are kept: the first time as the second.

    Args:
        folders: folder of each source's videos.
        hashes: sha256 of videos by source and video, as far as a dataset has them. They find the kept frames of a
            video that is missing.
        published: pictures of the clips of sources that have no folder.
    """

    def __init__(
        self,
        section: VideoSection,
        folders: Mapping[str, Path],
        hashes: Mapping[tuple[str, str], str] | None = None,
        published: Published | None = None,
    ) -> None:
        self.section, self.folders, self.hashes, self.published = section, folders, hashes or {}, published
        self.kept = KeptFrames(section.frames, section) if section.frames else None
        self._clips: Recent[np.ndarray] = Recent(section.cache_gb * 1e9, lambda frames: frames.nbytes, least=1)

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers that load batches begin with nothing in memory, where they are not forks: Python 3.14, macOS."""
        return ClipFrames, (self.section, self.folders, self.hashes, self.published)

    def shared_by(self, processes: int) -> None:
        """Keep only this process's part of `cache_gb` in memory: so many hold frames of their own."""
        self._clips.shared_by(processes)

    def folder_of(self, source: str) -> Path:
        """The folder of a source's videos. Raises LongVPOError when none is given."""
        if source not in self.folders:
            also = "" if self.published is None else ", and the dataset has no frames of them"
            raise LongVPOError(f"no folder is given for the videos of source {source}{also}: set data.videos.{source}")
        return self.folders[source]

    def can_read(self, clip: Mapping[str, Any]) -> bool:
        """Whether a folder is given for a clip's video, or its frames were published."""
        return clip["source"] in self.folders or self._published(clip) is not None

    def size(self, clip: Mapping[str, Any]) -> tuple[int, int]:
        """(height, width) of a clip's frames, without decoding; it raises what reading them would."""
        published = self._published(clip)
        if published:
            return size_of(published.pictures(clip, np.array([0]))[0])
        sha256 = self._hash(clip) if self.kept else None
        found = self.kept.size(sha256, self._times(clip)) if self.kept and sha256 else None
        if found is not None:
            return found
        file = extent(self._file(clip))
        width, height = scaled_size(file.width, file.height, self.section.short_side)
        return height, width

    def count(self, clip: Mapping[str, Any]) -> int:
        """The number of frames that a clip gives; no file is opened."""
        published = self._published(clip)
        return published.count(clip) if published else len(self._times(clip))

    def check(self, clips: Sequence[Mapping[str, Any]]) -> None:
        """Look whether some clips of one video can be read, without decoding any.

        Raises:
            VideoError: the video is missing, is not a video, or ends before a clip does.
            LongVPOError: no folder is given for the clips' source.
        """
        rest = [clip for clip in clips if not self._published(clip)]
        if rest:
            path = self._file(rest[0])
            check_reach(path, extent(path), max(self._times(clip)[-1] for clip in rest))

    def kept_bytes(self, clip: Mapping[str, Any], places: np.ndarray | None = None) -> int:
        """Bytes of the file in which frames of a clip are kept; 0: in none. Its video may be missing.

        Raises:
            VideoError: the dataset does not say the video's sha256, and it is missing.
        """
        if self.kept is None:
            return 0
        return self.kept.held(self._hash(clip) or hash_of(self._file(clip)), self._times(clip), places)

    def keep(self, clip: Mapping[str, Any], places: np.ndarray | None = None) -> None:
        """Keep frames of a clip, where that is wanted, and no more. Raises what reading them would."""
        if self.kept:
            self._kept(self.kept, clip, places)

    def origin(self, clip: Mapping[str, Any]) -> dict[str, Any]:
        """Where a clip's frames come from, `videos`, `kept` or `published`, and their JPEG quality."""
        published = self._published(clip)
        if published:
            return {"from": "published", "quality": published.quality}
        return {"from": "kept" if self.kept else "videos", "quality": self.section.jpeg_quality}

    def content(self, clip: Mapping[str, Any]) -> list[Any]:
        """What tells the content of a clip's frames apart, without reading them: it changes with the video."""
        origin = self.origin(clip)
        if origin["from"] == "videos":
            file = self._file(clip).stat()
            return [file.st_size, file.st_mtime_ns]
        return [self._hash(clip) or (self.published.dataset if self.published else None), origin["quality"]]

    def __call__(self, clip: Mapping[str, Any], places: np.ndarray | None = None) -> np.ndarray:
        """Frames of one clip: uint8 RGB of shape (frames, height, width, 3).

        Args:
            clip: `source`, `video`, `start` and `end`, as triplets name their clips.
            places: which of the sampled frames; only these are decoded. None: all.

        Raises:
            VideoError: the video is missing or cannot be decoded.
            LongVPOError: no folder is given for the clip's source.
        """
        whole = (*_video(clip), clip["start"], clip["end"])
        some = None if places is None or len(places) == self.count(clip) else (*whole, *places.tolist())
        for key in filter(None, (some, whole)):
            found = self._clips.get(key)
            if found is not None:
                return found[places] if some is not None and key == whole else found
        frames = self._read(clip, None if some is None else places)
        self._clips.put(some or whole, frames)
        return frames

    def pictures(self, clip: Mapping[str, Any]) -> list[bytes]:
        """The frames of one clip as JPEGs, as they are published: where they are kept so, the same bytes."""
        if self.kept and self.section.frames_quality is not None:
            return self._kept(self.kept, clip, None)
        return encoded(self(clip), JPEG_QUALITY)

    def _published(self, clip: Mapping[str, Any]) -> Published | None:
        """What holds a clip's frames, where its source has no folder and the dataset published them."""
        one = None if clip["source"] in self.folders else self.published
        return one if one is not None and one.has(clip) else None

    def _hash(self, clip: Mapping[str, Any]) -> str | None:
        """sha256 of a clip's video, from its file where that exists, or else from the dataset. None where neither has
        it."""
        with suppress(LongVPOError):
            return hash_of(self._file(clip))
        return self.hashes.get(_video(clip)) or None

    def is_another(self, clip: Mapping[str, Any]) -> bool:
        """Whether a clip's video is there, but is another file than the dataset says."""
        said = self.hashes.get(_video(clip))
        return bool(said) and self._hash(clip) != said

    def _times(self, clip: Mapping[str, Any]) -> np.ndarray:
        return sample_times(clip["start"], clip["end"], self.section.fps, self.section.max_frames)

    def _read(self, clip: Mapping[str, Any], places: np.ndarray | None) -> np.ndarray:
        published = self._published(clip)
        if published:
            return decoded(published.pictures(clip, places), clip["video"])
        if self.kept:
            return decoded(self._kept(self.kept, clip, places), clip["video"])
        times = self._times(clip)
        return self._decode(self._file(clip), times if places is None else times[places])

    def _kept(self, kept: KeptFrames, clip: Mapping[str, Any], places: np.ndarray | None) -> list[bytes]:
        return kept.pictures(self._hash(clip), lambda: self._file(clip), self._times(clip), places, self._decode)

    def _file(self, clip: Mapping[str, Any]) -> Path:
        return existing_file(self.folder_of(clip["source"]), clip["video"])

    def _decode(self, path: Path, times: np.ndarray) -> np.ndarray:
        return read_frames(path, times, self.section.short_side, self.section.backend)


def _video(clip: Mapping[str, Any]) -> tuple[str, str]:
    return clip["source"], clip["video"]
