"""Videos out of a stranger's archives, which are tar or zip files.

The rule: a file is named by the row that asks for it, never by a member, so none lies outside of the source's folder.
What is written, and what is read into memory, has bounds that stand here. A member that is not a plain file is
refused.
"""

from __future__ import annotations

import fnmatch
import lzma
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from tqdm import tqdm

from longvpo.errors import LongVPOError, first_line
from longvpo.io.files import whole_file
from longvpo.io.names import composed, video_file
from longvpo.recipe.sources import SourceSection

TAR_BLOCK = 2**25  # bytes that are fetched at once of an archive on the Hub
ZIP_BLOCK = 2**23  # bytes of a zip: less is wanted of it
MEMBERS = 2_000_000  # per archive
LARGEST = 2**35  # bytes of a member
HEADER = 2**20  # bytes of what a tar says of a member
DIRECTORY = 2**28  # bytes of a zip's table of contents
GROWTH, ROOM = 20, 2**30  # an archive may grow so many times, and by so many bytes: videos hardly shrink

# a zip of a kind that is not built is a NotImplementedError, which is a RuntimeError
BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)
UNREADABLE = (*BROKEN, EOFError, OverflowError, RuntimeError, ValueError)
SUFFIX = re.compile(r"(\.tar)?\.[^.]+$")


class _Member(NamedTuple):
    """What is in an archive under a name; `refused` says why it is not taken, where it is not."""

    name: str
    size: int  # bytes
    content: Callable[[], IO[bytes] | None]
    refused: str = ""


class _TooLargeError(Exception):
    """An archive goes beyond a bound: what is left of it is not read."""


class _Bounded(tarfile.TarInfo):
    """A member of a tar. What is said of it before its content, which tarfile reads whole, is bounded."""

    ABOUT = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, *tarfile.GNU_TYPES)

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> _Bounded:
        found = super().frombuf(buf, encoding, errors)
        if found.type == tarfile.GNUTYPE_SPARSE:
            raise _TooLargeError("it holds a file with holes")
        if found.type in cls.ABOUT and found.size > HEADER:
            raise _TooLargeError("it has a name, or what is said of a file, of more than 1 MiB")
        return found

    def _proc_gnusparse_10(self, *_: Any) -> None:
        raise _TooLargeError("it holds a file with holes")


class _Sparing:
    """A file of which nothing is read at once that memory could not hold: a zip says how long its contents are."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.seek, self.tell = file, file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        found = self.file.read(min(size, DIRECTORY + 1) if size >= 0 else DIRECTORY + 1)
        if len(found) > DIRECTORY:
            raise _TooLargeError(f"its table of contents has more than {DIRECTORY >> 20} MiB")
        return found


def fetch_archives(source: SourceSection, videos: set[str]) -> dict[str, str]:
    """Unpack the wanted videos out of the source's archives, reading each once and only while something is missing.

    A tar is read from its start; a zip is read in its table of contents, and where a wanted video lies. Of a name that
    a tar has twice the first is taken.

    Returns:
        The videos that are in none of them, or are refused, each with the reason.

    Raises:
        LongVPOError: no archive matches, or one cannot be read.
    """
    missing = {video for video in videos if not video_file(source.folder, video).is_file()}
    wanted = {composed(video): video for video in missing}
    reasons: dict[str, str] = {}
    archives = list(_archives(source)) if missing else []
    for name, size, archive in tqdm(archives, desc=f"archives of {source.name}"):
        if not missing:
            break
        own_folder = composed(SUFFIX.sub("", PurePosixPath(name).name)) + "/"
        try:
            with archive() as stream:
                for member in _bounded(_members(source, stream), size):
                    said = composed(member.name)
                    said = said if said in wanted else said.removeprefix(own_folder)  # `zip -r a.zip a` adds it
                    video = wanted.get(said, "")
                    if video not in missing:
                        continue
                    content = None if member.refused else member.content()
                    if content is None:
                        reasons[video] = f"{video} is {member.refused or 'no file'} in {name}"
                        continue
                    with content, whole_file(source.folder / video) as file:  # named by the row, not by the member
                        shutil.copyfileobj(content, file)
                    missing.discard(video)
                    if not missing:
                        break
        except _TooLargeError as error:
            why = f"is not among what was read of {name}: {error}"
            reasons |= {video: f"{video} {why}" for video in missing if video not in reasons}
        except (*UNREADABLE, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # this machine's: its disk is full, or may not be written
                raise
            raise LongVPOError(
                f"source {source.name}: cannot read {name}: {first_line(error)}; fetch it again"
            ) from error
    return {video: reasons.get(video, f"{video} is in no archive {source.tars}") for video in sorted(missing)}


def _bounded(members: Iterator[_Member], size: int) -> Iterator[_Member]:
    """The members of an archive of so many bytes, while they are within bounds."""
    grown, most = 0, GROWTH * size + ROOM
    for number, member in enumerate(members):
        grown += max(member.size, 0)
        if number >= MEMBERS:
            raise _TooLargeError(f"it has more than {MEMBERS} members")
        if member.size > LARGEST or grown > most:
            raise _TooLargeError(f"its {size / 1e6:.1f} MB would become more than {grown / 1e9:.0f} GB")
        yield member


def _members(source: SourceSection, stream: IO[bytes]) -> Iterator[_Member]:
    """What an archive holds, in order."""
    if source.videos == "zip":
        with zipfile.ZipFile(_Sparing(stream)) as archive:
            infos = archive.infolist()
            times = Counter(composed(member.filename) for member in infos)
            for member in infos:
                kind = stat.S_IFMT(member.external_attr >> 16)
                refused = _kind(kind) if kind not in (0, stat.S_IFREG, stat.S_IFDIR) else ""
                refused = refused or ("there more than once" if times[composed(member.filename)] > 1 else "")
                yield _Member(member.filename, member.file_size, partial(archive.open, member), refused)
    else:
        with tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Bounded) as tar:
            for entry in tar:
                refused = "" if entry.isreg() else "a link" if entry.islnk() or entry.issym() else "no plain file"
                yield _Member(entry.name, entry.size, partial(tar.extractfile, entry), refused)


def _kind(kind: int) -> str:
    return "a link" if kind == stat.S_IFLNK else "no plain file"


def _archives(source: SourceSection) -> Iterator[tuple[str, int, Any]]:
    """Names of the archives, in order, their bytes, and a function that opens each for reading from start to end."""
    from huggingface_hub import HfFileSystem

    block = ZIP_BLOCK if source.videos == "zip" else TAR_BLOCK
    local, root, hub = Path(str(source.dataset)), f"datasets/{source.dataset}", HfFileSystem()
    for name, size in archive_sizes(source).items():
        if local.is_dir():
            yield name, size, partial(open, local / name, "rb")
        else:
            yield name, size, partial(hub.open, f"{root}/{name}", "rb", revision=source.revision, block_size=block)


def archive_sizes(source: SourceSection) -> dict[str, int]:
    """Names of the archives, in order, and the bytes of each. Raises LongVPOError when none matches."""
    from huggingface_hub import HfFileSystem

    local = Path(str(source.dataset))
    if local.is_dir():
        sizes = {str(path.relative_to(local)): path.stat().st_size for path in local.rglob("*") if path.is_file()}
    else:
        try:
            found: Any = HfFileSystem().find(f"datasets/{source.dataset}", revision=source.revision, detail=True)
        except Exception as error:  # errors of huggingface_hub and its HTTP client have no common base
            raise LongVPOError(f"source {source.name}: cannot list {source.dataset}: {first_line(error)}") from error
        sizes = {name.split("/", 3)[-1]: file["size"] or 0 for name, file in found.items()}
    matching = {name: sizes[name] for name in sorted(sizes) if fnmatch.fnmatch(name, str(source.tars))}
    if not matching:
        raise LongVPOError(f"source {source.name}: no file of {source.dataset} matches {source.tars}; set `tars`")
    return matching
