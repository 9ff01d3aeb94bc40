"""A writer that writes down what it is asked, and builds with it in processes of their own."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from support.world import TESTS

from longvpo.dataset.replies import ScenesQuestion
from longvpo.models.writer import Answer, Keep, Request
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe

STAGES = {
    "stage1": ["sources.0.folder={world}", "stage1.triplets=90", "context.clips=[1, 2, 4]", "stage2=null"],
    "stage2": ["sources=[]", "stage1=null", "stage2.sources.0.folder={world}", "stage2.triplets=60"],
}


def recipe(world: Path, stage: str = "stage1") -> DatasetRecipe:
    overrides = ["video.cache_gb=0.6", "video.short_side=448", "filters.question_threshold=null"]
    if stage == "stage2":  # captions that are written from what came before, and folded
        overrides += ['prompts.scene="{before}"', "stage2.caption_tokens=40", "writer.batch_size=4"]
    return load_recipe(
        DatasetRecipe, "tiny/dataset", [*(text.format(world=world) for text in STAGES[stage]), *overrides]
    )


class Scribe:
    """Writes down what it is asked, before it answers. Answers depend only on the request."""

    name = "scribe@1"

    def __init__(self, asked: Path, seconds: float = 0.0) -> None:
        self.asked, self.seconds = asked, seconds
        self.settings: dict[str, object] = {}

    def batches(self, requests: list[Request]) -> list[list[int]]:
        return [list(range(i, min(i + 4, len(requests)))) for i in range(0, len(requests), 4)]

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        for number, batch in enumerate(batches):
            time.sleep(self.seconds)
            with self.asked.open("a") as file:
                file.writelines(f"{request.seed} {request.text}\n" for request in batch)
            keep(number, [Answer(self.answer(request)) for request in batch])

    def answer(self, request: Request) -> str:
        if request.text.startswith("caption:"):
            thing = request.text.split()[1:4]
            return f"Question: where is the {thing[2]} number {request.seed}? Answer: {' '.join(thing)}"
        if request.expects is ScenesQuestion:
            numbers = sorted(random.Random(request.seed).sample(re.findall(r"#(\d+)", request.text), 2), key=int)
            written = {"question": f"who is number {request.seed}?", "answer_type": "phrase", "scenes": numbers}
            return json.dumps(written | {"trace": " and ".join(f"Scene #{number}" for number in numbers)})
        digest = hashlib.sha256(f"{request.text} {request.media} {request.seed}".encode()).hexdigest()
        return f"at {digest[:6]}"


def content(output: Path) -> dict[str, str]:
    """sha256 of every file of a finished build, but for its work."""
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file() and "work" not in path.relative_to(output).parts
    }


def run(program: str, *arguments: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(**values: Any) -> str:
    written = {"question": "Who?", "answer_type": "phrase", "trace": "Scene #2 and Scene #4.", "scenes": [2, 4]}
    return json.dumps(written | values)
