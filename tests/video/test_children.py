"""What a decoder does to its process costs the file, and nothing else; and no process outlives the one that asks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset
from support.films import captioned
from support.hostile_child import HOSTILE
from support.world import SMALL

from longvpo.dataset.run import build
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sources import SceneSection
from longvpo.video import children
from longvpo.video.cuts import find_cuts
from longvpo.video.frames import read_frames
from longvpo.video.messages import receive
from longvpo.video.probe import probe

TIMES = np.array([0.5, 1.5])


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Children whose decoder does what the name of a video says."""
    children.end_all()
    monkeypatch.setattr(children, "COMMAND", ("-P", "-m", "support.hostile_child"))
    monkeypatch.setenv(children.SECONDS, "5")
    monkeypatch.setenv(children.GIGABYTES, "0.5")
    yield
    children.end_all()


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(true: object) -> bool:
    for _ in range(100):
        if true():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


SAYS = {
    "segfault": "its decoder crashed (SIGSEGV)",
    "abort": "its decoder crashed (SIGABRT)",
    "exit": "its decoder crashed (code 3)",
    "hang": "its decoder was not done after 5 s (LONGVPO_DECODE_SECONDS)",
    "leak": "its decoder wants more than 0.5 GB (LONGVPO_DECODE_GB)",
    "fault": "division by zero (ZeroDivisionError)",
    "lies": "its decoder answered what was not asked",
}


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("how", SAYS)
def test_a_decoder_that_fails_costs_its_file(how: str, film: Path, tmp_path: Path) -> None:
    for step in ("probe", "frames", "cuts") if how == "segfault" else ("frames",):
        path = tmp_path / f"{step}-{how}.mp4"
        copyfile(film, path)
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(VideoError) as caught:
                find_cuts(path, SceneSection()) if step == "cuts" else read_frames(path, TIMES)
            assert str(caught.value) == f"cannot read {path.name}: {SAYS[how]}"
        assert time.monotonic() - began < 1 or how == "fault", "it is not tried again"
    assert read_frames(film, TIMES).shape == (2, 64, 64, 3), "the next file"


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("how", ["ended", "killed"])
def test_what_the_system_does_is_not_held_against_a_file(how: str, film: Path, tmp_path: Path) -> None:
    path = tmp_path / f"frames-{how}.mp4"
    copyfile(film, path)
    for _ in range(2):
        with pytest.raises(LongVPOError, match="the same command resumes") as caught:
            read_frames(path, TIMES)
        assert not isinstance(caught.value, VideoError)
    children.end_all()
    path.rename(tmp_path / "film.mp4")
    read_frames(tmp_path / "film.mp4", TIMES)


@pytest.mark.usefixtures("hostile")
def test_a_file_is_refused_whose_decoder_the_system_ends_for_what_it_took(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen_late(*asked: Any) -> Any:  # when the system has nothing more to do for the child
        try:
            return receive(*asked)
        except EOFError:
            time.sleep(0.3)
            raise

    monkeypatch.setattr(children, "HEAVY", 1e6)
    monkeypatch.setattr(children, "receive", seen_late)
    ours = np.ones(600_000_000, np.uint8)  # the system counts it to what this process forks
    path = Path(copyfile(film, tmp_path / "frames-taking.mp4"))
    with pytest.raises(VideoError, match=r"its decoder took 0\.[0-3] GB, and the system ended it"):
        read_frames(path, TIMES)
    assert ours[-1] == 1


@pytest.mark.usefixtures("hostile")
def test_a_build_drops_what_crashes_hangs_and_leaks_and_ends_with_the_others(world: Path, tmp_path: Path) -> None:
    bad = ["probe-segfault.mp4", "probe-leak.mp4", "frames-segfault.mp4", "frames-hang.mp4"]
    videos = sorted((world / "videos").glob("*.mp4"))[: 24 + len(bad)]
    rows = [json.loads(line) for line in (world / "metadata.jsonl").read_text().splitlines()]
    said = {row["file_name"]: row["caption"] for row in rows}
    kept = []
    for name, video in zip(bad + [video.name for video in videos[len(bad) :]], videos, strict=True):
        copyfile(video, tmp_path / name)
        kept.append({"file_name": name, "caption": said[f"videos/{video.name}"]})
    captioned(tmp_path, *kept)
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", [f"sources.0.folder={tmp_path}", *SMALL, "stage1.triplets=8"])
    build(recipe, tmp_path / "out")
    dropped = load_dataset(str(tmp_path / "out"), "dropped", split="train").to_list()
    reasons = {row["reason"] for row in dropped if row["filter"] == "video"}
    assert reasons == {f"cannot read {name}: {SAYS[name[:-4].split('-')[1]]}" for name in bad}
    assert len(load_dataset(str(tmp_path / "out"), "stage1", split="train")) == 8


def test_frames_and_cuts_of_children_are_those_of_this_process(
    world: Path, stories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, story = world / "videos" / "00000.mp4", next((stories / "videos").glob("*.mp4"))

    def found() -> list[object]:
        cuts = [find_cuts(story, SceneSection(detector=detector)) for detector in ("adaptive", "content")]
        frames = [read_frames(video, TIMES, backend=backend).tobytes() for backend in ("auto", "pyav")]
        return [*cuts, *frames, probe(video).extent, probe(video).times.tolist(), probe(video).keys.tolist()]

    there = found()
    monkeypatch.setenv(children.HERE, "1")
    monkeypatch.setattr("longvpo.video.probe._probes._values", type(probe.__globals__["_probes"]._values)())
    assert found() == there


def test_a_child_is_lent_to_a_thread_and_asked_again(film: Path, tmp_path: Path) -> None:
    children.end_all()
    paths = [Path(copyfile(film, tmp_path / f"{number}.mp4")) for number in range(12)]
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(lambda path: read_frames(path, TIMES), paths))) == 12
    assert len(children._all) <= 2
    children._idle[-1].process.kill()  # as where the machine was short of memory for a moment
    assert probe(Path(copyfile(film, tmp_path / "more.mp4"))).end == 2
    cuts = children.asked(film, {"what": "nothing"}, most=0, work=0)
    with pytest.raises(VideoError):
        next(cuts)
    environment = Path(f"/proc/{children._idle[-1].process.pid}/environ").read_bytes()
    assert b"HF_HOME" not in environment, "it is told no key and no token"
    open_files = os.listdir(f"/proc/{children._idle[-1].process.pid}/fd")
    assert len(open_files) <= 5, "standard input, output and error, its socket, and what was opened to list these"


def test_a_forked_process_has_children_of_its_own(film: Path) -> None:
    read_frames(film, TIMES)
    before = {child.process.pid for child in children._all}
    pid = os.fork()
    if pid == 0:
        read_frames(film, TIMES)
        os._exit(1 if before & {child.process.pid for child in children._all} else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert all(map(running, before))
    assert len(read_frames(film, TIMES)) == 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_children_end_with_the_process_that_asks(how: signal.Signals, film: Path, tmp_path: Path) -> None:
    """Also one that is busy with a file, and holds what all threads of its interpreter need."""
    path = copyfile(film, tmp_path / "frames-hang.mp4")
    code = (
        "import sys, threading, numpy as np\nfrom pathlib import Path\n"
        "from longvpo.video import children\nfrom longvpo.video.frames import read_frames\n"
        "children.COMMAND = ('-P', '-m', 'support.hostile_child')\n"
        "from longvpo.video.probe import probe\nprobe(Path(sys.argv[1]))\n"
        "print(children._idle[0].process.pid, flush=True)\nread_frames(Path(sys.argv[1]), np.array([0.5]))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as asking:
        assert asking.stdout
        child = int(asking.stdout.readline())
        assert running(child)
        time.sleep(0.2)
        asking.send_signal(how)
    assert until(lambda: not running(child))


def test_bounds_and_a_child_that_does_not_start_are_told(monkeypatch: pytest.MonkeyPatch, film: Path) -> None:
    children.end_all()
    monkeypatch.setattr(children, "COMMAND", ("-m", "longvpo.no_such_module"))
    with pytest.raises(LongVPOError, match=r"does not start: see what `python\S* -m longvpo\.no_such_module` says"):
        read_frames(film, TIMES + 0.1)
    monkeypatch.setenv(children.SECONDS, "none")
    with pytest.raises(LongVPOError, match="LONGVPO_DECODE_SECONDS must be a number above 0, not 'none'"):
        read_frames(film, TIMES)


def test_every_way_to_fail_is_tried() -> None:
    assert set(SAYS) | {"ended", "killed", "taking"} == set(HOSTILE)
