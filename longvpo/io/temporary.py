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
        folder, lock = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}-")), None
        try:
            lock = _lock(folder)
        except (BlockingIOError, FileNotFoundError):  # another process took it for a dead one's
            continue
        except OSError:  # there are no locks here, and nobody removes what has none
            break
        if folder.is_dir():
            break
        os.close(lock)
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
            if stat.S_ISDIR(found.st_mode):
                lock = _lock(folder)  # first, as Windows has no users by number
                if found.st_uid == os.getuid():
                    shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _lock(folder: Path) -> int:
    """A lock on the folder, which ends with this process. Raises OSError where it cannot be had."""
    try:
        import fcntl
    except ImportError:  # on Windows
        raise OSError("no locks") from None
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        raise
    return opened
