"""Results that are kept line by line, as JSON: each is there whole as soon as it is made, whatever is killed after.

The rule: every run appends to a file of its own. Any process that can read the folder has the lines of all earlier
runs. A line that a kill cut short is left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any


def read_lines(folder: Path, read: dict[Path, int] | None = None) -> Iterator[Any]:
    """The values of all lines of a folder's *.jsonl files, file by file.

    Args:
        read: bytes of each file that were read before, and are not read again; it gains what is read now.
    """
    for path in sorted(path for path in folder.glob("*.jsonl") if path.is_file()):
        begin = 0 if read is None else read.get(path, 0)
        if begin and path.stat().st_size == begin:
            continue
        with path.open("rb") as file:
            file.seek(begin)
            new = file.read()
        if read is not None:  # a line that is not whole yet is read again
            read[path] = begin + new.rfind(b"\n") + 1
        for line in new.decode(errors="replace").split("\n"):
            with suppress(ValueError, RecursionError):
                yield json.loads(line)


def append_lines(file: Path, values: Iterable[Any]) -> None:
    """Write values behind those of a file in one go: a kill in the midst can cut one line short, and no other."""
    lines = "".join(json.dumps(value) + "\n" for value in values)
    if not lines:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab+") as opened:
        if opened.tell():  # a process of the same number may have died in the midst of its line
            opened.seek(-1, os.SEEK_END)
            lines = lines if opened.read(1) == b"\n" else "\n" + lines
        opened.write(lines.encode())
