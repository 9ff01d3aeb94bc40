"""Temporary folders that a killed run leaves behind, and the next one removes."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "longvpo-"


@contextmanager
def own_folder(purpose: str) -> Iterator[Path]:
    """A temporary folder, locked by this process, after those of dead processes were removed.

    Args:
        purpose: a word in its name.
    """
    _remove_dead(purpose)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}-"))
        lock = _locked(folder)
        if lock is None or folder.is_dir():  # another process may have seen it before the lock was on it
            break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_dead(purpose: str) -> None:
    """Remove the user's folders of this purpose that no process holds; a kill ends a lock, whatever it was."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}{purpose}-*"):
        with suppress(OSError):
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            lock = _locked(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _locked(folder: Path) -> int | None:
    """A lock on the folder, or None where another process has it, or where there are no such locks."""
    try:
        import fcntl  # not on Windows
    except ImportError:
        return None
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(opened)
            return None
        return opened
    return None
