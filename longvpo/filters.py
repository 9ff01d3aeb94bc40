"""Which clips may stand beside an anchor, and which answers make a pair.

The rule: a filter is a pure function; it returns None, or the reason for which something is refused.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Refusal:
    """Which filter refused, why, and by which score where there is one."""

    filter: str
    reason: str
    score: float | None = None


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
    """Question and answer from `Question: ... Answer: ...`."""
    found = re.search(r"question\s*:\s*(.+?)\s*answer\s*:\s*(.+)", text, re.IGNORECASE | re.DOTALL)
    if not found:
        return Refusal("form", f"the writer did not keep to 'Question: ... Answer: ...': {text[:200]!r}")
    question, answer = (part.strip().strip("*").strip() for part in found.groups())
    if not question or not answer:
        return Refusal("form", "the writer left the question or the answer empty")
    return question, answer


def no_pair(chosen: str, rejected: str, similarity: float | None, threshold: float | None) -> Refusal | None:
    """Chosen and rejected must differ, in words and, below a cosine of `threshold`, in meaning."""
    if not normalise(rejected):
        return Refusal("answers", "the rejected answer is empty")
    if normalise(chosen) == normalise(rejected):
        return Refusal("answers", "chosen and rejected are equal", 1.0)
    if threshold is not None and similarity is not None and similarity > threshold:
        return Refusal("answers", "chosen and rejected say nearly the same", similarity)
    return None


def normalise(text: str) -> str:
    """Lower case, no punctuation, single spaces: the form in which answers are compared."""
    return " ".join(text.lower().translate(str.maketrans("", "", string.punctuation)).split())
