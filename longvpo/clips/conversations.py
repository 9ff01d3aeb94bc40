"""A question and its answers in rows from other tools: as texts, or in conversations with tags for their video.

The rule: one question, one video. A conversation that says more, such as an earlier turn or a system prompt, is left
out with its reason. A part of it would be another question.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from decimal import Decimal
from typing import Any, NamedTuple

from longvpo.clips.cells import as_text, check_whole, says_nothing
from longvpo.errors import VideoError

ROLES = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "model"), "assistant"),
    "system": "system",
}
TAG = re.compile(r"<(video|image|audio)>")
TAGS = re.compile(rf"\s*(?:{TAG.pattern}\s*)+")


class LeftOutError(Exception):
    """Why a row is left out, the same for all rows of that kind; and what one of them says."""

    def __init__(self, reason: str, said: str = "") -> None:
        super().__init__(reason)
        self.reason, self.said = reason, said


class Turn(NamedTuple):
    role: str
    text: str


def question_in(cell: Any, pictures: int, answered: bool) -> str:
    """The question in a cell, without the tag of its video.

    Args:
        pictures: how many pictures the row names in place of a video; 0: it names a video.
        answered: the chosen answer is in the same cell.

    Raises:
        LeftOutError: it is not one question about one video.
    """
    turns = turns_in(cell, "prompt")
    if any(turn.role == "system" and turn.text.strip() for turn in turns):
        raise LeftOutError("it has a system prompt")
    others = [turn for turn in turns if turn.role != "system"]
    if [turn.role for turn in others] not in (["user"], ["user", "assistant"] if answered else ["user"]):
        raise LeftOutError("it has several turns" if len(others) > 1 else "it asks nothing")
    return _untagged(others[0].text, pictures)


def answer_in(cell: Any, column: str) -> str:
    """The one answer in a cell. Raises LeftOutError where there is none, or more than one."""
    answers = [turn.text for turn in turns_in(cell, column, "assistant") if turn.role == "assistant"]
    if len(answers) != 1:
        raise LeftOutError("it has several turns" if answers else f"its {column} holds no answer")
    return answers[0]


def turns_in(cell: Any, column: str, speaker: str = "user") -> list[Turn]:
    """A text, a message or a list of messages as turns. Raises LeftOutError where it is none of these.

    Args:
        speaker: who says a text that is not a message.
    """
    if isinstance(cell, str) and cell.lstrip().startswith(("[{", "{")):  # a table of text
        with suppress(ValueError, RecursionError):
            read = json.loads(cell)
            some = read if isinstance(read, list) else [read]
            cell = read if all(isinstance(one, dict) and {"role", "from"} & one.keys() for one in some) else cell
    if isinstance(cell, list) and cell and all(isinstance(one, dict) for one in cell):
        return [_turn(one, column) for one in cell]
    return [_turn(cell, column) if isinstance(cell, dict) else Turn(speaker, _text(cell, column))]


def _turn(message: dict[str, Any], column: str) -> Turn:
    said = message.get("role", message.get("from"))
    role = ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        raise LeftOutError(f"its {column} is not a text or messages", f"a message of {said!r}")
    content = message.get("content", message.get("value"))
    if isinstance(content, list):  # parts, as in {"type": "text", "text": ...}
        content = "".join(_part(part, column) for part in content)
    return Turn(role, _text(content, column))


def _part(part: Any, column: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return _text(part.get("text"), column)
    if kind in ("video", "image", "audio"):
        return f"<{kind}>"
    raise LeftOutError(f"its {column} is not a text or messages", f"a part {kind!r}")


def _text(value: Any, column: str) -> str:
    if says_nothing(value) and not isinstance(value, list):
        return ""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return as_text(value)
    if not isinstance(value, str):
        raise LeftOutError(f"its {column} is not a text or messages", type(value).__name__)
    try:
        check_whole(column, value)
    except VideoError as error:
        raise LeftOutError(str(error)) from None
    return value


def _untagged(text: str, pictures: int) -> str:
    """A question without the tags that stand for its one video, or for its frames.

    Our templates put the video first, wherever the tag was.
    """
    tags = TAG.findall(text)
    videos, images = tags.count("video"), tags.count("image")
    if videos > 1 or (videos and images) or "audio" in tags:
        raise LeftOutError("it shows more than one video")
    if images > max(pictures, 1):
        raise LeftOutError("it shows images beside its video")
    bare = TAGS.sub(lambda tag: " " if tag.start() > 0 and tag.end() < len(text) else "", text) if tags else text
    if says_nothing(bare):
        raise LeftOutError("it asks nothing")
    return bare
