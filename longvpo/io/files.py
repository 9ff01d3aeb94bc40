"""Folders: files that are whole or not there, and what we ship."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import yaml

from longvpo.errors import LongVPOError, first_line
from longvpo.io.yaml_text import parse_file

PACKAGE = Path(__file__).parents[1]
PROVENANCE = "provenance.json"  # beside every result: what made it
CARD = "README.md"
CARD_HASH = "card_sha256"  # in provenance.json: the hash of the card that longvpo wrote, without its user's words
WORDS_HASH = "words_sha256"  # in provenance.json: the hash of these words, as they were then
TRAINED = "videos.txt"  # beside an adapter: sha256 of the videos that it was trained on, one a line
BENCHMARKS = "benchmarks.json"  # beside an adapter: its scores on public benchmarks, and its base's
WORK, KEY = "work", "key.json"  # in an output: the folder of work of a run, and in it what run it is
WHOLE = "whole"  # in a checkpoint that was written whole
RELEASE = "release.json"  # beside a result that was published: where


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears at `path` when the block ends well; when it does not, what was there stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f"{os.getpid()}.{threading.get_ident()}"  # the name of this thread
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
        raise LongVPOError(f"{path} is damaged: it is not JSON, {first_line(error)}") from None


def read_yaml(path: Path) -> Any:
    """The values of a YAML file. Raises LongVPOError when it is damaged."""
    try:
        return parse_file(path)
    except ValueError as error:
        raise LongVPOError(f"{path} is damaged: it is not YAML, {first_line(error)}") from None


def shipped(name: str) -> Path:
    """A folder of files that we ship: inside the package in a wheel, beside it in a checkout."""
    inside = PACKAGE / "shipped" / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def as_json(values: Any, strict: bool = False) -> str:
    """The text of a JSON file.

    Args:
        strict: NaN and infinity, which JSON has not, are a ValueError.
    """
    return json.dumps(values, indent=2, allow_nan=not strict) + "\n"


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


def open_to_others(folder: Path) -> None:
    """Give all files of a folder the permissions of new files under the user's umask: safetensors writes only for the
    owner."""
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o666 & ~mask))


def whole_checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in a folder, in the order of their steps."""
    marks = folder.glob(f"checkpoint-*/{WHOLE}")
    return sorted((mark.parent for mark in marks), key=lambda path: int(path.name.rpartition("-")[2]))
