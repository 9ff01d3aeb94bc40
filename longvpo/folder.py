"""Folders: outputs that appear whole or not at all and know whether they are the answer, and what we ship."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import yaml

from longvpo.errors import LongVPOError

PROVENANCE = "provenance.json"  # beside every result: what made it
RELEASE = "release.json"  # beside a result that was published: where


def finished(output: Path, name: str, key: str) -> dict[str, Any] | None:
    """What the JSON file `name` of a finished run with this key says, or None where `output` is free.

    Args:
        key: changes with everything that decides the result.

    Raises:
        LongVPOError: `output` holds something else.
    """
    file = output / name
    if file.is_file():
        values: dict[str, Any] = json.loads(file.read_text())
        if values.get("key") == key:
            print(f"{output} is finished already: nothing to do", file=sys.stderr)
            return values
        raise LongVPOError(
            f"{output} holds the result of another recipe or of other input: give another --output, or delete it"
        )
    check_free(output)
    return None


@contextmanager
def claimed(output: Path, key: str, recipe: str) -> Iterator[Path]:
    """The folder `output`/work for one build that may be killed and started again; another process is kept out.

    It goes away with an error that came before any work was kept in it.

    Args:
        key: changes with everything that decides the result.
        recipe: the recipe's hash, for the message.

    Raises:
        LongVPOError: `output` holds something else, or another process is at work in it.
    """
    import fcntl  # not on Windows, where the rest of longvpo imports

    work = output / "work"
    mark = work / "key.json"
    if mark.is_file():
        try:
            theirs = json.loads(mark.read_text())
        except ValueError:
            raise LongVPOError(
                f"{mark} is damaged: give another --output, and --journal {work / 'journal'} for its answers"
            ) from None
        if theirs["recipe"] != recipe:
            raise LongVPOError(
                f"{output} holds a build of another recipe: its hash is {theirs['recipe']}, this one's {recipe}. "
                "Give another --output, or delete it"
            )
        if theirs["key"] != key:
            raise LongVPOError(
                f"{output} holds a build of this recipe ({recipe}) from other tables: "
                "give another --output, or delete it"
            )
    else:
        if list(output.rglob("*")) not in ([work], [work, mark.with_suffix(".unfinished")]):  # of a kill just here
            check_free(output)
        try:
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LongVPOError(f"cannot write into {output}: {error.strerror}; give another --output") from error
        mark.with_suffix(".unfinished").write_text(json.dumps({"key": key, "recipe": recipe}))
        mark.with_suffix(".unfinished").rename(mark)
    with mark.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LongVPOError(
                f"another process is at work in {output}: wait for it, or give another --output"
            ) from None
        try:
            yield work
        except BaseException:
            if not any(path.is_file() and path != mark for path in work.rglob("*")):
                shutil.rmtree(work)
                with suppress(OSError):  # other things are in it, or it is a link
                    output.rmdir()
            raise


def check_free(output: Path) -> None:
    """Raises LongVPOError when `output` is there and not an empty folder."""
    if output.is_file():
        raise LongVPOError(f"{output} is a file: give another --output, or delete it")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise LongVPOError(f"{output} is not empty: give another --output, or delete it")


@contextmanager
def whole_folder(output: Path) -> Iterator[Path]:
    """A folder that appears at `output` when the block ends well, and not at all when it does not.

    Raises:
        LongVPOError: `output` is there and not empty.
    """
    check_free(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(output.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        yield unfinished
        if output.is_dir():
            output.rmdir()
        unfinished.rename(output)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears at `path` when the block ends well, and not at all when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{threading.get_ident()}.unfinished")  # of this thread
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def shipped(name: str) -> Path:
    """A folder of files that we ship: inside the package in a wheel, beside it in a checkout."""
    inside = Path(__file__).parent / name
    return inside if inside.is_dir() else Path(__file__).parent.parent / name


def as_json(values: Any) -> str:
    """The text of a JSON file."""
    return json.dumps(values, indent=2) + "\n"


def as_yaml(values: Any) -> str:
    """The text of a YAML file, keys in their order."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)


def file_hash(path: Path) -> str:
    """sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
