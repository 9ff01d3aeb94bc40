"""What a stage has made so far."""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from longvpo.clips.pool import Pool
from longvpo.clips.rows import Clip, Dropped, Refusal, Scene, Triplet, unanswered
from longvpo.dataset.drafts import Asked, Balance, Draft
from longvpo.errors import LongVPOError
from longvpo.recipe.sections import FilterSection


@dataclass
class Outcome:
    """The triplets of a stage so far, and what the next ones depend on."""

    stage: int
    rows: int = 0  # in the sources' tables, those that cannot be used included
    triplets: list[Triplet] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # calls, tokens, and forms of the answers
    tried: Counter[str] = field(default_factory=Counter)  # drafts, by task
    asked: Asked = field(default_factory=Asked)
    balance: Balance = field(default_factory=Balance)
    # stage 1
    pool: Pool = field(default_factory=Pool)
    uses: Counter[str] = field(default_factory=Counter)  # how often each clip is a distractor, by clip_id
    replaced: Counter[str] = field(default_factory=Counter)  # distractors, by filter
    # stage 2
    videos: dict[int, list[list[Scene]]] = field(default_factory=dict)  # parts of the videos that were captioned

    @property
    def clips(self) -> list[Clip]:
        """All clips of stage 1, and all scenes of stage 2 in the order of their videos."""
        scenes = [scene for number in sorted(self.videos) for part in self.videos[number] for scene in part]
        return self.pool.clips or [*scenes]

    def out_of_balance(self, draft: Draft, filters: FilterSection) -> Refusal | None:
        """The refusal of a whole draft for what its answers are in the other rows; one that is let in is counted."""
        refusal = self.balance.refusal(draft) if filters.balance else None
        if refusal is None:
            self.balance.add(draft)
        return refusal

    def check_some(self, journal: Path, blocks: Path | None = None) -> None:
        """Raises LongVPOError when no triplet was left; blocks that hold no answers are then not kept either."""
        if self.triplets:
            return
        reasons = ", ".join(f"{n} {name}" for name, n in Counter(item.filter for item in self.dropped).most_common())
        silent = unanswered(self.dropped)
        if silent and blocks:
            shutil.rmtree(blocks, ignore_errors=True)
        advice = (
            f"{silent}. Mend that, and run the same command again"
            if silent
            else "loosen filters.*, context.clips or stage2.*, or give more videos, with another --output"
        )
        raise LongVPOError(
            f"no triplet was left in stage {self.stage}: {reasons}; {advice}; the answers are kept: --journal "
            f"{shlex.quote(str(journal))}"
        )
