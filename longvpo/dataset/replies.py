"""What models reply, read into questions and verdicts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from longvpo.clips.filters import Refusal
from longvpo.models.replies import plain
from longvpo.models.text import find_json, normalise


def parse_question(text: str) -> tuple[str, str] | Refusal:
    """Question and answer from a JSON object, or from `Question: ... Answer: ...`."""
    found = find_json(text)
    if found is not None:
        parts = [found.get("question"), found.get("answer")]
    else:
        lines = re.search(r"question\s*:\s*(.+?)\s*answer\s*:\s*(.+)", plain(text), re.IGNORECASE | re.DOTALL)
        parts = list(lines.groups()) if lines else [None, None]
    if not all(isinstance(part, str) for part in parts):
        return Refusal("form", f"the writer did not give a question and an answer: {text[:200]!r}", 0.0)
    question, answer = (str(part).strip().strip("*").strip() for part in parts)
    if not normalise(question) or not normalise(answer):  # an ellipsis is the form that was asked for, repeated
        return Refusal("form", "the writer left the question or the answer empty", 0.0)
    return question, answer


@dataclass(frozen=True)
class ScenesQuestion:
    """A question about several scenes of a long video."""

    question: str
    answer_type: str
    trace: str
    scenes: list[int]  # numbers, ascending


def parse_scenes_question(text: str, count: int, check_trace: bool) -> ScenesQuestion | Refusal:
    """A question under prompts.SCENES_QUESTION_SCHEMA.

    Args:
        count: of scenes that its writer read about, numbered from 1.
        check_trace: whether the trace must cite the scenes that the question needs, and no others.
    """
    found = find_json(text) or {}
    question, trace, scenes = (found.get(name) for name in ("question", "trace", "scenes"))
    if not isinstance(question, str) or not isinstance(trace, str) or not isinstance(scenes, list):
        return Refusal("form", f"the writer did not give question, trace and scenes: {text[:200]!r}", 0.0)
    if not normalise(question):
        return Refusal("form", "the writer left the question empty", 0.0)
    cited = sorted({int(number) for number in scenes if re.fullmatch(r"-?\d{1,9}", str(number))})
    if len(cited) < 2:
        return Refusal("too_few_scenes", f"the question cites {len(cited)} scenes: {scenes!r:.100}", len(cited))
    unknown = [number for number in cited if not 1 <= number <= count]
    if unknown:
        return Refusal("unknown_scene", f"there is no scene #{unknown[0]} among 1 to {count}", 0.0)
    traced = {int(number) for number in re.findall(r"scenes?\s*#?\s*(\d{1,9})", trace, re.IGNORECASE)}
    if check_trace and traced != set(cited):
        return Refusal("trace", f"the trace cites scenes {sorted(traced)}, the question {cited}", 0.0)
    return ScenesQuestion(question.strip(), str(found.get("answer_type", "")), trace.strip(), cited)


def parse_right(text: str) -> Refusal | None:
    """The judge's verdict on a rejected answer, from a JSON object; one that is right after all is refused."""
    found = find_json(text) or {}
    verdict = found.get("right")
    if not isinstance(verdict, bool):
        return Refusal("judge", f"the judge gave no verdict: {text[:200]!r}", 0.0)
    return Refusal("judge", f"the rejected answer is right: {found.get('reason') or ''}", 1.0) if verdict else None


def parse_verdict(text: str) -> Refusal | None:
    """The judge's verdict from a JSON object, or from a text that begins with yes or no."""
    found = find_json(text) or {}
    verdict = found.get("specific")
    if verdict is None:
        begin = re.match(r"\W*(yes|no)\b", text, re.IGNORECASE)
        verdict = begin.group(1).lower() == "yes" if begin else None
    if not isinstance(verdict, bool):
        return Refusal("judge", f"the judge gave no verdict: {text[:200]!r}", 0.0)
    return None if verdict else Refusal("judge", f"not specific: {found.get('reason') or text[:200]}", 0.0)
