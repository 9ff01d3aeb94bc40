"""What a program leaves behind: processes, shared memory, files and folders.

Processes are known by parentage: this process adopts the orphans of its descendants, whatever killed their parents.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import stat
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
SHARED = Path("/dev/shm")
GRACE = 20.0  # seconds: a worker of torch looks every 5 whether its parent is alive
NUMBERED = re.compile(r"(?<=/)[^/]+-\d+\.jsonl$")  # lines that a process keeps: named after host and process


def adopt() -> None:
    """From now on, orphans of this process' descendants are its own children (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(root: int | None = None) -> dict[int, str]:
    """Commands of the processes below this one, by number; those that have ended and wait to be read are not."""
    parents, commands = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            parents[int(path.name)] = int(parent)
            if state != "Z":
                commands[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ").strip()[:200]
    below, root = set[int](), root or os.getpid()
    while more := {one for one, parent in parents.items() if parent in below | {root}} - below:
        below |= more
    return {one: commands[one] for one in below & set(commands)}


def left_running(known: set[int], grace: float = GRACE) -> list[str]:
    """Commands of descendants that do not end by themselves; they are ended then.

    Args:
        known: processes that may stay.
    """
    until = time.monotonic() + grace
    while (
        left := {one: said for one, said in descendants().items() if one not in known}
    ) and time.monotonic() < until:
        _read_ended(left)
        time.sleep(0.05)
    for one in left:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
    _read_ended(left)
    return sorted(left.values())


def _read_ended(processes: dict[int, str]) -> None:
    for one in processes:
        with suppress(ChildProcessError):
            os.waitpid(one, os.WNOHANG)


def segments() -> set[str]:
    """Pieces of shared memory."""
    return {path.name for path in SHARED.iterdir()} if SHARED.is_dir() else set()


def left_in_memory(before: set[str], grace: float = GRACE) -> list[str]:
    """Pieces of shared memory that are new, and that no process has open or mapped."""
    until, left = time.monotonic() + grace, {""}
    while left and time.monotonic() < until:
        left = segments() - before - _in_use()
        time.sleep(0.05 * bool(left))
    return sorted(left)


def _in_use() -> set[str]:
    used = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            used |= set(re.findall(rf"{SHARED}/(\S+)", (process / "maps").read_text()))
            used |= {os.readlink(one).removeprefix(f"{SHARED}/") for one in (process / "fd").iterdir()}
    return used


def names(folder: Path) -> set[str]:
    """All that lies below a folder; files of lines that are named after processes are all one."""
    return {NUMBERED.sub("*", str(path.relative_to(folder))) for path in folder.rglob("*")}


def held() -> dict[str, int]:
    """What this process holds now."""
    opened = [_opened(name) for name in os.listdir("/proc/self/fd")]
    return {
        "files": len(opened),
        "sockets": opened.count("socket"),
        "threads": threading.active_count(),
        "tasks": len(os.listdir("/proc/self/task")),
        "processes": len(descendants()),
        "temporary": len(os.listdir(tempfile.gettempdir())),
        "segments": len(segments()),
    }


def _opened(name: str) -> str:
    with suppress(OSError):
        return "socket" if stat.S_ISSOCK(os.fstat(int(name)).st_mode) else "file"
    return "gone"
