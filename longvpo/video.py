"""Decode, sample and join clips.

The rule: a frame is asked for by its time in seconds, never by its index, and every backend gives the frame that
is on screen at that time. decord seeks, so it reads what it seeks exactly: mp4, mov, mkv and webm with closed groups
of pictures. PyAV reads everything else in order from the start.
"""

from __future__ import annotations

import platform
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.errors import LongVPOError, VideoError, first_line
from longvpo.recipe import Backend, VideoSection

# A frame that starts this much after the asked time, in seconds, is on screen: containers round their time stamps.
ROUNDING = 1e-3

# Containers in which decord 0.6 seeks to the right frame; in AVI, MPEG, ASF and Ogg it is off by up to 60 frames.
SEEKABLE = {".mp4", ".mov", ".m4v", ".mkv", ".webm"}
GROUPS_PROBED = 4
DECORD_MACHINES = ("x86_64", "AMD64")  # it has no wheels elsewhere


def sample_times(start: float, end: float, fps: float, max_frames: int) -> np.ndarray:
    """The times of the frames that stand for the span [start, end).

    The span is cut into equal intervals, one for each 1/fps seconds but at least one and at most `max_frames`, and
    each interval is represented by its middle.

    Returns:
        Seconds, ascending, of shape (frames,).
    """
    count = min(max(round((end - start) * fps), 1), max_frames)
    return start + (np.arange(count) + 0.5) * (end - start) / count


def duration(path: Path) -> float:
    """Length of a video in seconds, from its container's header.

    Raises:
        VideoError: the file is missing, is no video, or has no length.
    """
    import av

    _check_exists(path)
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            stream = container.streams.video[0]
            if stream.duration and stream.time_base:
                return float(stream.duration * stream.time_base)
            if container.duration:
                return container.duration / av.time_base
            # some containers (MPEG-TS cut short, raw streams) say nothing: count
            last = [frame.time for frame in container.decode(stream) if frame.time is not None][-1]
            return float(last)
    except (av.error.FFmpegError, IndexError, ValueError, UnicodeError) as error:
        raise VideoError(f"cannot read {path.name}: {_reason(error)}") from error


def read_frames(path: Path, times: np.ndarray, short_side: int = 448, backend: Backend = "auto") -> np.ndarray:
    """The frames on screen at the given times.

    Args:
        times: seconds, ascending, of shape (frames,).
        short_side: frames whose shorter side has more pixels than this are scaled down to it, aspect ratio kept.

    Returns:
        uint8 RGB of shape (frames, height, width, 3).

    Raises:
        VideoError: the file is missing, cannot be decoded, or holds no frame.
    """
    _check_exists(path)
    if backend == "decord":
        return _read_decord(path, times, short_side)
    if backend == "auto" and platform.machine() in DECORD_MACHINES and _decord_is_exact(path):
        try:
            return _read_decord(path, times, short_side)
        except VideoError:  # AV1, pictures narrower than 64 pixels: PyAV has the last word
            pass
    return _read_pyav(path, times, short_side)


@lru_cache(maxsize=100_000)
def _decord_is_exact(path: Path) -> bool:
    """Whether decord's seeks find the right frame: in these containers, unless the groups of pictures are open.

    In an open one, frames that are shown before a keyframe are stored after it; decord miscounts them. The first
    groups tell.
    """
    import av

    if path.suffix.lower() not in SEEKABLE:
        return False
    keyframes: list[int] = []
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            for packet in container.demux(video=0):
                if packet.pts is None:
                    continue
                if packet.is_keyframe:
                    keyframes.append(packet.pts)
                elif keyframes and packet.pts < keyframes[-1]:
                    return False
                if len(keyframes) == GROUPS_PROBED:
                    return True
    except (av.error.FFmpegError, IndexError, ValueError, UnicodeError):
        return False  # PyAV will say what is wrong
    return True


def _read_decord(path: Path, times: np.ndarray, short_side: int) -> np.ndarray:
    from decord import DECORDError, VideoReader

    try:
        reader = VideoReader(str(path), num_threads=1)
        full_height, full_width = reader[0].shape[:2]
        width, height = scaled_size(full_width, full_height, short_side)
        if (width, height) != (full_width, full_height):
            reader = VideoReader(str(path), width=width, height=height, num_threads=1)
        shown_from = reader.get_frame_timestamp(np.arange(len(reader)))[:, 0]
        if not (np.diff(shown_from) > 0).all():  # seen in Matroska at one frame a second
            raise VideoError(f"cannot decode {path.name} with decord: its time stamps do not rise")
        return reader.get_batch(_on_screen(shown_from, times)).asnumpy()
    except (DECORDError, RuntimeError, IndexError) as error:
        raise VideoError(f"cannot decode {path.name} with decord: {_reason(error)}") from error


def _read_pyav(path: Path, times: np.ndarray, short_side: int) -> np.ndarray:
    import av

    pictures: list[np.ndarray] = []
    shown = None  # the frame on screen; only those that are asked for become arrays
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            stream = container.streams.video[0]
            origin = float((stream.start_time or 0) * (stream.time_base or 0))
            for frame in container.decode(stream):
                if frame.time is None:
                    continue
                if shown is not None:
                    while len(pictures) < len(times) and frame.time - origin > times[len(pictures)] + ROUNDING:
                        pictures.append(_picture(shown, short_side))
                if len(pictures) == len(times):
                    break
                shown = frame
            if shown is None:
                raise VideoError(f"cannot decode {path.name} with PyAV: it holds no frame")
            last = _picture(shown, short_side)
    except (av.error.FFmpegError, IndexError, ValueError, UnicodeError) as error:
        raise VideoError(f"cannot decode {path.name} with PyAV: {_reason(error)}") from error
    return np.stack(pictures + [last] * (len(times) - len(pictures)))


def _picture(frame: Any, short_side: int) -> np.ndarray:
    """A frame of PyAV as it is shown: scaled, and turned as its container says."""
    width, height = scaled_size(frame.width, frame.height, short_side)
    image = frame.to_ndarray(format="rgb24", width=width, height=height)
    return np.rot90(image, round(frame.rotation / 90)) if frame.rotation else image


def scaled_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """(width, height) scaled down so that the shorter side is at most `short_side`; never scaled up."""
    scale = min(1.0, short_side / min(width, height))
    return max(round(width * scale), 1), max(round(height * scale), 1)


def write_video(path: Path, frames: np.ndarray, fps: int) -> None:
    """Write uint8 RGB frames of shape (frames, height, width, 3) as H.264 in mp4, one closed GOP a second."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        # the assembly of PyAV's x264 encodes equal frames to other bytes from run to run; seeded clips must be equal
        stream.options = {"crf": "18", "preset": "veryfast", "g": str(fps), "x264-params": "open-gop=0:no-asm=1"}
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def _on_screen(shown_from: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Index of the last frame whose start is not after each time; `shown_from` counts from the first frame's start."""
    return np.clip(
        np.searchsorted(shown_from - shown_from[0], times + ROUNDING, side="right") - 1, 0, len(shown_from) - 1
    )


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise VideoError(f"no such video: {path}")
    if path.stat().st_size == 0:
        raise VideoError(f"cannot read {path.name}: the file is empty")


def _reason(error: BaseException) -> str:
    if isinstance(error, IndexError):
        return "it has no video stream"
    # PyAV's text ends with the path, its strerror does not
    return getattr(error, "strerror", None) or first_line(error)


class ClipFrames:
    """Sampled frames of clips, each decoded once while it is in memory; the least recently used leaves first.

    Contexts share clips, so the same frames are asked for many times in a build and in training.
    """

    def __init__(self, section: VideoSection, folders: Mapping[str, Path]) -> None:
        self.section, self.folders = section, folders
        self._clips: OrderedDict[tuple[Path, float, float], np.ndarray] = OrderedDict()
        self._bytes = 0

    def __call__(self, clip: Mapping[str, Any]) -> np.ndarray:
        """Frames of one clip: uint8 RGB of shape (frames, height, width, 3).

        Args:
            clip: `source`, `video`, `start` and `end`, as triplets name their clips.

        Raises:
            VideoError: the video is missing or cannot be decoded.
            LongVPOError: no folder is given for the clip's source.
        """
        if clip["source"] not in self.folders:
            raise LongVPOError(
                f"no folder is given for the videos of source {clip['source']}: set data.videos.{clip['source']}"
            )
        path, start, end = self.folders[clip["source"]] / clip["video"], clip["start"], clip["end"]
        key = (path, start, end)
        if key in self._clips:
            self._clips.move_to_end(key)
            return self._clips[key]
        times = sample_times(start, end, self.section.fps, self.section.max_frames)
        frames = read_frames(path, times, self.section.short_side, self.section.backend)
        self._clips[key] = frames
        self._bytes += frames.nbytes
        while self._bytes > self.section.cache_gb * 1e9 and len(self._clips) > 1:
            self._bytes -= self._clips.popitem(last=False)[1].nbytes
        return frames
