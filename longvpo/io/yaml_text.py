"""YAML as people write it: it is taken whole, or it is an error that names the place.

The rule: nothing is lost in silence, neither a key that comes twice nor the text behind a `#` in an override.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from longvpo.errors import first_line

DEEPEST = 30  # levels; no recipe needs more
MOST = 100_000  # values, aliases written out: a few lines can name thousands of millions
LONGEST = 2**20  # bytes of a file; the longest built-in one has 5,000
LARGEST = 2**63 - 1  # limit of whole numbers: tables and random generators take no larger ones
LONGEST_NUMBER = 100  # characters
TAG = "tag:yaml.org,2002:"
KNOWN = {TAG + name for name in ("str", "int", "float", "bool", "null", "seq", "map", "merge")}
BRACKETS = ("[", "{", '"', "'")  # with one of these in front, a value says itself where it ends


# escapes can write what a file may not hold: what steers a terminal, a zero that ends a path, halves of characters
UNWRITTEN = re.compile(yaml.reader.Reader.NON_PRINTABLE.pattern)


class _Loader(yaml.SafeLoader):
    """Dates, 12:30 and `=` are texts: YAML 1.1 has them as values that no recipe knows."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        tag = str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        if kind is yaml.ScalarNode and implicit[0]:
            number = tag in (TAG + "int", TAG + "float")
            return TAG + "str" if tag in (TAG + "timestamp", TAG + "value") or (number and ":" in value) else tag
        return tag


class _Uncommented(_Loader):
    """For overrides: a `#` is part of the value."""

    def scan_to_next_token(self) -> None:
        start = self.get_mark()
        place = self.pointer
        super().scan_to_next_token()
        if "#" in self.buffer[place : self.pointer]:
            raise yaml.scanner.ScannerError(None, None, "a # would begin a comment", start)


def parse(text: str) -> Any:
    """The values of a YAML text; no two of them are one object.

    Raises:
        ValueError: it is not YAML, a key is there twice, or it holds more than a recipe could need; says where.
    """
    return _own(_parsed(text))


def parse_file(path: Path) -> Any:
    """The values of a YAML file. Raises ValueError as `parse` does, or where it is too large or no text; OSError."""
    with path.open("rb") as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise ValueError(f"it has more than {LONGEST:,} bytes, and no recipe needs as many")
    try:
        return parse(content.decode("utf-8-sig"))
    except UnicodeError:
        raise ValueError("it is not a text in UTF-8") from None


@lru_cache(64)
def _parsed(text: str) -> Any:
    """Recipes are read again and again, and PyYAML is slow."""
    with _one_line():
        loader = _Loader(text)
        return _values(loader, loader.get_single_node())


def parse_value(text: str) -> Any:
    """The value of an override, whole: numbers, words, lists and sections as YAML has them, anything else as text.

    Raises:
        ValueError: it begins as a list, a section or a quoted text, and does not end as one; else as `parse`.
    """
    whole = text.strip(" \t\r\n")  # as YAML does
    with _one_line():
        loader = _Uncommented(text)
        try:
            node = loader.get_single_node()
        except yaml.YAMLError:
            if whole.startswith(BRACKETS):
                raise
            return whole
        if node is None:
            return whole or None
        # an anchor, a tag or a mark of a document would be cut off
        plain = isinstance(node, yaml.ScalarNode) and node.style is None and not whole.startswith("!!")
        return whole if plain and node.value != whole else _own(_values(loader, node))


@contextmanager
def _one_line() -> Iterator[None]:
    """PyYAML's errors as a ValueError in one line."""
    try:
        yield
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.reader.ReaderError as error:
        raise ValueError(f"character {error.position + 1} is one that YAML does not allow") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{error.problem}") from None
    except (yaml.YAMLError, LookupError, AttributeError, TypeError) as error:  # `!!bool maybe` is a KeyError
        raise ValueError(first_line(error)) from None


def _values(loader: yaml.SafeLoader, node: yaml.Node | None) -> Any:
    if node is None:
        return None
    _check(node, (), [MOST])
    return loader.construct_document(node)


def _check(node: yaml.Node, path: tuple[str, ...], left: list[int]) -> None:
    """Before anything is made of it; aliases are followed, as they will be."""
    left[0] -= 1
    where = f"line {node.start_mark.line + 1}"
    if left[0] < 0:
        raise ValueError(f"{where}: with its aliases written out it holds more than {MOST:,} values")
    if len(path) > DEEPEST:
        raise ValueError(f"{where}: it is nested too deeply")
    if node.tag not in KNOWN:
        raise ValueError(f"{where}: a recipe has no values of the kind {node.tag.removeprefix(TAG)}")
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(node, where)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _check(item, (*path, str(number)), left)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            place, line = ".".join((*path, name)), key.start_mark.line + 1
            if (key.tag, name) in lines and key.tag != TAG + "merge":
                first = lines[key.tag, name]
                raise ValueError(f"the key {place} is there twice, in line {first} and in line {line}: keep one")
            lines[key.tag, name] = line
            _check(key, (*path, name), left)
            _check(value, (*path, name), left)


def _check_scalar(node: yaml.ScalarNode, where: str) -> None:
    """Raises ValueError where a text holds what YAML allows in no file, or a number is too large to be meant."""
    found = UNWRITTEN.search(node.value)
    if found:
        raise ValueError(f"{where}: a text holds {found[0]!r}, a character that YAML does not allow")
    if node.tag in (TAG + "int", TAG + "float"):
        whole = node.tag == TAG + "int" and len(node.value) <= LONGEST_NUMBER
        made = yaml.SafeLoader("").construct_yaml_int(node) if whole else 0
        if len(node.value) > LONGEST_NUMBER or abs(made) > LARGEST:
            raise ValueError(f"{where}: {node.value:.20}... is a number that is too large")


def _own(value: Any) -> Any:
    """A copy in which no value is in two places: PyYAML's aliases are one object, and a change of it would be two."""
    if isinstance(value, dict):
        return {key: _own(item) for key, item in value.items()}
    return [_own(item) for item in value] if isinstance(value, list) else value
