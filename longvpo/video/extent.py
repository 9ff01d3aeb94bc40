"""How large and how long videos are, remembered, and found for many files by several processes.

The rule: no file is probed twice, in any run, until it changes. As many files are opened at once as there are threads:
each thread asks a process of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from longvpo.errors import VideoError
from longvpo.io.remembered import is_remembered, remembered
from longvpo.video.container import check_exists
from longvpo.video.probe import Extent, probe

PROBED = "1"  # another number when the same file is found to be of another extent
FILES = 12  # that are worth the start of a process


def extent(path: Path) -> Extent:
    """The extent of a video. Raises VideoError where the file is missing, is not a video or holds no picture."""
    check_exists(path)
    return Extent(*remembered(_kind(), path, _find))


def look_at(paths: Sequence[Path], threads: int) -> Iterator[Path]:
    """Find the extents of videos, so that all are remembered. Each path comes back as soon as it is looked at.

    A file without an extent passes: it says why when it is asked for.
    """
    unknown = sum(not is_remembered(_kind(), path) for path in paths)
    at_once = min(max(unknown // FILES, 1), cores())

    def one(path: Path) -> Path:
        with suppress(VideoError):
            extent(path)
        return path

    with ThreadPoolExecutor(at_once if unknown else threads) as pool:
        yield from pool.map(one, paths)


def cores() -> int:
    """Cores that this process may use; macOS does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _kind() -> str:
    return f"videos-{PROBED}-av-{version('av')}"


def _find(path: Path) -> list[Any]:
    return list(probe(path).extent)
