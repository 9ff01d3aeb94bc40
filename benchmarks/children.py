"""What it costs to decode in child processes: clips per second with them, over clips per second without.

    python benchmarks/children.py [--json] [--small] [--videos FOLDER]

A clip is what a build asks for first: what its file holds, and at most 16 of its frames, at 1 frame per second. Their
shorter side has at most 448 pixels. `drawn` are 100 clips of 4 s of the drawn world, 96 pixels wide. Their files are
so small that the messages between processes weigh most. `real` are the videos of a folder, up to 60 s of each. `cuts`
finds the cuts of the drawn stories, or of the smaller real videos, with PySceneDetect's ContentDetector. `build` makes
100 triplets from the drawn clips with the tiny model: no other model costs less beside its videos.

Turns with children and turns without follow each other, in changing order. Ratios compare the medians: wall seconds
(`throughput`), and CPU seconds of all processes (`a_core`), which other work on the machine changes less. The children
are started before. `start` is the wall seconds of one child, with its first answer. No turn finds frames in memory
from the turn before; files are in the page cache. With 4 threads, decoding without children shares one interpreter.
With children it has its own processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

from longvpo.dataset.run import build
from longvpo.errors import VideoError
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sources import SceneSection
from longvpo.tiny.stories import write_stories
from longvpo.tiny.world import write_world
from longvpo.video import children, probe
from longvpo.video.cuts import find_cuts
from longvpo.video.frames import read_frames, sample_times

SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".3gp", ".ogv", ".mpg", ".ts"}
LONGEST, FRAMES = 60.0, 16
SHORT = 600_000  # bytes of the files whose cuts are found: all of their pictures are decoded


def read(path: Path) -> int:
    """The bytes of a clip's frames; 0 where it is dropped."""
    try:
        seconds = min(probe.probe(path).seconds, LONGEST)
        return read_frames(path, sample_times(0, seconds, 1, FRAMES)).nbytes
    except VideoError:
        return 0


def cut(path: Path) -> int:
    try:
        return len(find_cuts(path, SceneSection(detector="content"))) + 1
    except VideoError:
        return 0


def cpu() -> float:
    """CPU seconds of this process and of its children."""
    ticks = 0
    for child in children._all:
        ticks += sum(map(int, Path(f"/proc/{child.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def turn(one: Callable[[Path], int], paths: list[Path], threads: int, here: bool) -> tuple[float, float]:
    """Wall and CPU seconds of all files."""
    probe._probes._values.clear()
    with (
        patch.dict(os.environ, {children.HERE: "1" if here else "0"}),
        patch.object(children, "MOST_ASKED", 10**9),  # the CPU seconds of a child that is replaced would be lost
        ThreadPoolExecutor(threads) as pool,
    ):
        began, used = time.perf_counter(), cpu()
        assert sum(pool.map(one, paths))
        return time.perf_counter() - began, cpu() - used


def compared(one: Callable[[Path], int], paths: list[Path], threads: int, turns: int) -> dict[str, Any]:
    took: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for here in (False, True):  # what is started and loaded is, before the first turn that counts
        turn(one, paths[: 2 * threads], threads, here)
    for number in range(turns):
        for here in (True, False) if number % 2 else (False, True):
            took[here].append(turn(one, paths, threads, here))
    without, apart = ([statistics.median(kind) for kind in zip(*took[here], strict=True)] for here in (True, False))
    return {
        "files": len(paths),
        "threads": threads,
        "seconds_without": round(without[0], 3),
        "seconds_with": round(apart[0], 3),
        "throughput": round(without[0] / apart[0], 3),
        "cpu_without": round(without[1], 3),
        "cpu_with": round(apart[1], 3),
        "a_core": round(without[1] / apart[1], 3) if apart[1] else None,
    }


def built(folder: Path) -> int:
    """A build of stage 1 from the drawn clips in a folder, by the tiny model."""
    values = [f"sources.0.folder={folder}", "stage1.triplets=100", "stage2=null"]
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", values)
    with tempfile.TemporaryDirectory(prefix="longvpo-") as out:
        build(recipe, Path(out) / "dataset")
    return 1


def start(path: Path) -> float:
    children.end_all()
    probe._probes._values.clear()
    began = time.perf_counter()
    probe.probe(path)
    return time.perf_counter() - began


def measured(folder: Path, videos: Path | None, small: bool) -> dict[str, Any]:
    write_world(folder / "world", clips=20 if small else 100, seed=0, split="train")
    write_stories(folder / "stories", [3] if small else [8] * 8, seed=0, split="train")
    drawn = sorted((folder / "world" / "videos").glob("*.mp4"))
    stories = sorted((folder / "stories" / "videos").glob("*.mp4"))
    real = sorted(path for path in videos.iterdir() if path.suffix in SUFFIXES) if videos else []
    turns = 1 if small else 3
    found: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "turns": turns}
    found["start"] = round(statistics.median(start(drawn[0]) for _ in range(1 if small else 5)), 3)
    for threads in (1, 4):
        found[f"drawn, threads {threads}"] = compared(read, drawn, threads, turns)
        if real:
            found[f"real, threads {threads}"] = compared(read, real, threads, turns)
    if not small:
        found["build of drawn"] = compared(built, [folder / "world"], 1, turns)
    found["cuts of stories"] = compared(cut, stories, 1, turns)
    if real:
        found["cuts of real"] = compared(cut, [path for path in real if path.stat().st_size < SHORT], 1, turns)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--small", action="store_true", help="a few files, which show only that this runs")
    parser.add_argument("--videos", type=Path, help="a folder of real videos")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="longvpo-") as folder:
        found = measured(Path(folder), given.videos, given.small)
    if given.json:
        return print(json.dumps(found))
    print(f"start of a child: {found['start']} s; {found['cores']} cores")
    for name, one in found.items():
        if isinstance(one, dict):
            seconds = f"{one['seconds_without']:8.2f} s without, {one['seconds_with']:8.2f} s with children"
            print(f"{name:22}{one['files']:5} files {seconds}: {one['throughput']:.2f}, a core {one['a_core']}")


if __name__ == "__main__":
    main()
