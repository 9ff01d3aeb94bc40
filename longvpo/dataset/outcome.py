"""What a stage has made so far."""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from longvpo.clips.pool import Pool
from longvpo.clips.rows import Clip, Dropped, Refusal, Scene, Triplet, features, unanswered
from longvpo.clips.shortfall import loosening, reasons
from longvpo.dataset.drafts import Asked, Balance, Draft
from longvpo.errors import NothingLeftError
from longvpo.recipe.sections import FilterSection
from longvpo.release.parquet import write_shards


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

    def check_some(self, journal: Path, working: Path) -> None:
        """Raises NothingLeftError when no triplet was left; the table of what was dropped is kept in `working`, and
        blocks that hold no answers are not.

        Args:
            journal: where the answers are.
            working: the build's folder of work.
        """
        table = working / "dropped"
        shutil.rmtree(table, ignore_errors=True)  # counts of an earlier run
        if self.triplets:
            return
        write_shards(table, (item.row() for item in self.dropped), features("dropped"))
        silent = unanswered(self.dropped)
        if silent and self.stage == 1:
            shutil.rmtree(working / "blocks", ignore_errors=True)
        dropped = Counter(item.filter for item in self.dropped)
        advice = (
            f"{silent}. Mend that, and run the same command again"
            if silent
            else "loosen these, context.clips or stage2.*, or give more videos, with another --output"
        )
        raise NothingLeftError(
            f"no triplet was left in stage {self.stage}: {reasons(dropped)}; {advice}; each is in {table} with its "
            f"reason, and the answers are kept: --journal {shlex.quote(str(journal))}",
            "" if silent else loosening(dropped),
        )
