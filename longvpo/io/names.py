"""The files that rows name: inside their source's folder, and found however their names are spelt.

The rule: the exact name comes first. Then come three other spellings: accents composed the other way, as on a Mac, the
separators of Windows, and no blanks around the name. No spelling leads out of the folder by itself; links that lie in
the folder are the user's own, and are followed.
"""

from __future__ import annotations

import os
import re
import reprlib
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from longvpo.errors import VideoError
from longvpo.io.private import cut, last_name

LONGEST_NAME = 255  # bytes of a file's name, in all common file systems
LONGEST_PATH = 2048  # bytes; half of what Linux opens, as a folder stands before it


def check_name(name: str, column: str = "video") -> None:
    """Raises VideoError when a name, in any of its spellings, is not a path inside a folder."""
    bare = composed(name)
    while bare != composed(bare):  # what is left of `./ /etc` has a blank to strip
        bare = composed(bare)
    if "://" in name:
        raise VideoError(f"{cut(name)} is an address, not a path inside the source's folder")
    climbs = ".." in (part.strip() for part in bare.split("/"))
    if climbs or re.match(r"/|[A-Za-z]:/", bare) or cut(bare) != bare:
        raise VideoError(f"{last_name(cut(name))} is not a path inside the source's folder")
    longest = max(len(part.encode(errors="replace")) for part in bare.split("/"))
    if longest > LONGEST_NAME or len(name.encode(errors="replace")) > LONGEST_PATH or "\0" in name:
        raise VideoError(f"its {column} is not a name of a file: {reprlib.repr(name)}")


def by_number(name: str) -> tuple[list[tuple[str, int]], str]:
    """The order of names that hold numbers, as people count: 2.jpg before 10.jpg."""
    parts = re.split(r"([0-9]+)", name)
    return [(text, int(number or 0)) for text, number in zip_longest(parts[::2], parts[1::2])], name


def video_file(folder: Path, name: str) -> Path:
    """The file that a row names; where there is none, the place at which it would be.

    Raises:
        VideoError: the name is not a path inside the folder. Whoever wrote the row, no other file is opened.
    """
    check_name(name)
    exact = folder / name
    if os.path.isfile(exact):
        return exact
    for spelling in spellings(name):
        places = [folder]
        for part in PurePosixPath(spelling).parts:
            places = [place / form for place in places for form in _forms(part) if os.path.exists(place / form)]
        for place in places:
            if os.path.isfile(place):
                return place
    return exact


def existing_file(folder: Path, name: str) -> Path:
    """The file that a row names. Raises VideoError where there is none, by the name that the row has."""
    path = video_file(folder, name)
    if not os.path.isfile(path):
        raise VideoError(f"no such video: {cut(name)}")
    return path


def spellings(name: str) -> list[str]:
    """A name as it is, then as others may have written it."""
    bare = dict.fromkeys(one for text in (name, name.replace("\\", "/")) for one in (text, text.strip()))
    return list(dict.fromkeys(form for text in bare for form in _forms(text)))


def composed(name: str) -> str:
    """Equal for all spellings of a name."""
    return normalize("NFC", str(PurePosixPath(name.replace("\\", "/").strip())))


def _forms(part: str) -> list[str]:
    return list(dict.fromkeys((part, normalize("NFC", part), normalize("NFD", part))))
