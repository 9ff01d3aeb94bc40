"""JSON objects in what a model wrote, which may stand in a fence or between sentences."""

from __future__ import annotations

import string
from typing import Any

from longvpo.models.replies import objects, plain

KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}


def find_json(text: str) -> dict[str, Any] | None:
    """The first JSON object in a text, its strings as plain text; None where there is none that is whole."""
    return next(({name: _plain(value) for name, value in found.items()} for found, _, _ in objects(text)), None)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return plain(value) if isinstance(value, str) else value


def fits(found: dict[str, Any], schema: dict[str, Any]) -> bool:
    """Whether an object has all keys that a schema without nesting requires, and values of its types."""
    return all(key in found for key in schema["required"]) and all(
        isinstance(found[key], KINDS[kind["type"]]) and isinstance(found[key], bool) == (kind["type"] == "boolean")
        for key, kind in schema["properties"].items()
        if key in found
    )


def normalise(text: str) -> str:
    """Lower case, no punctuation, single spaces: the form in which answers are compared."""
    return " ".join(text.lower().translate(str.maketrans("", "", string.punctuation + "’")).split())
