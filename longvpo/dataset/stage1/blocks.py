"""The unit of a build's work: some clips decoded together, and the drafts that were written about them.

The rule: a block is kept in one file when it is done, and a kept block is never done again. There is one exception:
where another model writes now, such as a branch that moved, because a build holds the answers of one model. Its frames
are decoded while the writer still works on the block before; video.cache_gb bounds the frames in memory.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.clips.pool import MEASURED, Context, Pool, choose_context
from longvpo.clips.rows import Clip, Dropped, Refusal
from longvpo.dataset.drafts import Draft
from longvpo.dataset.material import block_size
from longvpo.errors import LongVPOError, say
from longvpo.io.files import whole_file
from longvpo.recipe.dataset import DatasetRecipe

# fields of a draft, in the order in which a block's file has them
KEPT = ("number", "anchor", "seed", "question", "prompt", "chosen", "rejected", "outside", "refusal")


@dataclass
class Cue(Draft):
    """A draft about one clip."""

    stage = 1
    anchor: int  # among the clips of its block
    outside: int = -1  # the clip of the block that the rejected answer was written from


@dataclass
class Block:
    """What was made of some candidates."""

    pool: Pool
    drafts: list[Cue]
    questions: np.ndarray  # unit vectors, of shape (drafts, dimension)
    dropped: list[Dropped]
    bad: list[int]  # candidates that gave no clip
    counts: Counter[str] = field(default_factory=Counter)  # tokens, and forms of the answers
    writer: str = ""  # model@revision; blocks of earlier versions do not say it

    def save(self, path: Path) -> None:
        record = {
            "clips": [asdict(clip) for clip in self.pool.clips],
            "drafts": [{name: draft[name] for name in KEPT} for draft in map(asdict, self.drafts)],
            "dropped": [asdict(item) for item in self.dropped],
            "bad": self.bad,
            "counts": self.counts,
            "writer": self.writer,
        }
        with whole_file(path) as file:
            np.savez(
                file,
                **{name: getattr(self.pool, name) for name in MEASURED},
                questions=self.questions,
                said=np.array(json.dumps(record)),
            )

    @classmethod
    def load(cls, path: Path) -> Block:
        with np.load(path) as arrays:
            record = _record(arrays)
            unknown = np.zeros((len(record["clips"]), 2), int)  # blocks of earlier versions have no sizes
            measured, questions = [arrays.get(name, unknown) for name in MEASURED], arrays["questions"]
        for item in record["drafts"]:
            item["refusal"] = Refusal(**item["refusal"]) if item["refusal"] else None
        return cls(
            pool=Pool([Clip(**item) for item in record["clips"]], *measured),
            drafts=[Cue(**item) for item in record["drafts"]],
            questions=questions,
            dropped=[Dropped(**item) for item in record["dropped"]],
            bad=record["bad"],
            counts=Counter(record["counts"]),
            writer=record.get("writer", ""),
        )


def writes_from_all(recipe: DatasetRecipe) -> bool:
    """Whether a rejected answer is written from all distractors of its context."""
    return recipe.stage1 is not None and recipe.stage1.rejected_from == "all"


def check_blocks(recipe: DatasetRecipe) -> None:
    """Raises LongVPOError where contexts come from blocks, and are longer than a block is."""
    longest, size = max(recipe.context.clips or (2,)), block_size(recipe)
    if writes_from_all(recipe) and longest > size:
        raise LongVPOError(
            f"with stage1.rejected_from=all a context is drawn from a block of {size} clips, and context.clips asks "
            f"for {longest}. Raise video.cache_gb, which holds three blocks, or lower context.clips"
        )


def block_context(draft: Cue, pool: Pool, question: np.ndarray, recipe: DatasetRecipe) -> Context | Refusal:
    """The context of a draft out of its block: the same whenever it is drawn, before the answers or after.

    Args:
        pool: the block's.
        question: unit vector.
    """
    rng = np.random.default_rng([recipe.seed, draft.number, 1])
    return choose_context(pool, draft.anchor, question, recipe.context, recipe.filters, rng)


def is_kept(path: Path, writer: str) -> bool:
    """Whether a block was written, and by this writer."""
    if not path.is_file():
        return False
    with np.load(path) as arrays:
        before = _record(arrays).get("writer", "")
    if before not in ("", writer):
        say(f"{path.name} is by {before}, and {writer} writes it again; the journal keeps the answers of both")
        return False
    return True


def _record(arrays: Any) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(str(arrays["said"]))
    return record
