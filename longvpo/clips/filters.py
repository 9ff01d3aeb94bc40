"""Which clips may stand beside an anchor.

The rule: a filter is a pure function; it returns None, or the reason for which something is refused and the score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from longvpo.clips.rows import Dropped

NO_ANSWER = ("writer", "cut", "empty", "caption")  # filters of what a model did not write


@dataclass(frozen=True)
class Refusal:
    """Which filter refused, why, and by which score where there is one."""

    filter: str
    reason: str
    score: float | None = None

    def dropped(self, id: str, triplet: dict[str, Any] | None = None) -> Dropped:
        """What it refuses, as a row; `triplet` as far as it was made."""
        return Dropped(id, self.filter, self.reason, self.score, triplet or {})


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
    # two captions that share the same words with the question differ only by rounding
    return captions >= captions[anchor] - 1e-4 if active else np.zeros(len(captions), bool)
