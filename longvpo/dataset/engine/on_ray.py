"""The engine that is a Ray cluster: workers on its machines make the blocks and answer what this process asks.

The rule: this process holds the lock, plans the rounds and writes the dataset; it loads no model. Every worker has a
session of its own, with all models of the recipe. They end with this process.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import ray
from tqdm import tqdm

from longvpo.clips.pool import Pool
from longvpo.clips.rows import Clip
from longvpo.dataset.engine.crew import Crew
from longvpo.dataset.engine.far import FarEmbedder, FarJournal, far, sendable
from longvpo.dataset.engine.local import Engine, Item, Kit, Made
from longvpo.dataset.engine.worker import MARK, Post, Worker
from longvpo.dataset.material import BlockPlan, Material
from longvpo.dataset.outcome import Outcome
from longvpo.dataset.session import Session
from longvpo.dataset.stage1.blocks import Block
from longvpo.errors import LongVPOError, VideoError, first_line, say
from longvpo.io.files import write_text
from longvpo.models.embed import Embedder
from longvpo.models.journal import Journal
from longvpo.models.writer import Request
from longvpo.video.frames import ClipFrames

# begin the names of the environment that decide what a worker loads, and how much it says
PASSED_ON = ("HF_", "HUGGING_FACE_", "LONGVPO_", "TRANSFORMERS_", "TOKENIZERS_")
STARTS = 3  # times that Ray is started here: a busy machine may miss the 30 seconds that Ray gives itself


class RayEngine(Engine):
    """Does the work by a crew."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew

    def journal(self, folder: Path) -> Journal:
        return FarJournal(folder)

    def session(self, kit: Kit, journal: Journal, frames_of: ClipFrames) -> Session:
        """The models, as the workers have them; all load them at once."""
        about = (self.crew.of_each("about") or [self.crew.call("about", what="loading the models")])[0]
        roles = {role: far(self.crew, role, about) for role in ("writer", "judge", "question_writer", "second")}
        embedder = cast(Embedder, FarEmbedder(self.crew))
        return Session(kit.recipe, embedder=embedder, journal=journal, frames_of=frames_of, **roles)

    def over(
        self, function: Callable[[Item], Made], items: Iterable[Item], threads: int = 1
    ) -> Generator[Made, None, None]:
        calls = (partial(self.crew.call, "call", function, item, what="a video", kind="files") for item in items)
        yield from self.crew.over(calls, "files")

    def blocks(
        self, plans: list[BlockPlan], kept: set[Path], material: Material, outcome: Outcome, session: Session
    ) -> Iterator[Block]:
        pool, last = outcome.pool, dict[int, Future[Block]]()  # the latest block of each candidate
        begun: list[Future[Block]] = []
        named = f"blocks, {self.crew.number} workers"
        missing = len(plans) - len(kept)
        with self.crew.threads("models") as threads, tqdm(total=missing, desc=named, leave=False) as bar:
            for plan in plans:
                if plan.path in kept:
                    block: Future[Block] = Future()
                    block.set_result(Block.load(plan.path))
                else:
                    before = [last[number] for number in plan.candidates if number in last]
                    block = threads.submit(self._block, plan, material, pool, before, session.writer.name)
                    block.add_done_callback(lambda _: bar.update(1))
                last |= dict.fromkeys(plan.candidates, block)
                begun.append(block)
            while begun:
                yield begun.pop(0).result()

    def _block(
        self, plan: BlockPlan, material: Material, pool: Pool, before: list[Future[Block]], writer: str
    ) -> Block:
        """A block; what was measured on its clips in blocks before it is not measured again."""
        clips = {material.clip_id(number) for number in plan.candidates}
        known = pool.only(clips)  # threads share the pool, which grows in place: it is only read here
        for block in before:  # they were begun before it
            known = known.joined(block.result().pool.only(clips))
        sources, candidates = (
            {number: items[number] for number in plan.candidates} for items in (material.sources, material.candidates)
        )
        made: Block = self.crew.call(
            "block", writer, plan, sources, candidates, known, what=f"block {plan.path.stem} of stage 1"
        )
        return made

    def read(self, requests: list[Request], threads: ThreadPoolExecutor) -> list[VideoError | None]:
        calls = (
            partial(self.crew.call, "read", [sendable(one)], what="frames of a scene", kind="files")
            for one in requests
        )
        return [error for errors in self.crew.over(calls, "files") for error in errors]

    def ahead(self, clips: list[Clip], session: Session, threads: ThreadPoolExecutor) -> None:
        pass


@contextmanager
def on_ray(address: str | None, kit: Kit, workers: int | None) -> Iterator[Engine]:
    """An engine of workers on a cluster.

    Args:
        address: such as ray://HOST:10001. None: the cluster of RAY_ADDRESS, or the one that runs on this machine, or
            one that is started here and ends with the build.
        workers: how many; None: one a GPU, and without GPUs as many as the CPUs suffice for.
    """
    packed = _packed(kit)
    ours = not ray.is_initialized()
    if ours:
        _connect(address)
    mark = kit.working / MARK
    build = secrets.token_hex(8)
    write_text(mark, build)
    try:
        number, options, threads = _shape(workers)
        recipe = kit.recipe
        names = [name for name in os.environ if name.startswith(PASSED_ON) or name in _keys(kit)]
        seen = [kit.working, *(source.folder for source in recipe.all_sources)]
        post = Post(
            build,
            os.getcwd(),
            {name: os.environ[name] for name in names},
            tuple(sys.path),
            threads,
            tuple(path.absolute() for path in seen if path.exists()),
            number,
        )
        actors = ray.remote(**options)(Worker)
        files = recipe.video.workers
        options = {"max_concurrency": files + 6, "scheduling_strategy": "SPREAD"}
        packed_once = ray.put(packed)
        crew = Crew(lambda: actors.options(**options).remote(post, packed_once, secrets.token_hex(4)), number, files)
        try:
            yield RayEngine(crew)
        finally:
            crew.close()
    finally:
        mark.unlink(missing_ok=True)
        if ours:
            ray.shutdown()


def _packed(kit: Kit) -> bytes:
    try:
        packed: bytes = ray.cloudpickle.dumps(kit)
    except Exception as error:
        raise LongVPOError(
            f"what build() was given cannot be sent to workers ({first_line(error)}): name the models in the recipe, "
            "or give writers that pickle can write"
        ) from error
    return packed


def _keys(kit: Kit) -> set[str]:
    """Names of the environment in which keys of servers are."""
    two, recipe = kit.recipe.stage2, kit.recipe
    sections = [recipe.writer, recipe.judge, *((two.writer, two.question_writer) if two else ())]
    found = {one.endpoint.api_key_env for one in sections if one and one.endpoint}
    return {name for name in found if name}


def _connect(address: str | None) -> None:
    """Raises LongVPOError where no cluster answers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell Ray's makers of each cluster
    place = address or os.environ.get("RAY_ADDRESS")
    for left in reversed(range(1 if place else STARTS)):
        try:
            context = ray.init(address, logging_level="ERROR", log_to_driver=True)
            break
        except Exception as error:
            why = first_line(error)
            if left:
                say(f"Ray did not start ({why}), and is started again")
                ray.shutdown()
                continue
            raise LongVPOError(
                f"no Ray cluster answers at {place} ({why}): start one by `ray start --head`, or give --engine ray "
                "without RAY_ADDRESS, which starts one on this machine"
                if place
                else f"Ray does not start here ({why}). It stops after 30 seconds, which may be too few for a busy "
                "machine: run the same command again, or start Ray before by `ray start --head`"
            ) from error
    if context.dashboard_url:
        say(f"dashboard: http://{context.dashboard_url}")


def _shape(workers: int | None) -> tuple[int, dict[str, Any], int | None]:
    """How many workers, what each takes of a machine, and how many threads it computes with.

    As many threads as this process would have compute, for sums depend on their number in the last digit.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = [machine for machine in machines if machine.get("GPU")]
    if gpus:
        cpus = max(1, int(min(machine.get("CPU", 1) // machine["GPU"] for machine in gpus)))
        return workers or int(sum(machine["GPU"] for machine in gpus)), {"num_gpus": 1, "num_cpus": cpus}, None
    import torch

    threads, sizes = torch.get_num_threads(), [int(machine.get("CPU", 0)) for machine in machines]

    def room(cpus: int) -> int:
        return sum(size // cpus for size in sizes)

    most = max(1, min(threads, max(sizes)))  # a worker has its CPUs on one machine
    number = workers or max(1, room(most))
    return number, {"num_cpus": next((cpus for cpus in range(most, 1, -1) if room(cpus) >= number), 1)}, threads
