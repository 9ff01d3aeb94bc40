"""What a release is: its files and their hashes, made on this machine before the first request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from longvpo.errors import LongVPOError
from longvpo.release.target import Target


class File:
    """A file of a release, and the two hashes by which the Hub may know it: its content's, or its git blob's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = signature(path)
        self.size = path.stat().st_size
        sha256, sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % self.size)
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                sha256.update(part)
                sha1.update(part)
        self.sha256 = sha256.hexdigest()
        self.hashes = (self.sha256, sha1.hexdigest())

    def changed(self) -> bool:
        """Whether it is another file than was hashed, by its size and its time."""
        return signature(self.path) != self._seen


def signature(path: Path) -> tuple[int, ...] | None:
    """Changes when somebody writes into the file, or puts another in its place."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


@dataclass(frozen=True)
class Release:
    """Everything that a release is, made on this machine before the first request."""

    target: Target
    files: dict[str, File]  # by path in the repository; all but the changelog, which depends on what is there
    changelog: Callable[[str], str]  # the new one from the old one's text
    check: Callable[[Target, str], None]  # reads the release from outside, at a revision; raises LongVPOError

    def held_by(self, tree: dict[str, str]) -> bool:
        """Whether a tree (path -> hash) has all files as they were hashed."""
        return all(tree.get(path) in file.hashes for path, file in self.files.items())

    def check_held(self, tree: dict[str, str]) -> None:
        """Raises LongVPOError when a tree has a file not as it was hashed."""
        self._check_moved(path for path, file in self.files.items() if tree.get(path) not in file.hashes)

    def check_rest(self) -> None:
        """Raises LongVPOError when a file is no longer what was hashed."""
        self._check_moved(path for path, file in self.files.items() if file.changed())

    def _check_moved(self, paths: Iterator[str]) -> None:
        moved = next(paths, None)
        if moved:
            raise LongVPOError(
                f"{moved} changed while it was being published: {self.target.tag} of {self.target} is not set; run "
                "the same command again when nothing writes there any more"
            )
