"""`~` in a path: the home of a user, wherever a path may be given."""

from __future__ import annotations

import os
from pathlib import Path

from longvpo.errors import LongVPOError


def at_home(path: str) -> str:
    """The path with `~` and `~user` as the folders that they stand for; `$HOME` is left as it is.

    Raises:
        LongVPOError: there is no such user, and nothing of that name here.
    """
    whole = os.path.expanduser(path)
    if path.startswith("~") and whole == path and not os.path.exists(path):
        raise LongVPOError(f"{path}: there is no user {path[1:].split(os.sep)[0]}; ./{path} is a folder of that name")
    return whole


def path(given: str | Path) -> Path:
    """A path of the command line."""
    return Path(at_home(str(given)))
