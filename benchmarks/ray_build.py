"""What a build on Ray costs beside the work itself: against one process, with a writer of known delay.

    python benchmarks/ray_build.py [--json] [--workers 2] [--seconds 1] [--triplets 120]

Both stages, on drawn videos. The writer waits so many seconds for each batch of 4 requests, as for a GPU, so that a
few cores suffice. `start` is when each worker was asked first, counted from the command. `work` is the time from there
to the end, of all workers together: in the ideal case that of one process. The bytes must be the same.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from longvpo.dataset.replies import ScenesQuestion
from longvpo.dataset.run import build
from longvpo.models.writer import Answer, Keep, Request
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.tiny.stories import write_stories
from longvpo.tiny.world import write_world

CLIPS, STORIES, TOGETHER = 120, 24, 4
SMALL = [
    "context.clips=[2, 4]",
    "video.cache_gb=0.05",  # blocks of 12 clips
    "writer.batch_size=4",
    "filters.question_threshold=null",
    "filters.balance=false",
    "filters.specificity=false",
    "filters.visual_threshold=null",
    "text_only=0",
    'prompts.scene="{before}"',
]


class Slow:
    """A writer that takes its time, and whose answers depend only on the request."""

    name = "slow@1"

    def __init__(self, log: Path, seconds: float) -> None:
        self.settings: dict[str, Any] = {}
        self.log, self.seconds = log, seconds

    def batches(self, requests: list[Request]) -> list[list[int]]:
        places = range(len(requests))
        return [list(places[start : start + TOGETHER]) for start in range(0, len(requests), TOGETHER)]

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        for number, batch in enumerate(batches):
            for request in batch:
                if request.frames:
                    request.frames()
            with self.log.open("a") as file:
                file.write(f"{time.time()} {os.getpid()} {len(batch)}\n")
            time.sleep(self.seconds)
            keep(number, [Answer(self.say(request)) for request in batch])

    def say(self, request: Request) -> str:
        drawn = random.Random(f"{request.text} {request.media} {request.seed}")
        said = f"at {drawn.getrandbits(24):06x}"
        if request.expects is ScenesQuestion:
            numbers = sorted(drawn.sample(re.findall(r"#(\d+)", request.text), 2), key=int)
            written = {"question": f"who is {said}?", "answer_type": "phrase", "scenes": numbers}
            return json.dumps(written | {"trace": " and ".join(f"Scene #{number}" for number in numbers)})
        return f"Question: where is {said}? Answer: {said}" if request.expects else said


def measure(recipe: DatasetRecipe, folder: Path, seconds: float, **engine: Any) -> dict[str, Any]:
    writer = Slow(folder.with_suffix(".log"), seconds)
    begin = time.time()
    with contextlib.redirect_stderr(io.StringIO()):
        build(recipe, folder, writer, question_writer=writer, **engine)
    end = time.time()
    asked = [line.split() for line in writer.log.read_text().splitlines()]
    first: dict[str, float] = {}
    for when, process, _ in asked:
        first[process] = min(first.get(process, end), float(when))
    last = max(float(when) for when, _, _ in asked) + seconds
    return {
        "start": [round(when - begin, 1) for when in sorted(first.values())],
        "work": round(sum(end - when for when in first.values()), 1),
        "after_the_last_answer": round(end - last, 1),
        "seconds": round(end - begin, 1),
        "requests": sum(int(number) for _, _, number in asked),
        "batches": len(asked),
        "content": content(folder),
    }


def content(folder: Path) -> str:
    """A hash of all that is published."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if "work" not in path.relative_to(folder).parts:
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="that the writer takes for a batch of 4")
    parser.add_argument("--triplets", type=int, default=120, help="triplets of stage 1; stage 2 has half as many")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="longvpo-ray-build-") as name:
        root = Path(name)
        write_world(root / "clips", clips=CLIPS, seed=1, split="train")
        write_stories(root / "stories", [4 + number % 5 for number in range(STORIES)], seed=2, split="train")
        folders = [f"sources.0.folder={root / 'clips'}", f"stage2.sources.0.folder={root / 'stories'}"]
        sizes = [f"stage1.triplets={asked.triplets}", f"stage2.triplets={asked.triplets // 2}"]
        recipe = load_recipe(DatasetRecipe, "tiny", [*folders, *sizes, *SMALL])
        local = measure(recipe, root / "local", asked.seconds)
        ray = measure(recipe, root / "ray", asked.seconds, engine="ray", workers=asked.workers)
    found = {
        "workers": asked.workers,
        "seconds_a_batch": asked.seconds,
        "local": local,
        "ray": ray,
        "same_bytes": local["content"] == ray["content"],
        "times_ideal": round(ray["work"] / local["work"], 3),
    }
    if asked.json:
        return print(json.dumps(found))
    for name, one in (("local", local), ("ray", ray)):
        print(
            f"{name}: {one['seconds']} s; {one['work']} s of work, from {one['start']} s on; {one['batches']} batches"
        )
    print(f"Ray's workers took {found['times_ideal']} times the ideal; the bytes are the same: {found['same_bytes']}")


if __name__ == "__main__":
    main()
