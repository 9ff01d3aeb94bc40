"""What a release is: its files and their hashes, made on this machine before the first request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from longvpo.errors import LongVPOError
from longvpo.release.target import Target


class File:
    """A file of a release, and the two hashes by which the Hub may know it: of its content, or of its git blob."""

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
    changelog: Callable[[str], str]  # from the old one's text
    check: Callable[[Target, str], None]  # reads the release from outside, at a revision; raises LongVPOError

    def other_in(self, tree: dict[str, str]) -> list[str]:
        """The files that a tree (path -> hash) has not as they were hashed."""
        return [path for path, file in self.files.items() if tree.get(path) not in file.hashes]

    def held_by(self, tree: dict[str, str]) -> bool:
        """Whether a tree has all files as they were hashed."""
        return not self.other_in(tree)

    def check_rest(self) -> None:
        """Raises LongVPOError when a file is no longer what was hashed."""
        changed = [path for path, file in self.files.items() if file.changed()]
        if changed:
            raise LongVPOError(moved(self.target, changed))


def moved(target: Target, paths: list[str]) -> str:
    """What to say of files that changed under a push."""
    return (
        f"{paths[0]} changed while it was being published: {target.tag} of {target} is not set; run the same command "
        "again when nothing writes there any more"
    )
