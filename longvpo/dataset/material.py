"""What stage 1 is made from: the clips of all sources, opened in blocks while other blocks are in work."""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from longvpo.clips.long_videos import LongVideo, list_long_videos, unpack_long_videos
from longvpo.clips.overlap import refusal_of
from longvpo.clips.pool import mixed
from longvpo.clips.rows import Clip, Dropped
from longvpo.clips.shortfall import check_enough
from longvpo.clips.sources import Candidate, Over, list_candidates, open_clip, prepare
from longvpo.dataset.outcome import Outcome
from longvpo.errors import LongVPOError, VideoError
from longvpo.io.files import write_text
from longvpo.io.records import read_record, understood
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.sources import LongSourceSection, SourceSection
from longvpo.video.frames import ClipFrames

SMALLEST = 8  # clips: a rejected answer needs another clip of the block
LARGEST = 256

Opened = tuple[Clip, tuple[int, ...]] | Dropped  # a clip and its frames' number, height, width; or why there is none
Listed = TypeVar("Listed", Candidate, LongVideo)


@dataclass(frozen=True)
class BlockPlan:
    """A block to be made: candidates by their number, and how many drafts have each as their anchor."""

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

    sources: list[SourceSection]  # the source of each candidate
    candidates: list[Candidate]
    frames_of: ClipFrames
    overlap: frozenset[str] = frozenset()

    def clip_id(self, number: int) -> str:
        """The id of the clip that a candidate becomes."""
        return self.candidates[number].clip_id(self.sources[number].name)

    def open(self, number: int) -> Opened:
        """A clip and the shape of its frames, which are in memory from now on, or why there is none."""
        source, candidate = self.sources[number], self.candidates[number]
        try:
            clip = open_clip(source, candidate, self.overlap)
            return clip, self.frames_of(clip.reference).shape[:3]
        except VideoError as error:
            return refusal_of(error).dropped(self.clip_id(number))


def block_size(recipe: DatasetRecipe) -> int:
    """Clips per block: three blocks of pictures of 16:9 fit in the memory for frames, the one in work and two ahead.

    A block holds whole batches of the writer, where it is larger than one.
    """
    video, batch = recipe.video, recipe.writer.batch_size
    clip = video.max_frames * video.short_side**2 * 16 / 9 * 3
    size = int(np.clip(video.cache_gb * 1e9 / 3 / clip, SMALLEST, LARGEST))
    return size // batch * batch or size


def opened(
    plans: list[BlockPlan], material: Material, workers: int
) -> Generator[tuple[BlockPlan, dict[int, Opened]], None, None]:
    """The clips of each plan; those of the next two are decoded by other threads meanwhile.

    Close it: a Ctrl-C that falls into the end of the threads would be lost in a destructor.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:

        def start(plan: BlockPlan) -> dict[int, Future[Opened]]:
            return {number: pool.submit(material.open, number) for number in plan.candidates}

        running = deque(start(plan) for plan in plans[:1])
        try:
            for plan, following in zip(plans, [*plans[1:], None], strict=True):
                if following:  # no thread waits for the last clip of a block
                    running.append(start(following))
                yield plan, {number: future.result() for number, future in running.popleft().items()}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def in_turn(names: list[str], sources: Sequence[SourceSection], seed: int | list[int]) -> Iterator[int]:
    """Clips or long videos by their number, each source as often as its size and weight say.

    Args:
        names: source of each, source by source.
    """
    sizes = [names.count(source.name) for source in sources]
    return mixed(sizes, [source.weight for source in sources], np.random.default_rng(seed))


def gather_candidates(
    recipe: DatasetRecipe,
    working: Path,
    frames_of: ClipFrames,
    overlap: frozenset[str],
    outcome: Outcome,
    over: Over = map,
) -> Material:
    """The candidates of stage 1's sources; the rows that are none go into `outcome`.

    Args:
        over: calls a function for all items, as `map` does; on other machines, perhaps.

    Raises:
        LongVPOError: a source cannot be read, or all together have too few.
    """
    sources: list[SourceSection] = []
    candidates: list[Candidate] = []
    for source in recipe.sources:
        slow = source.dataset is not None or source.scenes is not None
        listed = partial(_list_clips, source, recipe.seed, working / "scenes", over)
        found = _kept(source, working, outcome, "candidates", lambda item: Candidate(**item), listed, slow)
        candidates += found
        sources += [source] * len(found)
    try:
        check_enough(recipe, len(candidates), outcome.dropped)
    except LongVPOError:
        shutil.rmtree(working / "sources", ignore_errors=True)  # what is listed may be mended before the next run
        raise
    return Material(sources, candidates, frames_of, overlap)


def gather_long_videos(recipe: DatasetRecipe, working: Path, outcome: Outcome) -> list[LongVideo]:
    """The long videos of stage 2's sources, source by source; the rows that are none go into `outcome`."""
    videos: list[LongVideo] = []
    for source in recipe.stage2.sources if recipe.stage2 else ():
        listed = partial(_list_long_videos, source, recipe.seed)
        videos += _kept(source, working, outcome, "videos", _long_video, listed, slow=source.dataset is not None)
    return videos


def _list_clips(source: SourceSection, seed: int, scenes: Path, over: Over) -> tuple[list[Candidate], list[Dropped]]:
    candidates, dropped = list_candidates(source, seed)
    candidates, refused = prepare(source, candidates, scenes, over)
    return candidates, dropped + refused


def _list_long_videos(source: LongSourceSection, seed: int) -> tuple[list[LongVideo], list[Dropped]]:
    videos, dropped = list_long_videos(source, seed)
    videos, missing = unpack_long_videos(source, videos)
    return videos, dropped + missing


def _long_video(item: dict[str, Any]) -> LongVideo:
    return LongVideo(item["source"], item["name"], [Candidate(**scene) for scene in item["scenes"]])


def _kept(
    source: SourceSection,
    working: Path,
    outcome: Outcome,
    kind: str,
    read: Callable[[dict[str, Any]], Listed],
    listed: Callable[[], tuple[list[Listed], list[Dropped]]],
    slow: bool,
) -> list[Listed]:
    """What a source lists; where it is fetched or cut, which can take hours, the list is kept."""
    file = working / "sources" / f"{source.name}.json"
    if file.is_file():
        with understood(file):
            record = read_record(file)
            found, dropped = [read(item) for item in record[kind]], [Dropped(**item) for item in record["dropped"]]
    else:
        found, dropped = listed()
        if slow:
            lists = {kind: [asdict(item) for item in found], "dropped": [asdict(item) for item in dropped]}
            write_text(file, json.dumps(lists))
    outcome.dropped += dropped
    outcome.rows += len(found) + len(dropped)
    return found
