"""Data for the page: scripts that each pass one JSON text, because a page on a disk cannot fetch files.

The rule: what strangers wrote is a text inside a text. No script, no tag and no line of it can end that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from longvpo.io.files import write_text

DATA = "data"  # the folder of parts, beside the page
ROWS = 250  # rows of a part: a row is read together with its part
ESCAPED = {"<": "\\u003c", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def script(name: str, value: Any) -> str:
    """The script of one part: a call with its name and its value as a JSON text."""
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    literal = json.dumps(text, ensure_ascii=False)
    for character, escape in ESCAPED.items():
        literal = literal.replace(character, escape)
    return f"longvpo.part({json.dumps(name)}, {literal});\n"


def write_part(page: Path, name: str, value: Any) -> None:
    write_text(page / DATA / f"{name}.js", script(name, value))


def write_table(page: Path, name: str, index: dict[str, Any], items: Sequence[Any]) -> dict[str, int]:
    """A table: its index, which lists and filters need, and its items in parts that are read when one is looked at.

    Args:
        index: columns of equal length.

    Returns:
        How many items there are, and how many a part holds.
    """
    write_part(page, name, index)
    for number, start in enumerate(range(0, len(items), ROWS)):
        write_part(page, f"{name}-{number:04}", items[start : start + ROWS])
    return {"count": len(items), "size": ROWS}


def facet(values: Iterable[str]) -> dict[str, Any]:
    """A column of few different texts: these, and the number of each item's."""
    numbers: dict[str, int] = {}
    of = [numbers.setdefault(value, len(numbers)) for value in values]
    return {"names": list(numbers), "of": of}


def _finite(value: Any) -> Any:
    """JSON has no infinite numbers; floats get 4 digits, because the page shows no more."""
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
