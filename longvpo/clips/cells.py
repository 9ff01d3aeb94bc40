"""What a cell of a table says, and whether it says anything.

The rule: a value that is missing never becomes a text. `None` and `NaN` are not captions, questions or answers.
"""

from __future__ import annotations

import re
import reprlib
import unicodedata
from decimal import Decimal
from typing import Any

from longvpo.errors import VideoError
from longvpo.io.private import public

BRACES = re.compile(r"\{([^{}]+)\}")
# What programs write as text where a table has nothing; no caption and no question is one of these
NOTHING = {"none", "null", "nan", "nat", "<na>", "n/a", "na", "#n/a", r"\n", "undefined"}


def cell(row: dict[str, Any], column: str) -> Any:
    """A row's value; a dot in the name goes into what the cell holds. None where the row lacks it.

    Several cells make one value where the name has them in braces, as in `{id}/{part.name}.mp4`.
    """
    if column in row:
        return row[column]
    if "{" in column:
        cells = {name: cell(row, name) for name in BRACES.findall(column)}
        if any(is_empty(value) for value in cells.values()):
            return None
        return BRACES.sub(lambda found: str(cells[found[1]]), column)
    value: Any = row
    for part in column.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return value


def columns_of(column: str, names: list[str]) -> list[str]:
    """The columns of a table that `cell` looks into for a name."""
    if column in names:
        return [column]
    if "{" in column:
        return [name for part in BRACES.findall(column) for name in columns_of(part, names)]
    return [column.split(".")[0]]


def is_empty(value: Any) -> bool:
    """Whether a cell says nothing: no value, NaN, blanks, or a list of such."""
    if isinstance(value, float | Decimal):
        return value != value
    if isinstance(value, list):
        return all(is_empty(item) for item in value)
    return value is None or (isinstance(value, str) and not is_seen(value))


def is_seen(text: str) -> bool:
    """Whether a text has a character that is seen: no blank, and not one that only joins or steers others."""
    return any(not one.isspace() and unicodedata.category(one) not in ("Cf", "Cc") for one in text)


def says_nothing(value: Any) -> bool:
    """Whether a caption or a question says nothing: it is empty, or what programs write for that, such as `None`."""
    return is_empty(value) or (isinstance(value, str) and value.strip().casefold() in NOTHING)


def shown(value: Any) -> str:
    """A cell in a reason: short, and without folders and keys."""
    return reprlib.repr(public(value))


def question_of(row: dict[str, Any], video: str) -> tuple[str, tuple[str, ...]]:
    """The question in a row, and its right answers: where the cell holds a list, each of them is right.

    Args:
        video: the video that the row is about.

    Raises:
        VideoError: one is missing, is not a text, or is damaged.
    """
    question, answer = cell(row, "question"), cell(row, "answer")
    if says_nothing(question):
        raise VideoError(f"{video} has no question")
    if is_empty(answer):
        raise VideoError(f"{video} has no answer")
    if isinstance(question, list | dict | bytes):
        raise VideoError(f"{video}: its question is not a text: {shown(question)}")
    said = as_text(question)
    answers = texts_of(row, "answer", video)
    check_whole("question", said)
    return said, answers


def texts_of(row: dict[str, Any], column: str, video: str) -> tuple[str, ...]:
    """The different texts in a cell, one or a list of them; none where it says nothing.

    Raises:
        VideoError: one is not a text, or is damaged.
    """
    found = tuple(dict.fromkeys(_texts(cell(row, column), column, video)))
    check_whole(column, "".join(found))
    return found


def check_whole(column: str, text: str) -> None:
    """Raises VideoError when a text of this column holds half a character."""
    if writable(text) != text:
        raise VideoError(f"its {column} holds half a character: the text was truncated, or written by UTF-16")


def writable(text: str) -> str:
    """A text as it can be written to a file: without halves of characters."""
    return text.encode(errors="replace").decode()


def _texts(value: Any, column: str, video: str) -> list[str]:
    if is_empty(value):
        return []
    if isinstance(value, list):
        return [text for item in value for text in _texts(item, column, video)]
    if isinstance(value, dict | bytes):
        raise VideoError(f"{video}: its {column} is not a text: {shown(value)}")
    return [as_text(value)]


def as_text(value: Any) -> str:
    """A number as people write it: tables make 3 a 3.0 where another row has none."""
    if isinstance(value, float | Decimal) and value == value // 1:
        value = int(value)
    return str(value).strip()
