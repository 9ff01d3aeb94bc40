"""Paths as people give them: `~` is the home of a user, and one that is mistyped is like another that is there."""

from __future__ import annotations

import os
from pathlib import Path

from longvpo.errors import LongVPOError, did_you_mean
from longvpo.io.records import unfinished


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


def meant_folder(path: str | Path) -> str:
    """What an error about a folder that is not there adds, where one beside it has a name like that; else nothing.

    One that holds something is meant rather than one that is empty, or where a build failed.
    """
    folder = Path(path)
    if folder.exists():
        return ""
    try:
        beside = [one for one in folder.parent.iterdir() if one.is_dir() and one.name != folder.name]
    except OSError:
        return ""
    said = did_you_mean(folder.name, [one.name for one in beside if _holds_something(one)]) or did_you_mean(
        folder.name, [one.name for one in beside]
    )
    return said.replace("mean ", f"mean {folder.parent}{os.sep}") if said and str(folder.parent) != "." else said


def _holds_something(folder: Path) -> bool:
    try:
        return any(folder.iterdir()) and not unfinished(folder)
    except OSError:  # nobody but its owner may look
        return False


def split(given: str | Path) -> tuple[str, str]:
    """Folder or repository, and the revision of a repository; `main`, where none is given.

    Raises:
        LongVPOError: a folder is given with a revision.
    """
    whole = at_home(str(given))
    name, at, revision = whole.rpartition("@")
    if not at or not name or Path(whole).exists():
        return whole, "main"
    if Path(name).is_dir():
        raise LongVPOError(
            f"{whole}: a folder has no revisions; leave @{revision} out, or give the id of a repository"
        )
    if not revision:
        raise LongVPOError(f"{whole}: no revision follows the @; name a tag, a branch or a commit, or leave it out")
    return name, revision


def may_be_id(name: str) -> bool:
    """Whether a name without a file or folder here can be an id of the Hub; if not, it was meant as a path."""
    return len(Path(name).parts) <= 2 and not name.startswith((".", "/", "~"))
