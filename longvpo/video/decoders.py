"""Three decoders that give the same pictures.

Each is asked for places in a probe's list of pictures and must find the picture of every place. Where it cannot, or
where it is known to miss, it is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from longvpo.errors import LongVPOError, VideoError
from longvpo.video.container import is_end, local, open_container, picture_stream, pictures, reason
from longvpo.video.probe import Probe

# Up to 16 pictures wait in a decoder for their turn; skipping fewer than that saves nothing.
WORTH_A_SEEK = 16

# PyAV reads a file of more pictures: decord lists them all each time that it opens the file, once for every scene.
# That takes 0.2 s for three hours at 8 frames per second; PyAV's seek takes 0.01 s.
DECORD_LONGEST = 10_000

BATCH = 4e6  # bytes of pictures that pass together


def read(path: Path, file: Probe, places: np.ndarray, size: tuple[int, int], backend: str) -> np.ndarray:
    """The pictures at ascending places in `file.shown`, in `size` (width, height): uint8 RGB (places, height, width,
    3). `auto` takes the backend that is right for the file. Raises what they raise.
    """
    if backend == "torchcodec":
        return read_torchcodec(path, file, places, size)
    if backend == "decord":
        return read_decord(path, file, places, size)
    long = len(file.shown) > DECORD_LONGEST
    if backend == "auto" and not file.not_decord and not long and has_decord():
        try:
            return read_decord(path, file, places, size)
        except VideoError:  # damage, pictures narrower than 64 pixels: PyAV has the last word
            pass
    return read_pyav(path, file, places, size)


def passing(path: Path, file: Probe, size: tuple[int, int], colors: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pictures of a video in order, in batches: the seconds of each, and uint8 (pictures, height, width, 3).

    Args:
        size: width and height.
        colors: rgb24 or bgr24.
    """
    import av

    shown_from, scale = file.times, av.video.reformatter.VideoReformatter()
    width, height = size
    times: list[float] = []
    batch: list[np.ndarray] = []
    passed = 0
    with open_container(path, "cannot cut {} into scenes") as container:
        stream = picture_stream(container)
        stream.thread_type = "AUTO"
        for packet in container.demux(stream):
            try:
                frames = packet.decode() if packet.size or is_end(packet) else []
            except av.error.FFmpegError:  # its pictures are refused when they are read: the others have cuts too
                continue
            for frame in frames:
                told_apart = not file.counted and frame.pts is not None
                place = int(np.searchsorted(file.shown, frame.pts)) if told_apart else passed
                passed += 1
                times.append(shown_from[min(place, len(shown_from) - 1)])
                batch.append(scale.reformat(frame, width, height, colors, threads=1).to_ndarray())
                if len(batch) * batch[0].nbytes >= BATCH:
                    yield np.array(times), np.stack(batch)
                    times, batch = [], []
    if batch:
        yield np.array(times), np.stack(batch)


def has_decord() -> bool:
    """Whether decord can be imported: it has no wheels for some machines, and its libraries may not load."""
    try:
        from decord import DECORDError, VideoReader  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def read_decord(path: Path, file: Probe, places: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pictures at places in `file.shown`, of `size` (width, height): uint8 RGB (places, height, width, 3).

    Raises:
        VideoError: decord could be wrong on this file, or cannot decode it.
        LongVPOError: decord cannot be imported.
    """
    if not has_decord():
        raise LongVPOError(
            "video.backend decord needs the package decord, which cannot be imported (it has x86-64 wheels only): "
            "pip install decord, or set video.backend=auto"
        )
    from decord import DECORDError, VideoReader

    if file.not_decord:
        raise _refusal(path, "decord", file.not_decord)
    width, height = size
    try:
        # a reader for each call: one that is shared by threads ends the process
        reader = VideoReader(local(path), width=width, height=height, num_threads=1)
        if len(reader) == len(file.shown):
            stamps = reader.get_frame_timestamp(np.append(0, places))[:, 0].astype(float)
            if _in_time(stamps, file, places):
                return reader.get_batch(places).asnumpy()
    except (DECORDError, RuntimeError, ValueError, IndexError) as error:
        raise VideoError(f"cannot decode {path.name} with decord: {reason(error, path)}") from error
    raise _refusal(path, "decord", "it does not understand the file's time stamps")


def read_torchcodec(path: Path, file: Probe, places: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As `read_decord`, by torchcodec. Raises LongVPOError where torchcodec cannot be imported."""
    try:
        import torchcodec
        from torchcodec.decoders import VideoDecoder
        from torchcodec.transforms import Resize

        if getattr(torchcodec, "ffmpeg_major_version", 0) is None:  # it is imported all the same, and reads no file
            raise ImportError("FFmpeg's libraries are missing")
    except (ImportError, OSError, RuntimeError) as error:
        raise LongVPOError(
            "video.backend torchcodec needs torchcodec: pip install torchcodec and FFmpeg's shared libraries "
            "(apt-get install ffmpeg), or set video.backend=auto"
        ) from error
    if file.not_sought:
        raise _refusal(path, "torchcodec", file.not_sought)
    width, height = size
    try:
        resize = [Resize((height, width))] if size != (file.width, file.height) else None
        reader = VideoDecoder(
            local(path), stream_index=file.stream, seek_mode="exact", dimension_order="NHWC", transforms=resize
        )
        if len(reader) == len(file.shown):
            batch = reader.get_frames_at([0, *places.tolist()])
            stamps = batch.pts_seconds.numpy()
            if _in_time(stamps, file, places):
                return batch.data[1:].numpy()
    except (RuntimeError, ValueError, IndexError) as error:
        raise VideoError(f"cannot decode {path.name} with torchcodec: {reason(error, path)}") from error
    raise _refusal(path, "torchcodec", "it does not understand the file's time stamps")


def read_pyav(path: Path, file: Probe, places: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As `read_decord`, by PyAV: with seeks where they are exact, otherwise in order from the start."""
    wanted, rows = np.unique(places, return_inverse=True)
    found = None
    if not file.not_sought:
        with suppress(VideoError):  # what a seek cannot reach may decode in order
            found = _decode(path, file, wanted, size, seeks=True)
    if found is None:
        found = _decode(path, file, wanted, size, seeks=False)
    if found is None:
        raise VideoError(f"cannot decode {path.name} with PyAV: pictures that were asked for are missing or damaged")
    return found if len(wanted) == len(places) else found[rows]


def _decode(path: Path, file: Probe, wanted: np.ndarray, size: tuple[int, int], seeks: bool) -> np.ndarray | None:
    """The pictures at ascending places, or None if one of them is missing or damaged."""
    width, height = size
    stored = (height, width) if file.turns % 2 else size
    found = np.empty((len(wanted), height, width, 3), np.uint8)
    place = -1  # the place of the picture decoded last
    with open_container(path, "cannot decode {} with PyAV") as container:
        stream = picture_stream(container)
        stream.codec_context.thread_count = 1
        frames = pictures(container, stream)
        for row, target in enumerate(wanted):
            sought = int(np.searchsorted(file.keys, file.shown[target], side="right")) - 1
            if seeks and sought >= 0 and np.searchsorted(file.shown, file.keys[sought]) > place + WORTH_A_SEEK:
                container.seek(int(file.keys[sought]), stream=stream)
                frames = pictures(container, stream)
            for frame in frames:
                place = place + 1 if file.counted else int(np.searchsorted(file.shown, frame.pts))
                if place >= target:
                    break
            else:
                return None
            if place > target or frame.is_corrupt or not (file.counted or frame.pts == file.shown[target]):
                return None
            # one thread: PyAV 19 keeps what scales, whose threads are not in a process that is forked later
            image = frame.to_ndarray(format="rgb24", width=stored[0], height=stored[1], threads=1)
            found[row] = np.rot90(image, file.turns)
    return found


def _in_time(stamps: np.ndarray, file: Probe, places: np.ndarray) -> bool:
    """Whether a decoder's times of the first picture and of those at `places` cannot be those of other pictures."""
    off = np.abs(stamps[1:] - stamps[0] - file.times[places]).max()
    return bool(off < np.diff(file.times).min(initial=1.0) / 2)


def _refusal(path: Path, backend: str, why: str) -> VideoError:
    return VideoError(
        f"{backend} could show other pictures of {path.name} than it should: {why}; set video.backend to auto or pyav"
    )
