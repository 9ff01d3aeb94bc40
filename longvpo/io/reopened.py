"""A finished result that lacks what could not be read, and the same command when it can be read.

The rule: it is made once more over the old one, which stays whole until the new one is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError, say
from longvpo.io.disk import writing
from longvpo.io.files import KEY, as_json, write_text
from longvpo.io.names import video_file
from longvpo.io.output import Place
from longvpo.io.records import read_record

ASKED, LACKS = "asked", "lacks"  # keys of a result's JSON: what was asked for, and how much of it could not be read
INNER = ("key", ASKED, LACKS)  # what only the same command again needs


def reopened(place: Place, name: str, key: str, asked: str, recipe: str = "") -> bool:
    """Whether the finished result of `asked` lacks something, and its key says that other files are there now.

    Its place can then be claimed, as if a run had begun there.

    Args:
        name: the JSON file of a finished run.
        key: changes with everything that decides the result; `asked` only with what the user asks for.
        recipe: as `claimed` takes it.
    """
    values: Mapping[str, Any] = {}
    with suppress(LongVPOError, OSError):
        values = read_record(place.path / name) if (place.path / name).is_file() else {}
    if not values.get(LACKS) or values.get(ASKED) != asked or values.get("key") == key:
        return False
    with writing(place.output):
        place.work.mkdir(exist_ok=True)
        if not (place.work / KEY).exists():
            write_text(place.work / KEY, as_json({"key": key, "recipe": recipe}))
    say(f"{place.output} lacks what could not be read, and the videos have changed since: it is made again")
    return True


def states_of(videos: Iterable[tuple[str, str]], folders: Mapping[str, Path]) -> list[Any]:
    """Size and time of writing of the videos whose folders are given; None where one is missing."""
    found: list[Any] = []
    for source, video in sorted(set(videos)):
        if source in folders:
            state = None
            with suppress(LongVPOError, OSError, ValueError):
                facts = video_file(folders[source], video).stat()
                state = facts.st_size, facts.st_mtime_ns
            found.append([source, video, state])
    return found
