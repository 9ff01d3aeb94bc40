"""Bring videos that are elsewhere into a source's folder: from the Hub, out of rows; addresses and archives have
modules of their own.

The rule: a file appears under its name when it is whole; what is there is not fetched again.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from longvpo.errors import LongVPOError, VideoError, first_line
from longvpo.io.files import text_hash, whole_file
from longvpo.io.names import existing_file, spellings
from longvpo.io.private import cut
from longvpo.recipe.sources import SourceSection

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


def fetch_bytes(source: SourceSection, value: Any, number: int) -> str:
    """Write the video that a row holds; returns its path in the source's folder. Raises VideoError without one."""
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes) or not content:
        raise VideoError(f"row {number} has no bytes in {source.columns.video}")
    named = value.get("path") if isinstance(value, dict) else None
    suffix = _suffix(named if isinstance(named, str) else "")
    suffix = suffix or next((s for mark, s in SUFFIXES.items() if mark in content[:12]), "")
    name = hashlib.sha256(content).hexdigest()[:16] + suffix
    if not (source.folder / name).is_file():
        with whole_file(source.folder / name) as file:
            file.write(content)
    return name


def name_of_url(address: str) -> str:
    """The name under which an address is kept: two addresses may end alike."""
    return text_hash(address)[:16] + _suffix(cut(address).partition("://")[2].partition("/")[2])  # not of the host


def _suffix(name: str) -> str:
    """How a stranger's name ends, where that can be a part of a file's name."""
    suffix = PurePosixPath(name).suffix
    return suffix if re.fullmatch(r"\.\w{1,16}", suffix) else ""
