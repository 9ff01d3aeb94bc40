"""A worker of a build on a machine of a cluster: it holds the models, and works on what it is sent.

The rule: it keeps what it makes in the folder of work, which all machines share, and writes only into files of its
own. It needs nothing of the process that sends it work but that, and stops writing where another one has taken over.
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from longvpo.errors import LongVPOError, VideoError

if TYPE_CHECKING:  # what these modules load must find the environment of the build
    import numpy as np

    from longvpo.clips.pool import Pool
    from longvpo.clips.sources import Candidate
    from longvpo.dataset.engine.local import Kit
    from longvpo.dataset.material import BlockPlan
    from longvpo.dataset.session import Session
    from longvpo.dataset.stage1.blocks import Block
    from longvpo.models.journal import Journal
    from longvpo.models.writer import Answer, Request, Writer
    from longvpo.recipe.sources import SourceSection
    from longvpo.video.frames import ClipFrames

ROLES = ("writer", "second", "judge", "question_writer")
MARK = "engine"  # a file in the folder of work, which says whose workers may write there


class About(NamedTuple):
    """What is known of a writer elsewhere."""

    name: str
    settings: dict[str, Any]
    choosing: str | None  # how it prefers one of two answers; None: it does not
    together: int  # batches that it is best given at once


class Post(NamedTuple):
    """Where a worker starts."""

    build: str  # which this is, as MARK says it
    folder: str  # where the build was started, from which its recipe's paths lead
    environment: dict[str, str]  # names that a machine does not set itself
    modules: tuple[str, ...]  # where the build's modules are found, such as those of writers of the user's own
    threads: int | None  # that compute, where this is not left to Ray
    seen: tuple[Path, ...]  # what the build sees, and a worker must
    workers: int  # number of workers of the build


class Worker:
    """A session on a machine of a cluster. Calls come in threads; one of them at a time uses the models."""

    def __init__(self, post: Post, kit: bytes, mark: str) -> None:
        self.post, self._kit, self.mark = post, kit, mark
        self.models, self.opening = threading.RLock(), threading.RLock()
        self.full = False  # its memory was
        for name, value in post.environment.items():
            os.environ.setdefault(name, value)
        sys.path += [place for place in post.modules if place not in sys.path]
        with suppress(OSError):  # where paths lead from it, it is missed below
            os.chdir(post.folder)

    @cached_property
    def kit(self) -> Kit:
        kit: Kit = pickle.loads(self._kit)  # our own, sent by the process that started this one
        return replace(kit, recipe=shared(kit.recipe, self.post.workers))

    def ready(self) -> str:
        """The machine's name, where all is seen there.

        Raises:
            LongVPOError: something is not.
        """
        where = os.uname().nodename
        missing = next((path for path in self.post.seen if not path.exists()), None)
        if missing is not None:
            raise LongVPOError(
                f"the worker on {where} does not see {missing}: give all machines a folder that they share, under one "
                "path, such as one of NFS"
            )
        self.check_build()
        self.quiet()
        return where

    def quiet(self) -> None:
        """One bar shows the work of all, so that there is none here; and as many threads compute as in the build."""
        from tqdm import tqdm

        begin = tqdm.__init__

        def silent(bar: Any, *arguments: Any, **options: Any) -> None:
            begin(bar, *arguments, **options | {"disable": True})

        tqdm.__init__ = silent  # type: ignore[method-assign, assignment]
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # which of its kernels are not installed
        if self.post.threads:
            import torch
            from threadpoolctl import threadpool_limits

            torch.set_num_threads(self.post.threads)
            threadpool_limits(self.post.threads)

    def check_build(self) -> None:
        """Raises LongVPOError where another process has taken over the build."""
        mark = self.kit.working / MARK
        if not mark.is_file() or mark.read_bytes() != self.post.build.encode():
            raise LongVPOError(
                f"the worker on {os.uname().nodename} does not see {mark} as this build wrote it. Give all machines a "
                "shared folder under one path, such as a folder on NFS; or another process works in this folder"
            )

    @cached_property
    def frames_of(self) -> ClipFrames:
        return self.kit.frames_of()

    @property
    def session(self) -> Session:
        """The models, loaded when they are asked for first."""
        with self.opening:
            return self._session

    @cached_property
    def _session(self) -> Session:
        from longvpo.models.journal import Journal

        return self.kit.session(Journal(self.kit.journal, mark=f"-{self.mark}"), self.frames_of)

    @contextmanager
    def at_models(self) -> Iterator[None]:
        """One call at a time; none begins after memory was full, for then this worker is ended."""
        with self.models:
            if self.full:
                raise MemoryError("this worker's memory was full at other work")
            try:
                yield
            except BaseException as error:
                self.full = no_memory(error)
                raise

    def writer(self, role: str, name: str) -> Writer:
        """The writer of a role. Raises LongVPOError where it is another one here."""
        found: Writer | None = getattr(self.session, role)
        if found is None or found.name != name:
            raise LongVPOError(
                f"workers have different models: {name}, and on {os.uname().nodename} {found and found.name}; give "
                "all machines the same, by one folder or one revision"
            )
        return found

    def journal(self) -> Journal:
        """With what others were answered by now."""
        self.session.journal.read_on()
        return self.session.journal

    def about(self) -> dict[str, About]:
        """The writers by their roles."""
        from longvpo.models.writer import Chooser

        found = {}
        for role in ROLES:
            one = getattr(self.session, role)
            if one is not None:
                endpoint = getattr(one, "endpoint", None)
                choosing = one.choosing if isinstance(one, Chooser) else None
                found[role] = About(one.name, one.settings, choosing, 8 * endpoint.concurrency if endpoint else 1)
        return found

    def block(
        self,
        name: str,
        plan: BlockPlan,
        sources: dict[int, SourceSection],
        candidates: dict[int, Candidate],
        known: Pool,
    ) -> Block:
        """Make a block and keep it; its clips are decoded while the models are at work on another one.

        Args:
            name: the writer's, as all workers must have it.
            sources, candidates: by their number, those of the plan.
            known: see write_block.
        """
        from longvpo.dataset.material import Material, opened
        from longvpo.dataset.stage1.blocks import Block, is_kept
        from longvpo.dataset.stage1.write import write_block

        if is_kept(plan.path, self.writer("writer", name).name):  # its worker was lost with the news
            return Block.load(plan.path)
        # a part of the material: found by the same numbers
        material = Material(cast(Any, sources), cast(Any, candidates), self.frames_of, self.kit.overlap)
        ((_, found),) = opened([plan], material, self.kit.recipe.video.workers)
        with self.at_models():
            self.journal()
            block = write_block(plan, found, known, self.session)
        self.check_build()
        block.save(plan.path)
        return block

    def batches(self, role: str, name: str, requests: list[Request]) -> list[list[int]]:
        return self.writer(role, name).batches(requests)

    def answer(self, role: str, name: str, batches: list[list[Request]]) -> list[list[Answer]]:
        """Answers to batches, which are kept; their frames are read while the models are at other ones."""
        writer = self.writer(role, name)
        requests = [self.here(request) for batch in batches for request in batch]
        if len(batches) == 1:
            self.read(requests)
        places = iter(range(len(requests)))
        numbered = [[next(places) for _ in batch] for batch in batches]
        with self.at_models():
            answers = self.journal().ask_batches(writer, requests, numbered, "")
        return [[answers[place] for place in batch] for batch in numbered]

    def prefers(self, role: str, name: str, pairs: list[tuple[str, str, str]], seed: int) -> list[float | None]:
        from longvpo.models.writer import Chooser

        writer = self.writer(role, name)
        assert isinstance(writer, Chooser), "it said how it chooses"
        with self.at_models():
            journal = self.journal()
            return writer.prefers(pairs, lambda requests: journal.ask(writer, requests, ""), seed)

    def texts(self, texts: list[str]) -> np.ndarray:
        """Unit vectors of texts, as the embedder has them."""
        with self.at_models():
            return self.session.embedder.texts(texts)

    def read(self, requests: list[Request]) -> list[VideoError | None]:
        """Why the frames of requests cannot be read; those that can are in memory from now on."""
        from longvpo.dataset.engine.local import unreadable

        with ThreadPoolExecutor(self.kit.recipe.video.workers, "decode") as threads:
            return list(threads.map(unreadable, map(self.here, requests)))

    def call(self, function: Callable[[Any], Any], item: Any) -> Any:
        """What a function that asks no model makes of an item."""
        return function(item)

    def here(self, request: Request) -> Request:
        """The request with its frames read by this worker, which keeps them in memory."""
        from longvpo.clips.request import FramesOfClips

        frames = request.frames
        return (
            replace(request, frames=replace(frames, frames_of=self.frames_of))
            if isinstance(frames, FramesOfClips)
            else request
        )


def no_memory(error: BaseException) -> bool:
    """Whether a process's memory, or that of its GPU, was full."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def shared(recipe: Any, workers: int) -> Any:
    """The recipe with this worker's share of what a server may be asked at once, and of what may be spent on it."""

    def of(section: Any) -> Any:
        endpoint = section and section.endpoint
        if not endpoint:
            return section
        cost = endpoint.max_cost and endpoint.max_cost / workers
        share = {"concurrency": max(1, endpoint.concurrency // workers), "max_cost": cost}
        return section.model_copy(update={"endpoint": endpoint.model_copy(update=share)})

    two = recipe.stage2
    two = two and two.model_copy(update={"writer": of(two.writer), "question_writer": of(two.question_writer)})
    return recipe.model_copy(update={"writer": of(recipe.writer), "judge": of(recipe.judge), "stage2": two})
