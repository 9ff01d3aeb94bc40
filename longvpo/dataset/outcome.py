"""What a stage has made so far."""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from longvpo.clips.filters import unanswered
from longvpo.clips.rows import Dropped, Scene, Triplet
from longvpo.errors import LongVPOError


@dataclass
class Outcome:
    """The triplets so far, and what the next ones depend on."""

    triplets: list[Triplet] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    replaced: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    anchors: int = 0
    questions: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)))  # unit vectors of what was let in
    uses: Counter[str] = field(default_factory=Counter)  # of clips as distractors, by clip_id


@dataclass
class Reasoned:
    """The triplets so far, and what the next ones depend on."""

    triplets: list[Triplet] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    tried: Counter[str] = field(default_factory=Counter)  # questions, by task
    videos: dict[int, list[list[Scene]]] = field(default_factory=dict)  # parts of those that were captioned
    questions: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)))  # unit vectors

    @property
    def scenes(self) -> list[Scene]:
        """All that were captioned, in the order of their videos."""
        return [scene for number in sorted(self.videos) for part in self.videos[number] for scene in part]


def check_some(
    stage: int, triplets: list[Triplet], dropped: list[Dropped], journal: Path, blocks: Path | None = None
) -> None:
    """Raises LongVPOError when no triplet was left; blocks that hold no answers are then not kept either."""
    if triplets:
        return
    reasons = ", ".join(f"{n} {name}" for name, n in Counter(item.filter for item in dropped).most_common())
    what = unanswered(dropped)
    if what:
        if blocks:
            shutil.rmtree(blocks, ignore_errors=True)
        raise LongVPOError(
            f"no triplet was left in stage {stage}: {reasons}; {what}. Mend that, and run the same command again; the "
            f"answers are kept: --journal {shlex.quote(str(journal))}"
        )
    raise LongVPOError(
        f"no triplet was left in stage {stage}: {reasons}; loosen filters.*, context.clips or stage2.*, or give more "
        f"videos, with another --output; the answers are kept: --journal {shlex.quote(str(journal))}"
    )
