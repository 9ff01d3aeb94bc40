"""The unit of a build's work: some clips decoded together, and the drafts that were written about them.

The rule: a block is kept in one file when it is done, and a kept block is never done again. Its frames are decoded
while the writer still works on the block before; video.cache_gb bounds the frames in memory.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.errors import VideoError
from longvpo.filters import Refusal
from longvpo.io.files import whole_file
from longvpo.recipe.sections import SourceSection, VideoSection
from longvpo.sources import Candidate, OverlapError, open_clip
from longvpo.triplet import Clip, Dropped
from longvpo.video.frames import ClipFrames

SMALLEST = 8  # clips: a rejected answer needs another clip of the block
LARGEST = 256


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


@dataclass(frozen=True)
class Task:
    """A block to be made: candidates by their number, and how many drafts each is the anchor of."""

    path: Path
    candidates: dict[int, int]
    first: int  # number of the first draft

    @property
    def drafts(self) -> int:
        """How many are planned."""
        return sum(self.candidates.values())


@dataclass
class Material:
    """The candidates of all sources, numbered through, and what turns one into a clip with frames."""

    sources: list[SourceSection]  # of each candidate
    candidates: list[Candidate]
    frames_of: ClipFrames
    overlap: frozenset[str] = frozenset()

    def open(self, number: int) -> tuple[Clip, int] | Dropped:
        """A clip and the number of its frames, which are in memory from now on, or why there is none."""
        source, candidate = self.sources[number], self.candidates[number]
        try:
            clip = open_clip(source, candidate, self.overlap)
            return clip, len(self.frames_of(clip.reference))
        except OverlapError as error:
            return Dropped(candidate.clip_id(source.name), "overlap", str(error), 1.0)
        except VideoError as error:
            return Dropped(candidate.clip_id(source.name), "video", str(error))


def block_size(section: VideoSection, batch: int = 1) -> int:
    """Clips a block: three blocks of pictures of 16:9 fit in the memory for frames, the one in work and two ahead.

    Args:
        batch: of the writer; larger blocks hold whole ones.
    """
    clip = section.max_frames * section.short_side**2 * 16 / 9 * 3
    size = int(np.clip(section.cache_gb * 1e9 / 3 / clip, SMALLEST, LARGEST))
    return size // batch * batch or size


def opened(
    tasks: list[Task], material: Material, workers: int
) -> Iterator[tuple[Task, dict[int, tuple[Clip, int] | Dropped]]]:
    """The clips of each task; those of the next two are decoded by other threads meanwhile."""
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:

        def start(task: Task) -> dict[int, Future[tuple[Clip, int] | Dropped]]:
            return {number: pool.submit(material.open, number) for number in task.candidates}

        running = deque(start(task) for task in tasks[:1])
        try:
            for task, following in zip(tasks, [*tasks[1:], None], strict=True):
                if following:  # no thread waits for the last clip of a block
                    running.append(start(following))
                yield task, {number: future.result() for number, future in running.popleft().items()}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
