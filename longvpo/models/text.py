"""What is read in a text that a model wrote: JSON objects, which may stand in a fence or between sentences."""

from __future__ import annotations

import re
import string
from functools import cache
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from longvpo.models.replies import objects, plain


class Expected(BaseModel):
    """A JSON object that a model is asked for."""

    model_config = ConfigDict(strict=True)

    @classmethod
    @cache
    def as_schema(cls) -> dict[str, Any]:
        """The JSON schema to which a server is held. Journal keys have it: after a change all would be asked again."""
        found = cls.model_json_schema()["properties"]
        kinds = {
            name: {key: kind[key] for key in kind if key not in ("title", "default")} for name, kind in found.items()
        }
        return {"type": "object", "properties": kinds, "required": list(kinds), "additionalProperties": False}

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The first object in a text, as far as it can be used: a field's default takes the place of a missing key."""
        try:
            return cls.model_validate(find_json(text))
        except ValidationError:
            return None

    @classmethod
    def stands_in(cls, text: str) -> bool:
        """Whether the first object in a text has every key, and under each what is read there."""
        found, read = find_json(text), cls.read(text)
        return (
            found is not None
            and read is not None
            and all(name in found and found[name] == said for name, said in read)
        )


Aside = Annotated[str, BeforeValidator(lambda value: str(value or ""))]  # read whatever stands there


class AnswerVerdict(Expected):
    """A judge's verdict on an answer; in this order: first think, then say."""

    reason: Aside = ""
    right: bool


def find_json(text: str) -> dict[str, Any] | None:
    """The first JSON object in a text, its strings as plain text; None where there is none that is whole."""
    return next(({name: _plain(value) for name, value in found.items()} for found, _, _ in objects(text)), None)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return plain(value) if isinstance(value, str) else value


# what keeps numbers apart: 3.5, 10:30, 2-1; not the comma of 1,000
BETWEEN_DIGITS = re.compile(r"(?<=\d)(?:[.:/–-]|,(?!\d{3}(?!\d)))(?=\d)")


def normalise(text: str) -> str:
    """Lower case, no punctuation, single spaces: the form in which answers are compared. 3.5 is not 35."""
    text = BETWEEN_DIGITS.sub(" ", text)
    return " ".join(text.lower().translate(str.maketrans("", "", string.punctuation + "’")).split())
