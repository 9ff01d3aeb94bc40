"""A recipe, or a section of one, that extends other files: `extends: NAME`, or a list of names.

The rule: its own values go over the values of those files. Sections are merged key by key. A list, a text, a number or
null replaces the earlier value. Statements about a model or a source that is replaced are dropped, as on a command
line. A recipe may come from a stranger: it may only extend built-in files, and files below its own folder or below the
working folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError, did_you_mean
from longvpo.io.home import at_home
from longvpo.io.yaml_text import parse_file
from longvpo.recipe.builtin import builtin_file, builtin_files, shown
from longvpo.recipe.claims import Key, drop_stale
from longvpo.recipe.sections import Section, section_in

EXTENDS = "extends"
MOST = 100  # files per recipe


@dataclass
class Values:
    """The values of a section and of the sections in it."""

    values: dict[str, Any]
    files: dict[Key, str]  # the file of each key
    dropped: list[str] = field(default_factory=list)  # statements about what was replaced


def read_values(kind: type[Section], path: Path) -> Values:
    """The values of a recipe's file and of the files that it extends.

    Raises:
        LongVPOError: a file is missing or holds no recipe, or one extends itself.
    """
    return _file(kind, path, (), [])


def _file(kind: type[Section], path: Path, chain: tuple[Path, ...], read: list[Path]) -> Values:
    """The values of a file. `chain` has the files that led to it; `read` has all files that were read."""
    if path.resolve() in [one.resolve() for one in chain]:
        circle = " -> ".join(map(shown, (*chain, path)))
        raise LongVPOError(f"{shown(path)} extends itself: {circle}; delete one `{EXTENDS}` of these")
    read.append(path)
    if len(read) > MOST:
        raise LongVPOError(f"recipe {shown(read[0])} extends more than {MOST} files")
    try:
        values = parse_file(path)
    except ValueError as error:
        raise LongVPOError(f"{path} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise LongVPOError(f"{path} holds no recipe: expected sections such as {', '.join(kind.model_fields)}")
    return _section(kind, values, (*chain, path), read)


def _section(kind: type[Section], values: dict[str, Any], chain: tuple[Path, ...], read: list[Path]) -> Values:
    own = Values({}, {})
    for name, value in values.items():
        if name == EXTENDS:
            continue
        known = kind.model_fields.get(name)
        inner = section_in(known.annotation) if known else None
        own.files[name,] = shown(chain[-1])
        own.values[name] = _inside(inner, value, (name,), own, chain, read) if inner else value
    below = None
    for name in _names(values.get(EXTENDS, ()), chain[-1]):
        base = _file(kind, _find(name, chain), chain, read)
        below = base if below is None else _over(kind, below, base)
    return own if below is None else _over(kind, below, own)


def _inside(kind: type[Section], value: Any, at: Key, own: Values, chain: tuple[Path, ...], read: list[Path]) -> Any:
    """The value of a key that holds sections, with what they extend. Their keys are added to `own`."""
    if isinstance(value, list):
        return [_inside(kind, item, (*at, place), own, chain, read) for place, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    found = _section(kind, value, chain, read)
    own.files |= {(*at, *key): file for key, file in found.files.items()}
    own.dropped += [".".join(map(str, (*at, key))) for key in found.dropped]
    return found.values


def _over(kind: type[Section], below: Values, above: Values) -> Values:
    values = _merged(below.values, above.values)
    given = set(_leaves(above.values))
    files = {key: file for key, file in below.files.items() if not any(key[:n] in given for n in range(len(key) + 1))}
    dropped = drop_stale(kind, below.values, values, given)
    return Values(values, files | above.files, [*below.dropped, *above.dropped, *dropped])


def _merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return deepcopy(above)
    return deepcopy(below) | {name: _merged(below.get(name), value) for name, value in above.items()}


def _leaves(values: dict[str, Any], at: Key = ()) -> Iterator[Key]:
    """The keys of all values that are not sections."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*at, name))
        else:
            yield (*at, name)


def _names(said: Any, file: Path) -> list[str]:
    names = [said] if isinstance(said, str) else said
    if not (isinstance(names, list | tuple) and all(isinstance(name, str) and name for name in names)):
        raise LongVPOError(f"{shown(file)}: {EXTENDS} must be a name, or a list of names (got {said!r})")
    return list(names)


def _find(name: str, chain: tuple[Path, ...]) -> Path:
    """The file of a name in `extends`: a path from the folder of the last file in `chain`, or a built-in name."""
    file = chain[-1]
    beside = file.parent / at_home(name)
    if os.path.isfile(beside):  # False, not an error, where no file can have such a name
        real = beside.resolve()
        if not any(real.is_relative_to(root) for root in (chain[0].parent.resolve(), Path.cwd())):
            raise LongVPOError(
                f"{shown(file)} extends {name}, which is outside the recipe's folder and outside this folder. If you "
                "trust it, copy it next to the recipe, or run the command in a folder that holds both"
            )
        return beside
    if name in builtin_files():
        return builtin_file(name)
    raise LongVPOError(
        f"{shown(file)} extends {name}, which is neither a file next to it nor a built-in recipe"
        f"{did_you_mean(name, builtin_files())}"
    )
