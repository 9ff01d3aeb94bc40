"""Open video files: as bytes of this one file, whatever they are called and whatever they hold.

The rule: FFmpeg never sees a name, which it could take for an address or a pattern of many files. It may open nothing
else, whatever a playlist that calls itself a film asks for.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from longvpo.errors import VideoError, first_line
from longvpo.video.bounds import PIXELS


class _Nameless:
    """A file without a name: PyAV would hand it to FFmpeg, which looks for patterns and endings in it."""

    def __init__(self, file: io.FileIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


@contextmanager
def open_container(path: Path, doing: str = "cannot read {}") -> Iterator[Any]:
    """A video file as PyAV's container, closed in the end.

    Args:
        doing: what an error says before its reason; {} stands for the file's name.

    Raises:
        VideoError: the file is missing, empty or not a video, or what is done with it inside of `with` fails.
    """
    import av

    check_exists(path)
    # PyAV 18 refuses a file for one character of its metadata, later ones do not and have no such setting
    lenient = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
    try:
        with (
            path.open("rb", buffering=0) as file,
            av.open(_Nameless(file), container_options={"protocol_whitelist": "none"}, **lenient) as container,
        ):
            yield container
    except (av.error.FFmpegError, OSError, IndexError, ValueError) as error:
        raise VideoError(f"{doing.format(path.name)}: {reason(error)}") from error


def picture_stream(container: Any) -> Any:
    """The stream that players show: the first that is marked as default, otherwise the first; never a cover picture.

    Decoders that choose for themselves choose otherwise, and each in its way: they must be told.
    """
    from av.stream import Disposition

    films = [stream for stream in container.streams.video if stream.codec_context and not is_cover(stream)]
    if not films:
        raise ValueError("it has no video stream")
    chosen = min(films, key=lambda stream: not stream.disposition & Disposition.default)
    chosen.codec_context.options = {"max_pixels": str(PIXELS)}  # a stream may change the size of its pictures
    return chosen


def is_cover(stream: Any) -> bool:
    """Whether a stream holds the picture on a cover, or those of a list of chapters."""
    from av.stream import Disposition

    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def pictures(container: Any, stream: Any) -> Iterator[Any]:
    """The pictures from where the container stands. A packet without bytes holds none: the one before it stays."""
    for packet in container.demux(stream):
        if packet.size or is_end(packet):
            yield from packet.decode()


def is_end(packet: Any) -> bool:
    """Whether a packet is the one after the last, which asks a decoder for what it kept back."""
    return not packet.size and packet.pts is None and packet.dts is None


def local(path: Path) -> str:
    """A path that no library takes for an address or an option: FFmpeg looks for a protocol before the first slash."""
    return str(path.absolute())


def check_exists(path: Path) -> None:
    """Raises VideoError if there is no such file, or nothing in it."""
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise VideoError(f"cannot read {path.name}: {reason(error)}") from error
    if size is None:
        raise VideoError(f"no such video: {path.name}")
    if size == 0:
        raise VideoError(f"cannot read {path.name}: the file is empty")


def reason(error: BaseException, path: Path | None = None) -> str:
    """What a decoder's error says, in one line without the path.

    Args:
        path: the path of the file, which a library may have put into its text.
    """
    # PyAV's text ends with the path, its strerror does not
    text = getattr(error, "strerror", None) or first_line(error)
    return text.replace(local(path), path.name) if path else text
