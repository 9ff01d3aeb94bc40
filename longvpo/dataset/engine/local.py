"""The engine that is one process; what another engine does elsewhere stands here as it is done."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from longvpo.clips.rows import Clip
from longvpo.dataset.material import BlockPlan, Material, opened
from longvpo.dataset.outcome import Outcome
from longvpo.dataset.session import Session, open_session
from longvpo.dataset.stage1.blocks import Block
from longvpo.dataset.stage1.write import write_block
from longvpo.errors import VideoError
from longvpo.models.embed import Embedder
from longvpo.models.journal import Journal
from longvpo.models.writer import Request, Writer
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.video.frames import ClipFrames

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Kit:
    """What a build works with, wherever it is done."""

    recipe: DatasetRecipe
    working: Path
    journal: Path
    overlap: frozenset[str] = frozenset()
    given: dict[str, Writer | None] = field(default_factory=dict)  # writers by their role, in place of the recipe's
    embedder: Embedder | None = None

    def frames_of(self) -> ClipFrames:
        recipe = self.recipe
        return ClipFrames(recipe.video, {source.name: source.folder for source in recipe.all_sources})

    def session(self, journal: Journal, frames_of: ClipFrames) -> Session:
        """The models, loaded."""
        return open_session(self.recipe, self.given, self.embedder, journal, frames_of)


class Engine:
    """Does all work in this process."""

    def journal(self, folder: Path) -> Journal:
        return Journal(folder)

    def session(self, kit: Kit, journal: Journal, frames_of: ClipFrames) -> Session:
        return kit.session(journal, frames_of)

    def over(
        self, function: Callable[[Item], Made], items: Iterable[Item], threads: int = 1
    ) -> Generator[Made, None, None]:
        """The function's results for all items, in order. It reads and writes files, and asks no model.

        Args:
            threads: threads of this process; with one, an item's turn comes when its result is asked for.
        """
        if threads == 1:
            yield from map(function, items)
            return
        pool = ThreadPoolExecutor(threads, thread_name_prefix="cut")
        try:
            yield from pool.map(function, items)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # who stops a build does not wait for all

    def blocks(
        self, plans: list[BlockPlan], kept: set[Path], material: Material, outcome: Outcome, session: Session
    ) -> Iterator[Block]:
        """The blocks of a round, in order, each in its file.

        Args:
            kept: files of those that are made already.
            outcome: gains the clips of a block before the next one is asked for.
        """
        left = [plan for plan in plans if plan.path not in kept]
        with closing(opened(left, material, session.recipe.video.workers)) as missing:
            for plan in plans:
                if plan.path not in kept:
                    write_block(*next(missing), outcome.pool, session).save(plan.path)
                yield Block.load(plan.path)

    def read(self, requests: list[Request], threads: ThreadPoolExecutor) -> list[VideoError | None]:
        """Read the frames of requests ahead; returns why those of each cannot be read."""
        return list(threads.map(unreadable, requests))

    def ahead(self, clips: list[Clip], session: Session, threads: ThreadPoolExecutor) -> None:
        """Read the frames of clips while the writer works; what is wrong with one is said in its turn."""
        for clip in clips:
            threads.submit(session.frames_of, clip.reference)


def unreadable(request: Request) -> VideoError | None:
    """Why the frames of a request cannot be read; those that can are in memory from now on."""
    try:
        if request.frames:
            request.frames()
    except VideoError as error:
        return error
    return None


LOCAL = Engine()
