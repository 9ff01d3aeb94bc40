"""Sampled frames, kept on disk: no video is decoded twice, whoever asks, and none need be there any more.

A file holds the pictures of one request: those of one video, named by its sha256, at some times. It is never changed.
Its name is the hash of video, times, size and quality, so that builds, trainings and machines may share a folder. The
decoder is not in it: decord and PyAV scale a little differently, and all see the pictures of the one that came first.

The rule: a file is whole or a miss. It appears by one rename, and every part of it has a checksum; one that is damaged
is written again. What cannot be kept is decoded again, and ends no run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import Any, Protocol
from zlib import crc32

import numpy as np

from longvpo.errors import first_line, say
from longvpo.io.files import file_hash, whole_file
from longvpo.io.remembered import remembered
from longvpo.recipe.sections import VideoSection
from longvpo.video.pictures import encoded

MAGIC = b"longvpo frames 1"
HEAD = struct.Struct("<16sIII")  # MAGIC, pictures, height, width; then PICTURES, and the crc32 of all before
PICTURES = np.dtype([("microseconds", "<i8"), ("begin", "<u8"), ("bytes", "<u4"), ("crc", "<u4")])
CRC = struct.Struct("<I")
NONE = np.empty(0)  # the times in a file that only says the size of a video's frames
NAME = re.compile(r"[0-9a-f]{64}")
LOOKS = 100  # the folder's size is looked at once in this part of its bound
HOUR = 3600.0  # seconds: how exactly it is known when a file was read last; a dead process's file is as old


class Published(Protocol):
    """Pictures of clips that a dataset published. It can be sent to workers."""

    dataset: str  # which published them

    @property
    def quality(self) -> int | None: ...  # JPEG's; None: they are seen as they are

    def has(self, clip: Mapping[str, Any]) -> bool: ...

    def count(self, clip: Mapping[str, Any]) -> int: ...

    def pictures(self, clip: Mapping[str, Any], places: np.ndarray | None = None) -> list[bytes]: ...


class KeptFrames:
    """The frames in a folder, at one size and quality. Threads, processes and machines may share the folder."""

    def __init__(self, folder: Path, section: VideoSection) -> None:
        self.folder, self.quality, self.short_side = folder, section.frames_quality, section.short_side
        self.limit = None if section.frames_gb is None else section.frames_gb * 1e9
        self._sized: set[str] = set()
        self._told = False

    def pictures(
        self,
        sha256: str | None,
        video: Callable[[], Path],
        times: np.ndarray,
        places: np.ndarray | None,
        decode: Callable[[Path, np.ndarray], np.ndarray],
    ) -> list[bytes]:
        """What is kept of a video at these times, or at some places among them; else it is decoded, and then kept.

        Args:
            sha256: the video's, where it is known: the video may then be missing. video: gives its file, or raises
            VideoError. decode: gives frames of the file: uint8 RGB of shape (times, height, width, 3).
        """
        found = self.read(sha256, times, places) if sha256 else None
        if found is None:
            path = video()
            own = hash_of(path)
            found = self.read(own, times, places) if own != sha256 else None
            if found is None:
                wanted = times if places is None else times[places]
                frames = decode(path, wanted)
                found = encoded(frames, self.quality)
                self.write(own, wanted, found, frames.shape[1:3])
        return found

    def read(self, sha256: str, times: np.ndarray, places: np.ndarray | None = None) -> list[bytes] | None:
        """The pictures of a video at these times, or only those at some places among them. None: they are not kept.

        A request for some of the times finds them among all of these, or kept by themselves.
        """
        found = self._read(self._path(sha256, times), times, places)
        if found is None and places is not None:
            found = self._read(self._path(sha256, times[places]), times[places], None)
        if found is None:
            return None
        with suppress(OSError):  # a folder that others filled may be read by all
            self._keep_size(sha256, found[0])
        return found[1]

    def size(self, sha256: str, times: np.ndarray) -> tuple[int, int] | None:
        """(height, width) of the frames of a video, by those at these times, or by any. None: nothing was kept."""
        for asked in (times, NONE):
            found = self._read(self._path(sha256, asked), asked, np.arange(0))
            if found is not None:
                return found[0]
        return None

    def held(self, sha256: str, times: np.ndarray, places: np.ndarray | None = None) -> int:
        """Bytes of the file in which `read` would find these, by its name; 0: none, or no size of its frames."""
        whole = _bytes(self._path(sha256, times))
        if whole or places is None:
            return whole
        return _bytes(self._path(sha256, times[places])) if _bytes(self._path(sha256, NONE)) else 0

    def write(self, sha256: str, times: np.ndarray, pictures: Sequence[bytes], size: tuple[int, int]) -> None:
        """Keep the pictures of a video at these times, and its frames' size, (height, width)."""
        try:
            written = self._write(self._path(sha256, times), times, pictures, size)
            self._keep_size(sha256, size)
            # by chance, so that however many processes there are, they look as often together as one would
            if self.limit is not None and SystemRandom().random() * self.limit / LOOKS < written:
                shrink(self.folder, self.limit * (1 - 1 / LOOKS))
        except OSError as error:
            if not self._told:
                why = error.strerror or first_line(error)
                say(f"warning: frames cannot be kept in {self.folder}: {why}; they are decoded each time")
            self._told = True

    def _keep_size(self, sha256: str, size: tuple[int, int]) -> None:
        """Keep the length for callers that ask for no picture. Each process looks once per video whether it is
        kept."""
        if sha256 not in self._sized:
            self._sized.add(sha256)
            path = self._path(sha256, NONE)
            if not path.is_file():
                self._write(path, NONE, (), size)

    def _path(self, sha256: str, times: np.ndarray) -> Path:
        said = [sha256, _microseconds(times).tolist(), self.short_side, self.quality]
        key = hashlib.sha256(json.dumps(said).encode()).hexdigest()
        return self.folder / key[:2] / key

    def _write(self, path: Path, times: np.ndarray, pictures: Sequence[bytes], size: tuple[int, int]) -> int:
        table = np.zeros(len(pictures), PICTURES)
        lengths = np.array([len(picture) for picture in pictures], np.int64)
        table["microseconds"], table["bytes"] = _microseconds(times), lengths
        table["begin"] = HEAD.size + table.nbytes + CRC.size + np.cumsum(lengths) - lengths
        table["crc"] = [crc32(picture) for picture in pictures]
        head = HEAD.pack(MAGIC, len(pictures), *size) + table.tobytes()
        with whole_file(path) as file:
            file.write(head + CRC.pack(crc32(head)))
            for picture in pictures:
                file.write(picture)
            return file.tell()

    def _read(
        self, path: Path, times: np.ndarray, places: np.ndarray | None
    ) -> tuple[tuple[int, int], list[bytes]] | None:
        """Size and pictures in a file that holds these times. None: there is none, or it is damaged."""
        try:
            with path.open("rb") as file:
                head = file.read(HEAD.size + PICTURES.itemsize * len(times))
                magic, count, height, width = HEAD.unpack_from(head)
                (crc,) = CRC.unpack(file.read(CRC.size))
                if magic != MAGIC or count != len(times) or crc != crc32(head):
                    return None
                table = np.frombuffer(head, PICTURES, offset=HEAD.size)
                pictures = []
                for _, begin, length, crc in (table if places is None else table[places]).tolist():
                    file.seek(begin)
                    pictures.append(file.read(length))
                    if crc32(pictures[-1]) != crc:
                        return None
                if time.time() - os.fstat(file.fileno()).st_mtime > HOUR:
                    with suppress(OSError):  # a folder that others filled may be read by all
                        os.utime(path)
        except (OSError, ValueError, struct.error):
            return None
        return (height, width), pictures


def hash_of(video: Path) -> str:
    """sha256 of a video, remembered."""
    found: str = remembered("hashes", video, file_hash)
    return found


def shrink(folder: Path, limit: float) -> None:
    """Delete the files that were not read for longest, until the others have at most `limit` bytes together.

    Several processes that do so at once delete the same files. What is not ours stays.
    """
    files = sorted(_files(folder))
    total = sum(size for _, size, _ in files)
    for changed, size, path in files:
        whole = NAME.fullmatch(path.name)
        if total > limit if whole else time.time() - changed > HOUR:  # a killed process left what is not whole
            with suppress(OSError):
                path.unlink(missing_ok=True)
            total -= size


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When a kept file was last read, its bytes, and its path."""
    for part in range(256):
        with suppress(OSError), os.scandir(folder / f"{part:02x}") as entries:
            for entry in entries:
                if NAME.fullmatch(entry.name) or entry.name.endswith(".unfinished"):
                    with suppress(OSError):  # it has just left
                        facts = entry.stat()
                        yield facts.st_mtime, facts.st_size, Path(entry.path)


def _bytes(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _microseconds(times: np.ndarray) -> np.ndarray:
    return np.round(np.asarray(times, float) * 1e6).astype(np.int64)
