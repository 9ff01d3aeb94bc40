"""How time and memory of a build grow with its rows, where writers and encoders answer at once.

    python benchmarks/scale_build.py --rows 10000 [--engine ray --workers 2] [--profile] [--json]

Few small videos are drawn; each row is a span of one. All filters are on, and vectors have 384 numbers, as those of
small encoders. Each part of the build is timed for every thousand of its rows. Blocks are decoding, questions, answers
and the journal. Contexts are drawn from all clips, and near-duplicates are ruled out. Facts and files follow. Seconds
of parts are CPU seconds of this process, as other work may run beside it. `by_thousand` has them and this process'
memory when a part came so far.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import io
import json
import math
import pstats
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from longvpo.dataset import run
from longvpo.dataset.stage1 import assemble
from longvpo.models.writer import Answer, Keep, Request
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.video.frames import write_video

DIMENSION = 384
SECONDS, FPS, SIDE = 250, 2, 64  # seconds, rate and side of a video
COLOURS, SHAPES = ("red", "blue", "green", "yellow"), ("round", "square", "small", "large")
WORDS = [f"{colour}-{shape}" for colour in COLOURS for shape in SHAPES]


class Instant:
    """Writer and embedder that answer at once; it has no state, so that it can be sent to another process."""

    name = "instant@1"
    settings: dict[str, Any] = {}  # noqa: RUF012  a writer's, and never changed
    said: Callable[[int], None] | None = None  # told how many questions were answered

    def batches(self, requests: list[Request]) -> list[list[int]]:
        return [list(range(at, min(at + 32, len(requests)))) for at in range(0, len(requests), 32)]

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        for number, batch in enumerate(batches):
            answers = []
            for request in batch:
                assert request.frames is not None
                assert len(request.frames()) == request.count
                word = zlib.crc32(request.media.encode())
                text = f"{WORDS[word % 16]} {WORDS[word // 16 % 16]} {word % 997}"
                asks = request.expects is not None
                answers.append(Answer(f"Question: what is number {request.seed}? Answer: {text}" if asks else text))
            keep(number, answers)
            if self.said:
                self.said(sum(request.expects is not None for request in batch))

    def texts(self, texts: list[str]) -> np.ndarray:
        found = np.empty((len(texts), DIMENSION), np.float32)
        for place, text in enumerate(texts):
            found[place] = np.random.Generator(np.random.SFC64(zlib.crc32(text.encode()))).normal(size=DIMENSION)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)

    def clips(self, clips: Iterator[np.ndarray]) -> np.ndarray:
        return self.texts([str(zlib.crc32(frames.tobytes())) for frames in clips])


def draw(folder: Path, rows: int) -> None:
    """Videos of noise, a table of spans."""
    videos = max(4, math.ceil(rows / 5000))
    each = math.ceil(rows / videos)
    for number in range(videos):
        frames = np.random.default_rng(number).integers(0, 255, (SECONDS * FPS, SIDE, SIDE, 3), np.uint8)
        write_video(folder / f"{number}.mp4", frames // 8 * 8, FPS)
    with (folder / "metadata.jsonl").open("w") as table:
        for row in range(rows):
            start = round((SECONDS - 2) * (row // videos) / each, 4)
            words = " ".join(WORDS[row // 16**place % 16] for place in range(3))
            span = {"file_name": f"{row % videos}.mp4", "start": start, "end": round(start + 1, 4)}
            table.write(json.dumps(span | {"caption": f"number {row}, {words}"}) + "\n")


def recipe_of(folder: Path, rows: int) -> DatasetRecipe:
    return DatasetRecipe.model_validate(
        {
            "name": "scale",
            "sources": [{"name": "drawn", "folder": folder}],
            "video": {"fps": 2, "max_frames": 4, "short_side": SIDE, "cache_gb": 0.05},
            "writer": {"model": "instant"},
            "context": {"clips": [4, 8, 16], "frame_budget": 128},
            "stage1": {"triplets": rows},
        }
    )


def resident() -> float:
    """MB of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * 4096 / 1e6, 1)


class Watch:
    """When each part came how far."""

    def __init__(self, rows: int) -> None:
        self.began, self.cpu_began, self.rows = time.perf_counter(), time.process_time(), rows
        self.seconds: dict[str, float] = {}
        self.memory: dict[str, float] = {}
        self.by_thousand: dict[str, list[tuple[int, float, float]]] = {}
        self._counts: dict[str, int] = {}

    def now(self) -> float:
        return round(time.perf_counter() - self.began, 2)

    def cpu(self) -> float:
        return round(time.process_time() - self.cpu_began, 2)

    def count(self, part: str, number: int = 1) -> None:
        before = self._counts.get(part, 0)
        after = self._counts[part] = before + number
        if before // 1000 < after // 1000:
            self.by_thousand.setdefault(part, []).append((after // 1000 * 1000, self.cpu(), resident()))

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def inner(*arguments: Any, **options: Any) -> Any:
            began = time.process_time()
            try:
                return call(*arguments, **options)
            finally:
                self.seconds[part] = round(self.seconds.get(part, 0) + time.process_time() - began, 2)
                self.memory[part] = resident()

        return inner

    def counted(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def inner(*arguments: Any, **options: Any) -> Any:
            self.count(part)
            return call(*arguments, **options)

        return inner


def measure(rows: int, engine: str, workers: int | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        clips, output = Path(folder, "clips"), Path(folder, "out")
        clips.mkdir()
        draw(clips, rows)
        watch, instant = Watch(rows), Instant()
        if engine == "local":  # other processes would count for themselves
            instant.said = lambda number: watch.count("blocks", number)
        from longvpo.dataset.stage1 import rounds

        whole: Any = instant
        where = [
            (run, "gather_candidates", "list"),
            (run, "run_stage1", "stage 1"),
            (rounds, "finish", "contexts"),
            (run, "make_facts", "facts"),
            (run, "write_dataset", "files"),
        ]
        started = resident()
        with contextlib.ExitStack() as stack, contextlib.redirect_stderr(io.StringIO()):
            for module, name, part in where:
                stack.enter_context(patch.object(module, name, watch.timed(part, getattr(module, name))))
            drawn = watch.counted("contexts", assemble.choose_context)
            stack.enter_context(patch.object(assemble, "choose_context", drawn))
            options = {} if engine == "local" else {"engine": engine, "workers": workers}
            facts = run.build(recipe_of(clips, rows), output, writer=whole, embedder=whole, **options)
        seconds, cpu = watch.now(), watch.cpu()
        seen = watch.seconds
        seen["blocks"] = round(seen.pop("stage 1") - seen["contexts"], 2)
        sizes = {
            "journal": sum(path.stat().st_size for path in (output / "work" / "journal").rglob("*.jsonl")),
            "blocks": sum(path.stat().st_size for path in (output / "work" / "blocks").rglob("*.npz")),
            "published": sum(path.stat().st_size for path in output.glob("*/*.parquet")),
        }
    return {
        "rows": rows,
        "engine": engine,
        "workers": workers,
        "triplets": facts["stage1"]["triplets"],
        "seconds": seconds,
        "rows_a_second": round(rows / seconds, 1),
        "cpu_seconds": cpu,
        "cpu_seconds_a_thousand_rows": {part: round(value / rows * 1000, 3) for part, value in sorted(seen.items())},
        "started_mb": started,
        "mb_after": watch.memory,
        "bytes_a_row": {name: round(size / rows) for name, size in sizes.items()},
        "by_thousand": watch.by_thousand,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--engine", default="local", help="local, or ray")
    parser.add_argument("--workers", type=int, help="workers of Ray")
    parser.add_argument("--profile", action="store_true", help="print the calls that take longest")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    profile = cProfile.Profile()
    if options.profile:
        profile.enable()
    found = measure(options.rows, options.engine, options.workers)
    if options.profile:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
    if options.json:
        print(json.dumps(found))
        return
    for part, steps in found["by_thousand"].items():
        for rows, seconds, memory in steps[:: max(len(steps) // 10, 1)]:
            print(f"{part} {rows}: {seconds} CPU s, {memory} MB")
    print(json.dumps({name: value for name, value in found.items() if name != "by_thousand"}, indent=2))


if __name__ == "__main__":
    main()
