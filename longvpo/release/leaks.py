"""Whether a release says what is nobody's business: a search of all its bytes, before the first request.

The search is for three things. Folders of this machine: those that a recipe names, the release's own, the user's home
and the current one. The user's name as a part of a path. Tokens and keys: those known here, and what looks like one.

The rule: a hit is an error, whoever wrote it. The text names the file and what was found; never a token.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import struct
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from huggingface_hub import get_token

from longvpo.errors import LongVPOError
from longvpo.io.files import CARD
from longvpo.io.weights import read_header
from longvpo.io.yaml_text import parse
from longvpo.release.words import words_in

COMMON = (  # names of users that are words, or those of machines: looked for as homes only
    *("root", "user", "users", "admin", "administrator", "ubuntu", "debian", "ec2-user", "centos", "runner", "nobody"),
    *("jovyan", "vagrant", "docker", "guest", "test", "default", "home", "data", "app", "dev", "build", "worker"),
    *("student", "video", "videos", "media", "clips", "films", "model", "models", "work", "public", "longvpo"),
)
SHAPES = (  # what a token looks like: its name, a part of it, and the whole
    ("a token of the Hub", b"hf_", rb"(?<![A-Za-z0-9_])hf_[A-Za-z0-9]{20,}"),
    ("an API key", b"sk-", rb"(?<![A-Za-z0-9_-])sk-(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{20,}"),
    ("an API key", b"AKIA", rb"(?<![A-Za-z0-9])AKIA[0-9A-Z]{16}(?![A-Za-z0-9])"),
    ("an API key", b"AIza", rb"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}"),
    ("a token of GitHub", b"gh", rb"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{30,}"),
    ("a private key", b"PRIVATE KEY", rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    ("a signed address", b"ignature=", rb"(?i)X-(?:Amz|Goog)-Signature=[0-9a-f]{16,}"),
)
SHORTEST_KEY = 8  # characters; servers that want no key are given words such as EMPTY
MEMBERS = re.compile(rb"\0+")
# what to do about a hit
OF_RESULT = "Take it out of where it comes from (a table, a caption, a recipe's text), and make it again"
OF_WORDS = (
    "It stands in the words between the markers of the card: take it out there, in the folder's card, in that on the "
    "Hub, or in `notes`, and run the same command again"
)


@dataclass(frozen=True)
class PrivateText:
    what: str  # for the message
    part: bytes  # is in every text that has it: most texts are done with this look
    pattern: re.Pattern[bytes]

    def found(self, text: bytes) -> bool:
        return self.part in text and self.pattern.search(text) is not None


def private_texts(folders: Iterable[str | Path], key_names: Iterable[str]) -> list[PrivateText]:
    """What to look for.

    Args:
        folders: those that nobody should hear about, as they were given.
        key_names: names of environment variables that hold keys.
    """
    found = [PrivateText(what, part, re.compile(pattern)) for what, part, pattern in SHAPES]
    keys = {"your token of the Hub": get_token()} | {
        f"the value of {name}": os.environ.get(name) for name in key_names
    }
    for what, key in keys.items():
        if key and len(key.strip()) >= SHORTEST_KEY:
            found += [_literal(what, form, rb"(?<!\w)", rb"(?!\w)") for form in _forms(key.strip())]
    paths: dict[str, None] = {}
    for folder in (*folders, Path.home(), Path.cwd()):
        given = os.path.expanduser(str(folder)).rstrip("/\\")
        relative = [given] if re.search(r"[\\/]", given) and not given.startswith(".") else []
        paths |= dict.fromkeys([*relative, os.path.abspath(given or os.sep), os.path.realpath(given or os.sep)])
    for path in paths:
        parts = [part for part in re.split(r"[\\/]", path) if part]
        if not parts:
            continue
        # the name of one folder is a word: it is looked for with what is in it
        after = rb"(?![\w-])" if len(parts) > 1 else rb"[\\/]+\w"
        found += [_literal(f"the path {path}", form, rb"(?<![\w.-])", after) for form in _forms(path)]
    return found + _of_user(_user())


def check_private(files: dict[str, Path], wanted: list[PrivateText]) -> None:
    """Raises LongVPOError when one of the files, by their paths in the release, holds one of the wanted texts."""
    for name, path in files.items():
        for where, text in _texts(path):
            for one in wanted:
                if one.found(text):
                    place = f"{name}{_row(path, where, one) if path.suffix == '.parquet' else ''}"
                    raise LongVPOError(
                        f"nothing was published: {place} holds {one.what}, which is nobody's business. "
                        + (OF_WORDS if name == CARD and _in_words(path, one) else OF_RESULT)
                    )


def _in_words(card: Path, wanted: PrivateText) -> bool:
    return wanted.found(words_in(card.read_text(encoding="utf-8", errors="replace")).encode())


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a number without a name, in a container
        return ""


def _of_user(user: str) -> list[PrivateText]:
    """The user's name as a part of a path, as a home and before a machine; a common word only as a home."""
    if not user:
        return []
    name, what, part = re.escape(user.encode()), f"a path with the name of the user, {user}", user.encode()
    known = len(user) > 2 and user.lower() not in COMMON
    end = rb"(?:\Z|[\s\0\"'`<>()\[\]{},;:\\/])" if known else rb"[\\/]"
    found = [
        PrivateText(what, part, re.compile(rb"(?:/home|/Users)[\\/]+" + name + end)),
        # Windows knows no case
        PrivateText(what, b"sers", re.compile(rb"(?:[\\/]|\b[A-Z]:)[\\/]*Users[\\/]+" + name + end, re.IGNORECASE)),
    ]
    if known:
        before = rb"(?:(?<![\w:/.~-])|(?<=file:))(?:[A-Za-z]:|\\\\)?[\\/]+"
        folder = rb"(?:[^\\/\s\0\"'<>|]+[\\/]+)"
        found += [
            PrivateText(what, part, re.compile(before + folder + b"*" + name + rb"[\\/]")),
            PrivateText(what, part, re.compile(before + folder + b"+" + name + end)),
            PrivateText(what, part, re.compile(rb"(?<![\w/~.-])~" + name + rb"[\\/]")),
            PrivateText(what, part, re.compile(rb"(?<![\w.+-])" + name + rb"@[\w.-]+:[\\/~]")),
        ]
    return found


def _forms(text: str) -> set[str]:
    """A text as it may stand in a file: as JSON and addresses write it, and letters with marks in both ways."""
    both = {text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)}
    return {form for one in both for form in (one, json.dumps(one)[1:-1], one.replace("\\", "\\\\"), quote(one))}


def _literal(what: str, text: str, before: bytes, after: bytes) -> PrivateText:
    """The text as one to look for; a blank in it may be a line's end, as YAML folds long lines."""
    words = text.encode("utf-8", "surrogateescape").split(b" ")
    return PrivateText(what, max(words, key=len), re.compile(before + rb"[\s\\]+".join(map(re.escape, words)) + after))


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """What a file says, by the place where it says it."""
    match path.suffix:
        case ".parquet":
            yield from _columns(path)
        case ".safetensors":
            yield "", read_header(path)
        case ".png":
            yield "", b"\0".join(_png_texts(path.read_bytes()))
        case ".json" | ".yaml" | ".md":
            text = path.read_bytes()
            values = _values(path, text)
            if path.name == "tokenizer.json" and isinstance(values, dict):
                values.pop("model", None)  # the vocabulary is the base's, and has words of all kinds
                text = b""
            yield "", text
            yield "", b"\0".join(_strings(values))
        case _ if path.name in ("vocab.json", "vocab.txt", "merges.txt"):
            return
        case _:
            yield "", path.read_bytes()


def _values(path: Path, text: bytes) -> Any:
    """The values of a JSON or YAML file, or of a card's front matter; None of what is damaged."""
    try:
        if path.suffix == ".json":
            return json.loads(text)
        front = text.split(b"---\n")[1] if path.suffix == ".md" and text.startswith(b"---\n") else text
        return parse(front.decode("utf-8", "replace"))  # aliases in it are bounded
    except (ValueError, RecursionError):
        return None


def _strings(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield value.encode("utf-8", "surrogateescape")
    elif isinstance(value, bytes):
        yield _about_picture(value)


def _columns(path: Path) -> Iterator[tuple[str, bytes]]:
    """The columns of a table, each as its different values, and what its footer says."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        footer = file.metadata.metadata or {}
        names = [f"{field.name}\0{field.type}".encode() for field in file.schema_arrow]  # a type names what is inside
        yield "", b"\0".join([*names, *footer, *footer.values()])
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            for name in table.column_names:
                values: dict[bytes, None] = {}
                for chunk in table.column(name).chunks:
                    for leaf in _leaves(chunk):
                        values |= dict.fromkeys(_strings(leaf.unique().to_pylist()))
                yield name, b"\0".join(values)


def _leaves(array: Any) -> Iterator[Any]:
    """The arrays of text and of bytes inside an array of lists and structs."""
    import pyarrow
    import pyarrow.types as kinds

    kind = array.type
    if kinds.is_struct(kind):
        for number in range(kind.num_fields):
            yield from _leaves(array.field(number))
    elif kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
        yield from _leaves(array.values)
    elif kinds.is_map(kind):
        yield from _leaves(array.keys)
        yield from _leaves(array.items)
    elif kinds.is_list_view(kind) or kinds.is_large_list_view(kind):
        yield from _leaves(array.flatten())
    elif kinds.is_string_view(kind) or kinds.is_binary_view(kind):
        yield array.cast(pyarrow.large_binary())
    elif kinds.is_dictionary(kind):
        yield from _leaves(array.dictionary)
    elif any(test(kind) for test in (kinds.is_string, kinds.is_large_string, kinds.is_binary, kinds.is_large_binary)):
        yield array


def _row(path: Path, column: str, wanted: PrivateText) -> str:
    """Where in a table the text is, for the message."""
    from pyarrow import parquet

    if not column:
        return ", its footer,"
    for number, value in enumerate(parquet.read_table(path, columns=[column])[column].to_pylist()):
        if wanted.found(b"\0".join(_strings(value))):
            return f", row {number}, column {column},"
    return f", column {column},"


def _about_picture(content: bytes) -> bytes:
    """What a picture says beside its pixels; other bytes as they are."""
    if content.startswith(b"\x89PNG"):
        return b"\0".join(_png_texts(content))
    if content.startswith(b"\xff\xd8"):
        return content.partition(b"\xff\xda")[0]  # from there on it is the scan
    return content


def _png_texts(content: bytes) -> Iterator[bytes]:
    """Every chunk of a PNG file that does not hold pixels, unpacked where it is packed."""
    place = 8
    while place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        chunk = content[place + 8 : place + 8 + length]
        place += 12 + length
        if kind == b"IEND":
            break
        if kind == b"IDAT":
            continue
        yield chunk
        for start in (found.end() for found in MEMBERS.finditer(chunk) if kind in (b"zTXt", b"iTXt", b"iCCP")):
            unpacked = zlib.decompressobj()
            with suppress(zlib.error):
                yield unpacked.decompress(chunk[start:], 1 << 24)
    yield content[place:]
