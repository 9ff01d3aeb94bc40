"""Recipes as files: find them, read them with overrides, hash them, write them.

The rule: an unknown key is an error, and all problems of a recipe are reported at once.
"""

from __future__ import annotations

import json
import reprlib
import shlex
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import ValidationError

from longvpo.errors import LongVPOError, did_you_mean, say
from longvpo.io.files import as_yaml, text_hash
from longvpo.io.home import at_home
from longvpo.io.yaml_text import parse_value
from longvpo.recipe.builtin import builtin_recipes, find_recipe
from longvpo.recipe.claims import Key, add_stated, drop_stale, leave_stated
from longvpo.recipe.extends import EXTENDS, read_values
from longvpo.recipe.sections import Section, section_in

OUR_WORDS = {  # in place of pydantic's messages, which name its types
    "tuple_type": "must be a list",
    "dict_type": "must be a section with keys of its own",
    "model_type": "must be a section with keys of its own",
    "too_short": "must have at least one item",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text: put it in quotes",
    "path_type": "must be a path: put it in quotes",
}

TOLD = 50  # problems in one error

OF_ONE = ("dataset", "evaluate")  # last names of built-in recipes that are not for train

RecipeType = TypeVar("RecipeType", bound=Section)


def load_recipe(kind: type[RecipeType], name: str, overrides: list[str] | None = None) -> RecipeType:
    """Read a recipe and check it.

    Args:
        name: a path or a built-in name.
        overrides: `section.key=value`, with the value in YAML. A number in the key is a place in a list.

    Raises:
        LongVPOError: the recipe has problems; the error names each with its dotted key.
    """
    read = read_values(kind, find_recipe(_of_kind(kind, name)))
    _say_dropped(f"what {name} extends", read.dropped)
    return check_recipe(kind, name, read.values, overrides, read.files)


def read_recipe(kind: type[Section], name: str) -> dict[str, Any]:
    """The values of a recipe's file and of the files that it extends. Raises LongVPOError where it has none."""
    return read_values(kind, find_recipe(_of_kind(kind, name))).values


def check_recipe(
    kind: type[RecipeType],
    name: str,
    values: dict[str, Any],
    overrides: list[str] | None = None,
    files: Mapping[Key, str] | None = None,
) -> RecipeType:
    """The recipe with these values. `values` is changed.

    Args:
        name: the recipe's name in errors.
        overrides: as in `load_recipe`.
        files: the file of each key, for errors.
    """
    before = deepcopy(values)
    overridden = {_override(kind, values, override) for override in overrides or []}
    dropped = drop_stale(kind, before, values, overridden)
    _say_dropped(name, dropped)
    add_stated(kind, values)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        # a list may only be too short because pydantic left out an item with a problem of its own
        told = [problem for problem in error.errors() if problem["type"] != "too_short" or not problem["input"]]
        problems = [_problem(kind, problem) + _where(problem, files or {}, overridden) for problem in told[:TOLD]]
        more = f"; and {len(told) - TOLD} more problems" if len(told) > TOLD else ""
        raise LongVPOError(f"recipe {name}: {'; '.join(problems)}{more}") from None


def _say_dropped(who: str, dropped: list[str]) -> None:
    if dropped:
        say(f"note: {who} describes something that is not used now, so this is dropped: {', '.join(dropped)}")


def _where(problem: Any, files: Mapping[Key, str], overridden: set[Key]) -> str:
    """The file that holds the key of a problem, where there are several files."""
    keys = [problem["loc"][:length] for length in range(len(problem["loc"]), 0, -1)]
    if problem["type"] == "missing" or len(set(files.values())) < 2 or overridden & set(keys):
        return ""
    return next((f" (in {files[key]})" for key in keys if key in files), "")


def _of_kind(kind: type[Section], name: str) -> str:
    """The full name of a recipe: for `tiny`, it is tiny/dataset, tiny/stage1 or tiny/evaluate, by the command.

    For a training a note says so, because the name could also mean another stage.
    """
    known, stands_for = builtin_recipes(), f"{name}/{kind.builtin}"
    if Path(at_home(name)).exists() or stands_for not in known:
        return name
    others = [one for one in known if one.startswith(f"{name}/") and one.rpartition("/")[2] not in OF_ONE]
    if kind.builtin not in OF_ONE and len(others) > 1:
        rest = ", ".join(one for one in others if one != stands_for)
        say(f"note: {name} means {stands_for} here; the others are {rest}")
    return stands_for


def recipe_hash(recipe: Section) -> str:
    """Twelve hexadecimal digits that change with any value of the recipe."""
    return text_hash(json.dumps(_hashed(recipe, recipe.model_dump(mode="json")), sort_keys=True))[:12]


def _hashed(part: Any, values: Any) -> Any:
    """The values of a recipe or of a part. Keys in `later` that have their defaults are left out."""
    if isinstance(part, tuple):
        return [_hashed(*pair) for pair in zip(part, values, strict=True)]
    if not isinstance(part, Section):
        return values
    new = {name for name in part.later if getattr(part, name) == type(part).model_fields[name].default}
    return {name: _hashed(getattr(part, name), value) for name, value in values.items() if name not in new}


def dump_recipe(recipe: Section, without: set[str] | None = None) -> str:
    """The resolved recipe with all defaults, as YAML; `without` names keys to leave out."""
    values = recipe.model_dump(mode="json", exclude=without)
    leave_stated(type(recipe), values)
    return as_yaml(values)


def _override(kind: type[Section], values: dict[str, Any], override: str) -> Key:
    """Set a value, and return its key."""
    key, equals, text = override.partition("=")
    if not equals:
        raise LongVPOError(f"cannot read the override {override!r}: write it as section.key=value")
    if key.split(".")[-1] == EXTENDS:
        raise LongVPOError(f"{key} is only for recipe files: on a command line, give that recipe, and values")
    try:
        value = parse_value(text)
    except ValueError as error:
        quoted = shlex.quote(f"{key}={json.dumps(text, ensure_ascii=False)}")
        raise LongVPOError(
            f"cannot set {key}: {text} is not YAML, {error}; if you mean a text, write {quoted}"
        ) from None
    node: Any = values
    found: list[str | int] = []
    try:
        for part in key.split("."):
            if found:
                if isinstance(node, dict) and node.get(found[-1]) is None:  # a section that the recipe sets to null
                    node[found[-1]] = {}
                node = node[found[-1]]
            found.append(range(len(node))[int(part)] if isinstance(node, list) else part)
        node[found[-1]] = _meant(kind, found, value)
    except (ValueError, LookupError, TypeError):
        raise LongVPOError(f"cannot set {key}: the recipe has no such place{_entries(node, found)}") from None
    return tuple(found)


def _entries(node: Any, found: list[str | int]) -> str:
    """Words for an error that say how many entries the list at this place has."""
    if not isinstance(node, list):
        return ""
    has = {0: "no entry", 1: "one entry, 0"}.get(len(node), f"{len(node)} entries, 0 to {len(node) - 1}")
    return f": {'.'.join(map(str, found))} has {has}"


def _meant(kind: type[Section], key: list[str | int], value: Any) -> Any:
    """The value that a short form on a command line means. A file has no short forms.

    A single number or word may stand for a list with one item. Where a key takes no null, null means the empty list,
    the default section, or false.
    """
    section: type[Section] | None = kind
    field = None
    for part in key:
        if isinstance(part, str):
            field = section.model_fields.get(part) if section else None
            section = section_in(field.annotation) if field else None
    if field is None or isinstance(key[-1], int):
        return value
    forms = [form for form in get_args(field.annotation) or () if form is not NoneType]
    nullable = NoneType in get_args(field.annotation)
    kinds = [get_origin(form) or form for form in (forms if nullable else [field.annotation])]
    if value is None and not nullable:
        empty = {tuple: [], dict: {}, bool: False, section: {}}
        return next((empty[one] for one in kinds if one in empty), value)
    if not isinstance(value, int | str) or kinds != [tuple] or section is not None:
        return value
    item = get_args(forms[0] if nullable else field.annotation)[0]
    numbers = int in (item, *get_args(item))  # for Annotated, the first argument
    return value if numbers and isinstance(value, str) else [value]


def _problem(kind: type[Section], problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}{did_you_mean(str(problem['loc'][-1]), _sibling_keys(kind, problem['loc']))}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    said = problem["msg"].removeprefix("Value error, ").split(", unable to parse")[0]
    said = OUR_WORDS.get(problem["type"], said.replace("Input should be", "must be"))
    # the values of a whole section would not help
    got = (
        ""
        if isinstance(problem["input"], dict)
        else f" (got {'null' if problem['input'] is None else reprlib.repr(problem['input'])})"
    )
    return f"{key}: {said}{got}" if key else said


def _sibling_keys(kind: type[Section], location: tuple[Any, ...]) -> list[str]:
    """The known keys of the section at this place."""
    section: Any = kind
    for part in location[:-1]:
        if not isinstance(part, int):
            section = section_in(section.model_fields[part].annotation) or section
    return list(section.model_fields)
