"""What stage 1 is made from: the clips of all sources, opened in blocks while other blocks are in work."""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.clips.long_videos import LongVideo, list_long_videos, unpack_long_videos
from longvpo.clips.rows import Clip, Dropped
from longvpo.clips.sources import Candidate, OverlapError, check_enough, list_candidates, open_clip, prepare
from longvpo.dataset.outcome import Outcome, Reasoned
from longvpo.errors import LongVPOError, VideoError
from longvpo.io.files import whole_file
from longvpo.io.records import read_record, understood
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.sections import SourceSection, VideoSection
from longvpo.video.frames import ClipFrames

SMALLEST = 8  # clips: a rejected answer needs another clip of the block
LARGEST = 256


@dataclass(frozen=True)
class BlockPlan:
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
    plans: list[BlockPlan], material: Material, workers: int
) -> Iterator[tuple[BlockPlan, dict[int, tuple[Clip, int] | Dropped]]]:
    """The clips of each plan; those of the next two are decoded by other threads meanwhile."""
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:

        def start(plan: BlockPlan) -> dict[int, Future[tuple[Clip, int] | Dropped]]:
            return {number: pool.submit(material.open, number) for number in plan.candidates}

        running = deque(start(plan) for plan in plans[:1])
        try:
            for plan, following in zip(plans, [*plans[1:], None], strict=True):
                if following:  # no thread waits for the last clip of a block
                    running.append(start(following))
                yield plan, {number: future.result() for number, future in running.popleft().items()}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def gather(
    recipe: DatasetRecipe, working: Path, frames_of: ClipFrames, overlap: frozenset[str], outcome: Outcome
) -> Material:
    """The candidates of stage 1's sources; the rows that are none go into `outcome`.

    Raises:
        LongVPOError: a source cannot be read, or all together have too few.
    """
    sources: list[SourceSection] = []
    candidates: list[Candidate] = []
    for source in recipe.sources:
        found, refused = _listed(source, recipe.seed, working)
        candidates += found
        sources += [source] * len(found)
        outcome.dropped += refused
    try:
        check_enough(recipe, len(candidates), outcome.dropped)
    except LongVPOError:
        shutil.rmtree(working / "sources", ignore_errors=True)  # what is listed may be mended before the next run
        raise
    return Material(sources, candidates, frames_of, overlap)


def gather_long_videos(recipe: DatasetRecipe, working: Path, reasoned: Reasoned) -> list[LongVideo]:
    """The long videos of stage 2's sources, source by source; the rows that are none go into `reasoned`."""
    videos: list[LongVideo] = []
    for source in recipe.stage2.sources if recipe.stage2 else ():
        file = working / "sources" / f"{source.name}.json"
        if file.is_file():
            with understood(file):
                said = read_record(file)
                found = [
                    LongVideo(source.name, item["name"], [Candidate(**scene) for scene in item["scenes"]])
                    for item in said["videos"]
                ]
                refused = [Dropped(**item) for item in said["dropped"]]
        else:
            found, refused = list_long_videos(source, recipe.seed)
            found, missing = unpack_long_videos(source, found)
            refused += missing
            if source.dataset is not None:
                _keep(file, {"videos": found, "dropped": refused})
        videos += found
        reasoned.dropped += refused
    return videos


def _listed(source: SourceSection, seed: int, working: Path) -> tuple[list[Candidate], list[Dropped]]:
    """A source's candidates; where it was fetched or cut, the list is kept, for that can take hours."""
    file = working / "sources" / f"{source.name}.json"
    if file.is_file():
        with understood(file):
            said = read_record(file)
            return [Candidate(**item) for item in said["candidates"]], [Dropped(**item) for item in said["dropped"]]
    candidates, dropped = list_candidates(source, seed)
    candidates, refused = prepare(source, candidates, working / "scenes")
    dropped += refused
    if source.dataset is not None or source.scenes is not None:
        _keep(file, {"candidates": candidates, "dropped": dropped})
    return candidates, dropped


def _keep(file: Path, lists: dict[str, list[Any]]) -> None:
    with whole_file(file) as kept:
        kept.write(json.dumps({name: [asdict(item) for item in items] for name, items in lists.items()}).encode())
