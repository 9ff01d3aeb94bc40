"""How fast a build is against bare decoding of the same frames, and how its memory grows with the number of clips.

    python benchmarks/build.py [--json] [--videos FOLDER]

The models answer at once, so that all the rest is measured: sources, hashes, probes, decoding, blocks, journal,
contexts, parquet, card. Bare decoding is only decord, on the same frames, at the same size, with the same number of
threads. Both take turns in one run. Without --videos, a few videos are drawn; each clip is a link to one of them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.dataset.run import build
from longvpo.models.writer import Answer, Keep, Request
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.sections import VideoSection, WriterSection
from longvpo.recipe.sources import SourceSection
from longvpo.video.frames import duration, sample_times, scaled_size, write_video
from longvpo.video.probe import probe

CLIPS = 30
TIMES_MORE = 10
TURNS = 2
DRAWN, SECONDS, FPS = 4, 8, 24


class Instant:
    """A writer and an embedder that answer at once."""

    name = "instant@1"

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}

    def batches(self, requests: list[Request]) -> list[list[int]]:
        return [list(range(i, min(i + 8, len(requests)))) for i in range(0, len(requests), 8)]

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        for number, batch in enumerate(batches):
            for request in batch:
                assert request.frames is not None
                assert len(request.frames()) == request.count
            keep(number, [Answer(f"Question: what is number {r.seed}? Answer: {len(r.text)} {r.seed}") for r in batch])

    def texts(self, texts: list[str]) -> np.ndarray:
        vectors = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=64) for text in texts]
        return np.array([vector / np.linalg.norm(vector) for vector in vectors], np.float32).reshape(-1, 64)

    def clips(self, clips: list[np.ndarray]) -> np.ndarray:
        return self.texts([str(frames[0, 0, 0]) for frames in clips])


def draw(folder: Path) -> list[Path]:
    """Videos of drifting, flickering texture, as costly to decode as footage."""
    paths = []
    for number in range(DRAWN):
        rng = np.random.default_rng(number)
        texture = np.repeat(np.repeat(rng.integers(0, 255, (60, 120, 3), np.uint8), 12, 0), 12, 1)
        frames = []
        for step in range(SECONDS * FPS):
            view = texture[step : step + 360, 2 * step : 2 * step + 640].astype(np.int16)
            frames.append(np.clip(view + rng.integers(-12, 12, view.shape), 0, 255).astype(np.uint8))
        paths.append(folder / f"{number}.mp4")
        write_video(paths[-1], np.stack(frames), FPS)
    return paths


def make_source(videos: list[Path], folder: Path, clips: int) -> SourceSection:
    folder.mkdir()
    with (folder / "metadata.jsonl").open("w") as table:
        for number in range(clips):
            (folder / f"{number:05d}.mp4").symlink_to(videos[number % len(videos)])
            table.write(json.dumps({"file_name": f"{number:05d}.mp4", "caption": f"clip number {number}"}) + "\n")
    return SourceSection(name="clips", folder=folder)


def make_recipe(source: SourceSection, workers: int) -> DatasetRecipe:
    return DatasetRecipe.model_validate(
        {
            "name": "benchmark",
            "sources": [source],
            "video": {"max_frames": 8, "short_side": 360, "cache_gb": 0.14, "workers": workers},
            "writer": WriterSection(model="instant"),
            "filters": {"visual_threshold": None, "specificity": False, "question_threshold": None},
            "context": {"frame_budget": 64},
            "stage1": {"triplets": len(list(source.folder.glob("*.mp4")))},
        }
    )


def bare(source: SourceSection, video: VideoSection) -> tuple[float, int]:
    """Seconds and frames of only decord."""
    from decord import VideoReader

    plans = []
    for path in sorted(source.folder.glob("*.mp4")):  # which frames, and at which size, is not a part of decoding
        times, file = sample_times(0, duration(path), video.fps, video.max_frames), probe(path)
        places = np.searchsorted(file.times, times + 1e-3, side="right") - 1
        plans.append((path, places, scaled_size(file.width, file.height, video.short_side)))

    def decode(plan: tuple[Path, np.ndarray, tuple[int, int]]) -> int:
        path, places, (width, height) = plan
        reader = VideoReader(str(path), width=width, height=height, num_threads=1)
        return len(reader.get_batch(places).asnumpy())

    started = time.perf_counter()
    with ThreadPoolExecutor(video.workers) as pool:
        frames = sum(pool.map(decode, plans))
    return time.perf_counter() - started, frames


def whole(source: SourceSection, recipe: DatasetRecipe, output: Path) -> float:
    """Seconds of a build, from its recipe to the finished folder."""
    instant: Any = Instant()
    started = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        facts = build(recipe, output, writer=instant, embedder=instant)
    assert recipe.stage1 is not None
    assert facts["stage1"]["clips"] == recipe.stage1.triplets
    return time.perf_counter() - started


def measure(videos: list[Path], clips: int, workers: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        source = make_source(videos, Path(folder) / "clips", clips)
        recipe = make_recipe(source, workers)
        build_seconds, bare_seconds, frames = [], [], 0
        for turn in range(TURNS):
            seconds, frames = bare(source, recipe.video)
            bare_seconds.append(seconds)
            build_seconds.append(whole(source, recipe, Path(folder) / f"out{turn}"))
    return {
        "clips": clips,
        "frames": frames,
        "bare_seconds": [round(one, 2) for one in bare_seconds],
        "build_seconds": [round(one, 2) for one in build_seconds],
        "ratio": round(statistics.median(bare_seconds) / statistics.median(build_seconds), 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--videos", type=Path, help="folder of videos to use")
    parser.add_argument("--workers", type=int, default=2, help="threads that decode, in both")
    parser.add_argument("--clips", type=int, help=argparse.SUPPRESS)  # one measurement, in a process of its own
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = sorted(path.resolve() for path in options.videos.iterdir()) if options.videos else draw(Path(folder))
        if options.clips:
            print(json.dumps(measure(found, options.clips, options.workers)))
            return
        command = [
            sys.executable,
            __file__,
            "--videos",
            str(options.videos or folder),
            "--workers",
            str(options.workers),
        ]
        few, many = (
            json.loads(subprocess.run([*command, "--clips", str(n)], check=True, stdout=subprocess.PIPE).stdout)
            for n in (CLIPS, CLIPS * TIMES_MORE)
        )
    result = {
        "throughput_ratio_to_bare_decode": many["ratio"],
        "memory_growth_at_10x_clips": round(many["peak_mb"] / few["peak_mb"], 3),
        "runs": [few, many],
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"a build runs at {many['ratio']:.2f} of the speed of bare decoding ({many['frames']} frames)")
    print(f"peak memory: {few['peak_mb']} MB for {few['clips']} clips, {many['peak_mb']} MB for {many['clips']}")


if __name__ == "__main__":
    main()
