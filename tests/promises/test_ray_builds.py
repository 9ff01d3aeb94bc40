"""Builds on a cluster of two machines: one is lost, the driver is killed, memory is full; the bytes are the same.

The machines are processes of this one, as Ray's own tests have them. Each test says how many answers were asked again.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.mortal import TOGETHER, Mortal, asked_again, both_stages
from support.scribe import content
from support.world import TESTS

from longvpo.dataset.run import build
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe

pytestmark = pytest.mark.soak

PROGRAM = """
import json, sys
from pathlib import Path
from support.mortal import Mortal, both_stages
from longvpo.dataset.run import build
from longvpo.errors import LongVPOError

world, stories, output, asked = map(Path, sys.argv[1:5])
falls = {int(number): how for number, how in json.loads(sys.argv[6]).items()}
writer = Mortal(asked, falls, seconds=0.4)  # most of the time, it is at work
try:
    build(both_stages(world, stories), output, writer, question_writer=writer, engine="ray", workers=int(sys.argv[5]))
except LongVPOError as error:
    sys.exit(f"error: {error}")
"""


class Machines:
    """A cluster of two, each with room for two workers."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 10**8})
        self.nodes = [self.add(), self.add()]

    def add(self) -> Any:
        return self.cluster.add_node(num_cpus=2, object_store_memory=10**8)

    def lose(self) -> None:
        self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        environment = os.environ | {"RAY_ADDRESS": self.cluster.address, "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    found = Machines()
    yield found
    found.cluster.shutdown()


@pytest.fixture(scope="module")
def whole(world: Path, stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a build of one process, and with what it asked."""
    folder = tmp_path_factory.mktemp("whole")
    writer = Mortal(folder / "asked")
    build(both_stages(world, stories), folder / "out", writer, question_writer=writer)
    return folder


def lines(path: Path) -> int:
    return path.read_text().count("\n") if path.is_file() else 0


def until(there: Callable[[], bool], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def ended(driver: subprocess.Popen[str]) -> str:
    """What a driver said that ends well."""
    _, errors = driver.communicate(timeout=500)
    assert driver.returncode == 0, errors[-3000:]
    return errors


def workers_there() -> list[str]:
    """Process ids of workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path.parent.name] if path.read_bytes().startswith(b"ray::Worker") else []
        except OSError:  # it has just ended
            continue
    return found


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_same_bytes_with_any_number_of_workers(
    workers: int, machines: Machines, world: Path, stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the recipe's own models: a model in every worker, encoders, the text-only baselines."""
    small = [f"sources.0.folder={world}", f"stage2.sources.0.folder={stories}", "context.clips=[1, 2, 4]"]
    small += ["stage1.triplets=30", "stage2.triplets=20", "video.cache_gb=0.02", "writer.batch_size=4", "embed=frames"]
    made = load_recipe(DatasetRecipe, "tiny", small)
    build(made, tmp_path / "whole")
    assert len(list((tmp_path / "whole/work/blocks").iterdir())) >= 4
    monkeypatch.setenv("RAY_ADDRESS", machines.cluster.address)
    build(made, tmp_path / "ray", engine="ray", workers=workers)
    assert content(tmp_path / "ray") == content(tmp_path / "whole")


def test_a_machine_is_lost(machines: Machines, whole: Path, world: Path, stories: Path, tmp_path: Path) -> None:
    """Those of its two workers find no room elsewhere; the build goes on with the two that are left."""
    asked = tmp_path / "asked"
    driver = machines.start(world, stories, tmp_path / "out", asked, 4, "{}")
    until(lambda: lines(asked) >= 40)
    machines.lose()
    assert "another one takes it" in ended(driver)
    machines.nodes.append(machines.add())
    assert content(tmp_path / "out") == content(whole / "out")
    again = asked_again(whole / "asked", asked)
    print(f"asked again: {again}")
    assert again <= 2 * TOGETHER


def test_the_driver_is_killed(machines: Machines, whole: Path, world: Path, stories: Path, tmp_path: Path) -> None:
    """Its workers end with it; while it is at work, another one is kept out."""
    asked, workers, kills, draw = tmp_path / "asked", 2, 3, random.Random(0)
    for kill in range(kills):
        target = lines(asked) + draw.randint(10, 40)
        driver = machines.start(world, stories, tmp_path / "out", asked, workers, "{}")
        until(lambda driver=driver, target=target: lines(asked) >= target or driver.poll() is not None)
        if kill == 0:
            second = machines.start(world, stories, tmp_path / "out", asked, workers, "{}")
            _, errors = second.communicate(timeout=240)
            assert second.returncode == 1
            assert "error: another process is at work" in errors
        assert driver.poll() is None
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate()
        until(lambda: not workers_there(), 60)
    ended(machines.start(world, stories, tmp_path / "out", asked, workers, "{}"))
    assert content(tmp_path / "out") == content(whole / "out")
    again = asked_again(whole / "asked", asked)
    print(f"asked again: {again}, after {kills} kills")
    assert again <= kills * workers * TOGETHER


def test_workers_without_memory(machines: Machines, whole: Path, world: Path, stories: Path, tmp_path: Path) -> None:
    asked, falls = tmp_path / "asked", '{"10": "killed", "30": "no memory", "60": "killed", "110": "no memory"}'
    ended(machines.start(world, stories, tmp_path / "out", asked, 2, falls))
    assert len(list(tmp_path.glob("asked-fell-*"))) == 4
    assert content(tmp_path / "out") == content(whole / "out")
    again = asked_again(whole / "asked", asked)
    print(f"asked again: {again}")
    assert again <= 4 * TOGETHER
