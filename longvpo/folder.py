"""Folders: outputs that appear whole or not at all and know whether they are the answer, and what we ship."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import yaml

from longvpo.errors import LongVPOError, first_line

PROVENANCE = "provenance.json"  # beside every result: what made it
CARD = "README.md"
CARD_HASH = "card_sha256"  # in provenance.json: of the card that longvpo wrote beside it
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
        values: dict[str, Any] = read_json(file)
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
            theirs = json.loads(mark.read_bytes())
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
        others = [path for path in output.rglob("*") if path != work and not path.match(f"{mark.name}.*.unfinished")]
        if others or not work.is_dir():  # what is not of a kill just here
            check_free(output)
        try:
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LongVPOError(f"cannot write into {output}: {error.strerror}; give another --output") from error
        write_text(mark, json.dumps({"key": key, "recipe": recipe}))
    with mark.open("rb") as lock:
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
    """A file that appears at `path` when the block ends well; when it does not, what was there stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f"{os.getpid()}.{threading.get_ident()}"  # of this thread
    unfinished = path.with_name(f"{path.name[:40]}.{own}.unfinished")  # file systems take names of 255 bytes
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a file of text: UTF-8 whatever the locale is, and over another one, or a link, only when it is whole."""
    with whole_file(path) as file:
        file.write(text.encode("utf-8", "replace"))  # half a surrogate pair, such as of a file's name


def read_text(path: Path) -> str:
    """A file of text: UTF-8 whatever the locale is. Raises LongVPOError when it is not."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeError:
        raise LongVPOError(f"{path} is damaged: it is not a text in UTF-8") from None


def read_json(path: Path) -> Any:
    """The values of a JSON file. Raises LongVPOError when it is damaged."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise LongVPOError(f"{path} is damaged: it is no JSON, {first_line(error)}") from None


def read_yaml(path: Path) -> Any:
    """The values of a YAML file. Raises LongVPOError when it is damaged."""
    try:
        return yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-02-30
        raise LongVPOError(f"{path} is damaged: it is no YAML, {first_line(error)}") from None


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


def text_hash(text: str) -> str:
    """sha256 of a text, as write_text writes it."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
