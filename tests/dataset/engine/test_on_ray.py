"""A build on Ray: the bytes of one process, whatever happens to its workers, and no answer is asked for again.

One small cluster serves all tests here, for it takes seconds to start. What takes minutes stands in
promises/test_ray_builds.py.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from support.mortal import TOGETHER, Mortal, Quick, asked_again, both_stages
from support.scribe import content

from longvpo.clips.pool import Pool
from longvpo.clips.rows import Clip
from longvpo.dataset.run import build
from longvpo.errors import LongVPOError


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        for left in (2, 1, 0):  # Ray gives itself 30 seconds, in which a busy machine may not start it
            try:
                ray.init(num_cpus=4, include_dashboard=False, logging_level="ERROR", object_store_memory=10**8)
                break
            except Exception:
                ray.shutdown()
                if not left:
                    raise
        yield ray
        ray.shutdown()


def test_the_bytes_of_one_process_though_a_worker_is_lost(
    cluster: Any, world: Path, stories: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = both_stages(world, stories, "text_only=0")  # its classifier takes seconds
    whole, on_ray = tmp_path / "whole", tmp_path / "ray"
    scribe = Mortal(tmp_path / "asked-whole")
    build(made, whole, writer=scribe, question_writer=scribe, embedder=Quick())
    mortal = Mortal(tmp_path / "asked-ray", {10: "killed"})
    build(made, on_ray, writer=mortal, question_writer=mortal, embedder=Quick(), engine="ray", workers=2)
    assert content(on_ray) == content(whole)
    assert (tmp_path / "asked-ray-fell-10").exists()
    assert asked_again(tmp_path / "asked-whole", tmp_path / "asked-ray") <= TOGETHER
    said = capfd.readouterr().err
    assert "another one takes it" in said
    assert "blocks, 2 workers" in said
    assert sorted(path.name for path in (on_ray / "work").iterdir()) == sorted(
        path.name for path in (whole / "work").iterdir()
    )


def test_work_that_ends_every_worker_ends_the_build_in_one_line(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from longvpo.dataset.engine import crew as module

    monkeypatch.setattr(module, "TRIES", 2)  # each takes a second

    class Deadly:
        def __init__(self, unborn: bool = False) -> None:
            if unborn:
                raise ImportError("longvpo is not here")

        def ready(self) -> str:
            return "here"

        def work(self) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        def mistake(self) -> None:
            raise LongVPOError("mend the recipe")

    crew = module.Crew(cluster.remote(num_cpus=1)(Deadly).remote, number=1, files=1)
    with pytest.raises(LongVPOError, match=r"^mend the recipe$"):
        crew.call("mistake")
    with pytest.raises(LongVPOError, match=r"^block 3 ended 2 workers, the last by: ") as raised:
        crew.call("work", what="block 3")
    assert "\n" not in str(raised.value)
    crew.close()
    crew = module.Crew(lambda: cluster.remote(num_cpus=1)(Deadly).remote(unborn=True), number=1, files=1)
    with pytest.raises(LongVPOError, match=r"^2 workers ended before they .*, the last by: .*longvpo is not here"):
        crew.call("mistake")
    crew.close()


def test_what_cannot_be_sent_is_one_line(world: Path, stories: Path, tmp_path: Path) -> None:
    scribe = Mortal(tmp_path / "asked")
    scribe.settings["lock"] = threading.Lock()
    with pytest.raises(LongVPOError, match=r"build\(\) was given cannot be sent to workers \(.*lock"):
        build(both_stages(world, stories), tmp_path / "out", writer=scribe, engine="ray")
    assert not (tmp_path / "out").exists()


def test_who_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from longvpo.dataset.engine import on_ray

    tried = []

    def init(address: str | None, **_: Any) -> None:
        tried.append(address)
        raise ConnectionError("timed out")

    monkeypatch.setattr(on_ray, "ray", SimpleNamespace(init=init, shutdown=lambda: None))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with pytest.raises(LongVPOError, match=r"^Ray does not start here \(timed out\)"):
        on_ray._connect(None)
    assert tried == [None] * on_ray.STARTS
    with pytest.raises(LongVPOError, match=r"^no Ray cluster answers at ray://far:1 \(timed out\)"):
        on_ray._connect("ray://far:1")
    assert tried[on_ray.STARTS :] == ["ray://far:1"], "what others started is asked once"
    monkeypatch.setenv("RAY_ADDRESS", "near:6379")
    with pytest.raises(LongVPOError, match=r"^no Ray cluster answers at near:6379 \(timed out\)"):
        on_ray._connect(None)


def pool_of(*names: str) -> Pool:
    clips = [Clip(name, "drawn", f"{name}.mp4", 0.0, 1.0, name) for name in names]
    numbers = np.array([int(name) for name in names], float)
    return Pool(clips, numbers, numbers[:, None], numbers[:, None], np.zeros((len(names), 2), int))


def test_threads_do_not_grow_the_pool_that_they_share() -> None:
    """It grows in place, for the process that plans the rounds: two at once would mix up what was measured."""
    from longvpo.dataset.engine.on_ray import RayEngine

    shared, before = pool_of("1", "2").joined(pool_of("3")), Future[Any]()
    before.set_result(SimpleNamespace(pool=pool_of("4", "5")))
    sent = SimpleNamespace(call=lambda *arguments, what: arguments[-1])
    plan = SimpleNamespace(path=Path("00001.npz"), candidates={2: 1, 4: 1})
    material = SimpleNamespace(sources=range(9), candidates=range(9), clip_id=str)
    known: Any = RayEngine(cast(Any, sent))._block(cast(Any, plan), cast(Any, material), shared, [before], "writer")
    assert ([clip.clip_id for clip in known.clips], known.frames.tolist()) == (["2", "4"], [2, 4])
    assert shared.room is not None
    assert shared.room.used == 3


@pytest.mark.parametrize(
    ("sizes", "workers", "found"),
    [
        ((16,), None, (4, 4)),
        ((3, 3), None, (2, 3)),  # a worker has its CPUs on one machine
        ((2, 2), None, (2, 2)),
        ((6, 6), None, (2, 4)),
        ((6, 6), 4, (4, 3)),
        ((6, 6), 20, (20, 1)),
        ((0,), None, (1, 1)),
    ],
)
def test_workers_find_room_on_machines(
    sizes: tuple[int, ...], workers: int | None, found: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from longvpo.dataset.engine import on_ray

    nodes = [{"Alive": True, "Resources": {"CPU": size}} for size in sizes]
    monkeypatch.setattr(on_ray, "ray", SimpleNamespace(nodes=lambda: nodes))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    number, options, threads = on_ray._shape(workers)
    assert (number, options["num_cpus"], threads) == (*found, 4)
