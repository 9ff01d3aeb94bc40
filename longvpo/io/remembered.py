"""Facts of files that take long to find, remembered: each is found once, for all runs of this user.

The rule: a fact is of one state of a file: its path, size, time of writing and time of change. Of a file that changed
it is found again; an error is never remembered. Facts lie in the cache of huggingface_hub
(`assets/longvpo/facts/KIND`) as JSON lines, with one file per process. All are read when the first is asked for, and
many files then become one. A damaged line, or a line that another process is writing, only costs the time to find a
fact again. So does a cache that cannot be used. Facts of files that are gone stay, some 200 bytes each: the folder may
be deleted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from longvpo.io.files import file_hash, write_text
from longvpo.io.lines import append_lines, read_lines

FILES_KEPT = 32
LARGE = 1 << 20  # bytes

_facts: dict[str, dict[str, Any]] = {}  # facts of each kind, by the state of a file
_lock = Lock()


def remembered(kind: str, path: Path, find: Callable[[Path], Any]) -> Any:
    """What `find` says of a file as it is now. Threads and processes may call it at once.

    Args:
        kind: names the fact, and the version of what finds it.
        find: gives what JSON can hold: a list, where another run could not tell it from a tuple.

    Raises:
        OSError: the file is missing.
        Exception: what `find` raises.
    """
    state, known = _state(path), _known(kind)  # before it is read: what is written meanwhile changes the state
    if state not in known:
        known[state] = find(path)
        with _lock, suppress(OSError, ValueError):
            append_lines(_own(_folder(kind)), [[state, known[state]]])
    return known[state]


def is_remembered(kind: str, path: Path) -> bool:
    """Whether `remembered` would not have to find anything."""
    try:
        return _state(path) in _known(kind)
    except OSError:  # it is missing
        return False


def kept_under(kind: str, key: str, make: Callable[[], Any]) -> Any:
    """What `make` gives, kept in a file of its own under a key, which changes with all that decides it.

    Args:
        make: gives what JSON can hold.
    """
    file = None
    with suppress(OSError, ValueError, RecursionError):
        file = _folder(kind) / f"{key}.json"
        return json.loads(file.read_text(encoding="utf-8"))
    made = make()
    with suppress(OSError):
        if file is not None:
            write_text(file, json.dumps(made))
    return made


def remembered_hash(path: Path) -> str:
    """sha256 of a file; that of a large one is remembered: to read 16 GB takes a minute."""
    large = path.stat().st_size >= LARGE
    found: str = remembered("hashes", path, file_hash) if large else file_hash(path)
    return found


def _state(path: Path) -> str:
    facts = path.stat()
    return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {os.path.realpath(path)}"


def _known(kind: str) -> dict[str, Any]:
    """All facts of a kind, to be added to."""
    with _lock:
        if kind not in _facts:
            _facts[kind] = _load(kind)
        return _facts[kind]


def _folder(kind: str) -> Path:
    from huggingface_hub import cached_assets_path

    return cached_assets_path("longvpo", namespace="facts", subfolder=kind)


def _own(folder: Path) -> Path:
    return folder / f"{os.uname().nodename}-{os.getpid()}.jsonl"


def _load(kind: str) -> dict[str, Any]:
    known: dict[str, Any] = {}
    with suppress(OSError, ValueError):  # huggingface_hub's, of a folder that is a file
        folder = _folder(kind)
        files = list(folder.glob("*.jsonl"))
        lines = (line for line in read_lines(folder) if isinstance(line, list) and len(line) == 2)
        known.update((state, fact) for state, fact in lines if isinstance(state, str))
        if len(files) > FILES_KEPT:
            append_lines(_own(folder), known.items())  # whole before the others go
            for path in set(files) - {_own(folder)}:
                path.unlink(missing_ok=True)
    return known
