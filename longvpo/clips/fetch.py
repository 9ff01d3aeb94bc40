"""Bring videos that are elsewhere into a source's folder: from the Hub, from an address, out of archives, out of rows.

The rule: a file appears under its name when it is whole; what is there is not fetched again.
"""

from __future__ import annotations

import fnmatch
import hashlib
import lzma
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tqdm import tqdm

from longvpo.errors import LongVPOError, VideoError, first_line
from longvpo.io.files import text_hash, whole_file
from longvpo.io.names import composed, existing_file, spellings, video_file
from longvpo.io.private import cut, cut_within
from longvpo.io.retry import with_retries
from longvpo.recipe.sources import SourceSection

TIMEOUT = 60.0  # seconds without a byte
GONE = (404, 410)
WAIT = 1.0  # seconds after the first failure to reach an address, twice as many after the next
TAR_BLOCK = 2**25  # bytes that are fetched at once of an archive on the Hub
ZIP_BLOCK = 2**23  # bytes of a zip: less is wanted of it
# a zip of a kind that is not built is a NotImplementedError, which is a RuntimeError
UNREADABLE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError)
SUFFIX = re.compile(r"(\.tar)?\.[^.]+$")
SUFFIXES = {b"ftyp": ".mp4", b"\x1aE\xdf\xa3": ".mkv", b"RIFF": ".avi"}  # by the first bytes of a file


def fetch_file(source: SourceSection, video: str, path: Path) -> None:
    """A file of the source's dataset. Raises VideoError when it is not there, LongVPOError when the Hub is not."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    local = Path(str(source.dataset))
    if local.is_dir():
        with whole_file(path) as file, existing_file(local, video).open("rb") as original:
            shutil.copyfileobj(original, file)
        return
    for name in spellings(video):
        try:
            hf_hub_download(
                str(source.dataset), name, repo_type="dataset", revision=source.revision, local_dir=source.folder
            )
            return
        except EntryNotFoundError:
            continue
        except Exception as error:  # errors of huggingface_hub and its HTTP client have no common base
            raise LongVPOError(f"source {source.name}: cannot fetch {video}: {first_line(error)}") from error
    raise VideoError(f"no such video: {cut(video)} in {source.dataset}@{source.revision}")


def fetch_url(address: str, path: Path) -> None:
    """A file at an http or https address. Raises VideoError when it cannot be had in a few tries.

    What an error says names no user, password or query of the address, nor one that it was sent on to.
    """
    import httpx2

    def fetch() -> None:
        with httpx2.stream("GET", address, follow_redirects=True, timeout=TIMEOUT) as answer:
            if answer.status_code in GONE:
                raise VideoError(f"no such video: {cut(address)}")
            if not answer.is_success:
                why = f"{answer.status_code} {answer.reason_phrase}".strip()
                raise httpx2.HTTPStatusError(why, request=answer.request, response=answer)
            with whole_file(path) as file:
                for part in answer.iter_bytes():
                    file.write(part)

    try:
        with_retries(fetch, (WAIT, 2 * WAIT))
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:  # UnicodeError: a host's name is not one
        raise VideoError(f"cannot fetch {cut(address)}: {cut_within(first_line(error))}") from error
    except (ImportError, ValueError) as error:  # the fault of a proxy that the environment names
        why = cut_within(first_line(error))
        raise LongVPOError(f"cannot fetch addresses: {why}; check HTTPS_PROXY and ALL_PROXY") from error


def fetch_bytes(source: SourceSection, value: Any, number: int) -> str:
    """Write the video that a row holds; returns its path in the source's folder. Raises VideoError without one."""
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes) or not content:
        raise VideoError(f"row {number} has no bytes in {source.columns.video}")
    named = value.get("path") if isinstance(value, dict) else None
    suffix = PurePosixPath(named or "").suffix or next((s for mark, s in SUFFIXES.items() if mark in content[:12]), "")
    name = hashlib.sha256(content).hexdigest()[:16] + suffix
    if not (source.folder / name).is_file():
        with whole_file(source.folder / name) as file:
            file.write(content)
    return name


def name_of_url(address: str) -> str:
    """The name under which an address is kept: two addresses may end alike."""
    suffix = PurePosixPath(cut(address).partition("://")[2].partition("/")[2]).suffix  # not of the host
    return text_hash(address)[:16] + (suffix if re.fullmatch(r"\.\w{1,16}", suffix) else "")


def fetch_archives(source: SourceSection, videos: set[str]) -> set[str]:
    """Unpack the wanted videos out of the source's archives, reading each once and only while something is missing.

    A tar is read from its start; a zip is read in its table of contents, and where a wanted video lies.

    Returns:
        The videos that are in none of them.

    Raises:
        LongVPOError: no archive matches, or one cannot be read.
    """
    missing = {video for video in videos if not video_file(source.folder, video).is_file()}
    wanted = {composed(video): video for video in missing}
    for name, archive in tqdm(list(_archives(source)) if missing else [], desc=f"archives of {source.name}"):
        if not missing:
            break
        own_folder = composed(SUFFIX.sub("", PurePosixPath(name).name)) + "/"
        try:
            with archive() as stream:
                for member, opened in _members(source, stream):
                    said = composed(member)
                    said = said if said in wanted else said.removeprefix(own_folder)  # `zip -r a.zip a` adds it
                    video = wanted.get(said, "")
                    content = opened() if video in missing else None
                    if content is not None:
                        with content, whole_file(source.folder / video) as file:  # named by the row, not by the member
                            shutil.copyfileobj(content, file)
                        missing.discard(video)
                    if not missing:
                        break
        except (*UNREADABLE, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # this machine's: its disk is full, or may not be written
                raise
            raise LongVPOError(
                f"source {source.name}: cannot read {name}: {first_line(error)}; fetch it again"
            ) from error
    return missing


def _members(source: SourceSection, stream: IO[bytes]) -> Iterator[tuple[str, Callable[[], IO[bytes] | None]]]:
    """Names of an archive's members, in order, and a function that opens each: None where it is not a file."""
    if source.videos == "zip":
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                yield member.filename, partial(archive.open, member)
    else:
        with tarfile.open(fileobj=stream, mode="r|*") as tar:
            for entry in tar:
                yield entry.name, partial(tar.extractfile, entry)


def _archives(source: SourceSection) -> Iterator[tuple[str, Any]]:
    """Names of the archives, in order, and a function that opens each for reading from its start to its end."""
    from huggingface_hub import HfFileSystem

    block = ZIP_BLOCK if source.videos == "zip" else TAR_BLOCK
    local, root, hub = Path(str(source.dataset)), f"datasets/{source.dataset}", HfFileSystem()
    for name in archive_sizes(source):
        if local.is_dir():
            yield name, lambda name=name: (local / name).open("rb")
        else:
            yield name, lambda name=name: hub.open(f"{root}/{name}", "rb", revision=source.revision, block_size=block)


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
