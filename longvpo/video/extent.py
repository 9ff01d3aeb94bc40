"""How large and how long videos are, remembered, and found for many files by several processes.

The rule: no file is probed twice, in any run, until it changes. Threads do not help: PyAV hands the GIL over at each
packet. So the processes are new ones that load no model, and are asked by pipes, one file at a time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from longvpo.errors import VideoError
from longvpo.io.remembered import is_remembered, remembered
from longvpo.video.container import check_exists
from longvpo.video.probe import Extent, probe

PROBED = "1"  # another number when the same file is found to be of another extent
FILES = 50  # that are worth the start of a process


def extent(path: Path, find: Callable[[Path], Sequence[Any]] | None = None) -> Extent:
    """The extent of a video. Raises VideoError where the file is missing, is no video or holds no picture.

    Args:
        find: finds it where it is not remembered; None: here.
    """
    check_exists(path)
    return Extent(*remembered(_kind(), path, find or _here))


def look_at(paths: Sequence[Path], threads: int) -> Iterator[Path]:
    """Find the extents of videos, so that all are remembered. Each path comes back as soon as it is looked at.

    A file without an extent passes: it says why when it is asked for.
    """
    unknown = sum(not is_remembered(_kind(), path) for path in paths)
    asked = min(unknown // FILES, cores())
    with ExitStack() as stack:
        find = stack.enter_context(closing(_Processes(asked))).ask if asked > 1 else None

        def one(path: Path) -> Path:
            with suppress(VideoError):
                extent(path, find)
            return path

        yield from stack.enter_context(ThreadPoolExecutor(max(asked, threads))).map(one, paths)


def cores() -> int:
    """Cores that this process may use; macOS does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _kind() -> str:
    return f"videos-{PROBED}-av-{version('av')}"


def _here(path: Path) -> list[Any]:
    return list(probe(path).extent)


class _Processes:
    """Processes that probe a file each. Threads may ask at once."""

    def __init__(self, number: int) -> None:
        self._idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        path = os.pathsep.join(filter(None, sys.path))  # of a script that found longvpo beside itself
        environment = os.environ | {"PYTHONPATH": path}
        command = [sys.executable, "-m", __name__]
        pipe = subprocess.PIPE
        self._all = [
            subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) for _ in range(number)
        ]
        for process in self._all:
            self._idle.put(process)

    def ask(self, path: Path) -> list[Any]:
        """The extent of a file. Raises VideoError."""
        process = self._idle.get()
        try:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(str(path.absolute())) + "\n")
            process.stdin.flush()
            said = process.stdout.readline()
        except BrokenPipeError:
            said = ""
        finally:
            self._idle.put(process)
        if not said:  # it ended: this process says why
            return _here(path)
        found, fault = json.loads(said)
        if fault:
            raise VideoError(fault)
        return list(found)

    def close(self) -> None:
        for process in self._all:
            process.communicate()  # its input ends, and so does it


def main() -> None:
    """Answer each line of input, a path, with its extent and its fault."""
    for line in sys.stdin:
        try:
            answer = _here(Path(json.loads(line))), ""
        except VideoError as error:
            answer = [], str(error)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
