"""The unit of a build's work: some clips decoded together, and the drafts that were written about them.

The rule: a block is kept in one file when it is done, and a kept block is never done again. Its frames are decoded
while the writer still works on the block before; video.cache_gb bounds the frames in memory.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.clips.filters import Refusal
from longvpo.clips.rows import Clip, Dropped
from longvpo.io.files import whole_file


@dataclass
class Draft:
    """A triplet in the making; once it has a refusal no later step touches it."""

    number: int
    anchor: int  # among the clips of its block
    seed: int
    question: str = ""
    prompt: str = ""
    chosen: str = ""
    rejected: str = ""
    outside: int = -1  # the clip of the block that the rejected answer was written from
    refusal: Refusal | None = None

    @property
    def id(self) -> str:
        return f"stage1-{self.number:06d}"


@dataclass
class Block:
    """What was made of some candidates."""

    clips: list[Clip]
    frames: np.ndarray  # number of sampled frames, of shape (clips,)
    visual: np.ndarray  # unit vectors of the frames, of shape (clips, dimension)
    captions: np.ndarray  # unit vectors of the captions, of shape (clips, dimension)
    drafts: list[Draft]
    questions: np.ndarray  # unit vectors, of shape (drafts, dimension)
    dropped: list[Dropped]
    bad: list[int]  # candidates that gave no clip
    counts: dict[str, int] = field(default_factory=Counter)  # tokens, and forms of the answers

    def save(self, path: Path) -> None:
        said = {
            "clips": [asdict(clip) for clip in self.clips],
            "drafts": [asdict(draft) for draft in self.drafts],
            "dropped": [asdict(item) for item in self.dropped],
            "bad": self.bad,
            "counts": self.counts,
        }
        with whole_file(path) as file:
            np.savez(
                file,
                frames=self.frames,
                visual=self.visual,
                captions=self.captions,
                questions=self.questions,
                said=np.array(json.dumps(said)),
            )

    @classmethod
    def load(cls, path: Path) -> Block:
        with np.load(path) as arrays:
            said: dict[str, Any] = json.loads(str(arrays["said"]))
            vectors = {name: arrays[name] for name in ("frames", "visual", "captions", "questions")}
        drafts = [Draft(**item) for item in said["drafts"]]
        for draft, item in zip(drafts, said["drafts"], strict=True):
            draft.refusal = Refusal(**item["refusal"]) if item["refusal"] else None
        return cls(
            clips=[Clip(**item) for item in said["clips"]],
            drafts=drafts,
            dropped=[Dropped(**item) for item in said["dropped"]],
            bad=said["bad"],
            counts=said["counts"],
            **vectors,
        )
