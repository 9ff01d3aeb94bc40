"""JSON in what a model wrote."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from longvpo.dataset.replies import Question, ScenesQuestion, Verdict
from longvpo.models.endpoint import Choice
from longvpo.models.text import AnswerVerdict, find_json, normalise


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Sure!\n```json\n{"a": {"b": "}"}}\n```\nDone {"c": 2}', {"a": {"b": "}"}}),
        ('a {brace} and {"a": "two\nlines"}', {"a": "two\nlines"}),
        ('{"a": "cut', None),
        ('["a"]', None),
        ('{"a":' * 3_000, None),
        ("", None),
    ],
)
def test_json_is_found_in_a_text(text: str, found: dict[str, Any] | None) -> None:
    assert find_json(text) == found


@pytest.mark.parametrize(
    ("found", "good"),
    [
        ({"specific": True, "reason": ""}, True),
        ({"specific": True, "reason": "", "more": 1}, True),
        ({"specific": True}, False),
        ({"specific": "true", "reason": ""}, False),
        ({"specific": 1, "reason": ""}, False),
        ({"specific": True, "reason": None}, False),
    ],
)
def test_an_object_fits_a_schema(found: dict[str, Any], good: bool) -> None:
    assert Verdict.stands_in(json.dumps(found)) is good


def test_schemas_are_those_of_old_journals() -> None:
    """A key of the journal has the schema in it: another one would ask everything again."""
    schemas = [one.as_schema() for one in (Question, Verdict, ScenesQuestion, AnswerVerdict, Choice)]
    digest = hashlib.sha256(json.dumps(schemas, sort_keys=True).encode()).hexdigest()
    assert digest == "a6c70323bbab48919a2aab86261f7c1f7be03e5a8d94d07d2eaf304265f3a7bd"
    assert [list(schema["properties"]) for schema in schemas[1:4:2]] == [["reason", "specific"], ["reason", "right"]]


def test_normal_forms_keep_numbers_apart() -> None:
    for one, other in (("3.5 m", "35 m"), ("2-1", "21"), ("at 10:30", "at 1030"), ("3,5", "35"), ("1/2", "12")):
        assert normalise(one) != normalise(other)
    for one, other in (("1,000 men.", "1000 men"), ("It's 3.5!", "its 3.5"), ("2 - 1", "2-1")):
        assert normalise(one) == normalise(other)
