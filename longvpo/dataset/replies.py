"""What models are asked to reply, and what is read in their replies: questions and verdicts."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field

from longvpo.clips.rows import Refusal
from longvpo.models.replies import plain
from longvpo.models.text import AnswerVerdict, Aside, Expected, find_json, normalise
from longvpo.recipe.prompts import ANSWER_TYPES

ANSWER = re.compile(r"answer\s*:", re.IGNORECASE)


class Question(Expected):  # about one clip
    question: str
    answer: str


class ScenesQuestion(Expected):  # about a long video
    question: str
    answer_type: Aside = Field("", json_schema_extra={"enum": list(ANSWER_TYPES)})
    trace: str
    scenes: list[Any] = Field(json_schema_extra={"items": {"type": "integer"}, "minItems": 2, "maxItems": 12})


class Verdict(Expected):  # on a question; in this order: first think, then say
    reason: Aside = ""
    specific: bool


def parse_question(text: str) -> tuple[str, str] | Refusal:
    """Question and answer from a JSON object, or from `Question: ... Answer: ...`."""
    said = Question.read(text)
    parts: tuple[str, ...] = (said.question, said.answer) if said else ()
    if find_json(text) is None:
        told = plain(text)
        asks = re.search(r"question\s*:", told, re.IGNORECASE)
        says = ANSWER.search(told, asks.end() + 1) if asks else None
        parts = (told[asks.end() : says.start()], told[says.end() :]) if asks and says else ()
    if not parts:
        return Refusal("form", f"the writer did not give a question and an answer: {text[:200]!r}", 0.0)
    question, answer = (part.strip().strip("*").strip() for part in parts)
    if not normalise(question) or not normalise(answer):  # an ellipsis is the form that was asked for, repeated
        return Refusal("form", "the writer left the question or the answer empty", 0.0)
    return question, answer


def parse_scenes_question(text: str, count: int, check_trace: bool) -> ScenesQuestion | Refusal:
    """A question about several scenes, the numbers of its scenes in order.

    Args:
        count: the number of scenes that its writer read about, numbered from 1.
        check_trace: whether the trace must cite the scenes that the question needs, and no others.
    """
    said = ScenesQuestion.read(text)
    if said is None:
        return Refusal("form", f"the writer did not give question, trace and scenes: {text[:200]!r}", 0.0)
    if not normalise(said.question):
        return Refusal("form", "the writer left the question empty", 0.0)
    cited = sorted({int(number) for number in said.scenes if re.fullmatch(r"-?\d{1,9}", str(number))})
    if len(cited) < 2:
        return Refusal("too_few_scenes", f"the question cites {len(cited)} scenes: {said.scenes!r:.100}", len(cited))
    unknown = [number for number in cited if not 1 <= number <= count]
    if unknown:
        return Refusal("unknown_scene", f"scene #{unknown[0]} is not among 1 to {count}", 0.0)
    traced = {int(number) for number in re.findall(r"scenes?\s*#?\s*(\d{1,9})", said.trace, re.IGNORECASE)}
    if check_trace and traced != set(cited):
        return Refusal("trace", f"the trace cites scenes {sorted(traced)}, the question {cited}", 0.0)
    whole = {"question": said.question.strip(), "trace": said.trace.strip(), "scenes": cited}
    return said.model_copy(update=whole)


def parse_right(text: str) -> Refusal | None:
    """The judge's verdict on a rejected answer; one that is right after all is refused."""
    said = AnswerVerdict.read(text)
    if said and said.right:
        return Refusal("judge", f"the rejected answer is right: {said.reason}", 1.0)
    return None if said else _no_verdict(text)


def parse_verdict(text: str) -> Refusal | None:
    """The judge's verdict on a question, from a JSON object; from how the text begins where no object says it."""
    said, found = Verdict.read(text), find_json(text) or {}
    begin = re.match(r"\W*(yes|no)\b", text, re.IGNORECASE) if found.get("specific") is None else None
    if not said and not begin:
        return _no_verdict(text)
    specific = said.specific if said else begin and begin[1].lower() == "yes"
    return None if specific else Refusal("judge", f"not specific: {found.get('reason') or text[:200]}", 0.0)


def _no_verdict(text: str) -> Refusal:
    return Refusal("judge", f"the judge gave no verdict: {text[:200]!r}", 0.0)
