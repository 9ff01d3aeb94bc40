"""Every key that a recipe may have, with type, default and description."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from longvpo.errors import LongVPOError, did_you_mean
from longvpo.recipe.kinds import KINDS
from longvpo.recipe.sections import IdOrFolder, Section, section_in

PLAIN = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    NoneType: "null",
    Any: "any",
}
BOUNDS = (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most"))
AT_HOME = get_args(IdOrFolder)[1]


class Key(NamedTuple):
    """A key of a recipe: its dotted name, its type and default in words, and its description."""

    key: str
    type: str
    default: str
    description: str


class Part(NamedTuple):
    """A section of a recipe: its dotted name, which begins with the kind of recipe, its description and its keys."""

    name: str
    about: str
    keys: list[Key]


def parts_of(asked: str | None = None) -> list[Part]:
    """The sections of all recipes, or the sections or the key at a dotted name such as `train.lora`.

    Where several places have the same kind of section, the first one describes it, and the others refer to that.

    Raises:
        LongVPOError: nothing has that name.
    """
    told: dict[type[Section], str] = {}
    if asked is None:
        return [part for name, kind in KINDS.items() for part in _parts(kind, name, told)]
    first, *rest = [word for word in asked.split(".") if not word.isdigit()] or [""]  # numbers are places in lists
    if first not in KINDS:
        every = [f"{part.name}.{key.key}" for part in parts_of() for key in part.keys]
        ends = [one for one in every if one.endswith(f".{asked}")]
        near = f" (did you mean {' or '.join(ends[:3])}?)" if ends and asked else did_you_mean(first, KINDS)
        raise LongVPOError(
            f"no recipe is called {first}{near}: a name begins with {', '.join(KINDS)}, as in train.lora"
        )
    kind, name = KINDS[first], first
    for place, word in enumerate(rest, 1):
        if word not in kind.model_fields:
            near = did_you_mean(word, kind.model_fields)
            raise LongVPOError(f"{name} has no key {word}{near}: its keys are {', '.join(kind.model_fields)}")
        field = kind.model_fields[word]
        inner = section_in(field.annotation)
        if inner is None and place < len(rest):
            raise LongVPOError(f"{name}.{word} has no keys that longvpo knows")
        if inner is None:
            return [Part(name, _law(kind), [_key(word, field)])]
        kind, name = inner, f"{name}.{word}"
    return list(_parts(kind, name, told))


def _parts(kind: type[Section], name: str, told: dict[type[Section], str]) -> Iterator[Part]:
    told[kind] = name
    inside, keys = [], []
    for word, field in kind.model_fields.items():
        inner = section_in(field.annotation)
        there = f"; keys as in {told[inner]}" if inner in told else ""
        if inner and not there:
            told[inner] = f"{name}.{word}"
            inside.append(inner)
        keys.append(_key(word, field, there))
    yield Part(name, _law(kind), keys)
    for inner in inside:
        yield from _parts(inner, told[inner], told)


def _law(kind: type[Section]) -> str:
    return " ".join((kind.__doc__ or "").split())


def _key(name: str, field: FieldInfo, more: str = "") -> Key:
    return Key(name, _type(field), _default(field), f"{field.description}{more}")


def _type(field: FieldInfo) -> str:
    bounds = [f" {word} {getattr(one, name)}" for one in field.metadata for name, word in BOUNDS if hasattr(one, name)]
    # where the type is not inside another type, pydantic moves what `Annotated` adds into metadata
    text = "id or path" if field.annotation is str and AT_HOME in field.metadata else _named(field.annotation)
    alone = text.removesuffix(" or null")
    return "".join([alone, *bounds, " or null" if alone != text else ""])


def _named(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return "id or path" if annotation == IdOrFolder else _named(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_named(one) for one in inner))
    if origin is Literal:
        return ", ".join(map(str, inner))
    if origin is tuple:
        return "list of sections" if section_in(annotation) else f"list of {_named(inner[0])}s"
    if origin is dict:
        return f"names with values: {_named(inner[1])}"
    return "section" if section_in(annotation) else PLAIN[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return "its defaults"
    return value if isinstance(value, str) and value else json.dumps(value, default=str, ensure_ascii=False)
