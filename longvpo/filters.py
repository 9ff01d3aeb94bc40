"""Which clips may stand beside an anchor, and which answers make a pair.

The rule: a filter is a pure function; it returns None, or the reason for which something is refused and the score.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from longvpo.models.replies import plain
from longvpo.models.text import find_json, normalise
from longvpo.recipe.sections import FilterSection
from longvpo.triplet import Dropped

NO_ANSWER = ("writer", "cut", "empty", "caption")  # filters of what a model did not write

# answers that say nothing about the video; matched against normalised text
SAYS_NOTHING = re.compile(
    r"^(i am|im|i apologize|i cannot|i cant|i dont|i do not|sorry|unfortunately|as an ai)\b"
    r"|\b(cannot|can not|cant|could not|unable to) (be )?"
    r"(determine|determined|tell|answer|answered|see|provide|identify)\b"
    r"|\b(is|are|was|were) not (shown|visible|mentioned|specified|provided|depicted)\b"
    r"|\b(isnt|arent|wasnt|werent) (shown|visible|mentioned|specified|provided|depicted)\b"
    r"|\b(video|clip) (does|do|did) ?nt?( not)? (show|mention|provide|depict|contain)\b"
    r"|\bno (information|indication|mention)\b"
)


@dataclass(frozen=True)
class Refusal:
    """Which filter refused, why, and by which score where there is one."""

    filter: str
    reason: str
    score: float | None = None


def unanswered(dropped: Sequence[Dropped]) -> str:
    """What the models did, where most drafts and captions have no answer that can be used; else nothing."""
    drafts = [item for item in dropped if item.triplet or item.filter == "caption"]
    silent = [item for item in drafts if item.filter in NO_ANSWER]
    if not silent or 2 * len(silent) < len(drafts):
        return ""
    (often, _), *_ = Counter(item.reason for item in silent).most_common(1)
    return f"the models gave no answer that can be used {len(silent)} times of {len(drafts)}, most often: {often}"


def too_similar(visual: np.ndarray, threshold: float | None) -> np.ndarray:
    """Clips that look too much like the anchor (paper, section 3.3).

    Args:
        visual: cosine of the anchor's frames to every clip, of shape (clips,).

    Returns:
        bool of shape (clips,): True is refused.
    """
    return np.zeros(len(visual), bool) if threshold is None else visual > threshold


def not_specific(captions: np.ndarray, anchor: int, active: bool) -> np.ndarray:
    """Clips whose caption is at least as close to the question as the anchor's: they might answer it too.

    Args:
        captions: cosine of the question to every clip's caption, of shape (clips,).

    Returns:
        bool of shape (clips,): True is refused.
    """
    # two captions that share the same words with the question differ by rounding alone
    return captions >= captions[anchor] - 1e-4 if active else np.zeros(len(captions), bool)


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


def agree(one: str, other: str, similarity: float, threshold: float | None) -> bool:
    """Whether two answers say the same.

    Args:
        similarity: cosine of the answers.
        threshold: above it they do; None: only equal ones do.
    """
    return normalise(one) == normalise(other) or (threshold is not None and similarity > threshold)


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


def no_pair(chosen: str, rejected: str, similarity: float, section: FilterSection) -> Refusal | None:
    """Chosen and rejected must both say something, and must differ in words, in meaning, and not in length alone.

    Args:
        similarity: cosine of the two answers.
    """
    words = {"chosen": len(normalise(chosen).split()), "rejected": len(normalise(rejected).split())}
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        if not words[name]:
            return Refusal("empty", f"the {name} answer is empty", 0.0)
        said = SAYS_NOTHING.search(normalise(answer))
        if section.refusals and said:
            return Refusal("refusal", f"the {name} answer says nothing about the video: {said.group()!r}", 1.0)
    if normalise(chosen) == normalise(rejected):
        return Refusal("equal", "chosen and rejected are equal", 1.0)
    if section.answer_threshold is not None and similarity > section.answer_threshold:
        return Refusal("near_equal", "chosen and rejected say nearly the same", similarity)
    ratio = max(words.values()) / min(words.values())
    if section.length_ratio is not None and ratio > section.length_ratio:
        return Refusal("length_ratio", f"chosen has {words['chosen']} words, rejected {words['rejected']}", ratio)
    return None


def asked_before(question: np.ndarray, before: np.ndarray, threshold: float | None) -> Refusal | None:
    """A question that was asked of another clip is not specific to this one.

    Args:
        question: unit vector.
        before: unit vectors of the questions that were let in, of shape (n, dimension).
    """
    if threshold is None or not len(before):
        return None
    closest = float((before @ question).max())
    return (
        Refusal("near_duplicate", "nearly the same question was asked before", closest)
        if closest > threshold
        else None
    )
