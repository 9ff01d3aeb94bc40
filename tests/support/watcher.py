"""A writer that says about real scenes what a person noted, and the builds that ask it."""

from __future__ import annotations

import csv
import json
import re
from bisect import bisect
from pathlib import Path
from typing import Any

from longvpo.models.writer import Answer, Keep, Request
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sections import EndpointSection, WriterSection


class Watcher:
    """Says about scenes what a person noted who watched the parts of the film that they lie in."""

    name = "watcher@1"

    def __init__(self, footage: Path, joins: list[float], asked: Path) -> None:
        from support.films import PARTS

        with (footage / "manifest.tsv").open() as file:
            shows = {row["file"]: row["shows"] for row in csv.DictReader(file, delimiter="\t")}
        self.shows, self.joins, self.asked = [shows[name] for name, _, _ in PARTS], joins, asked
        self.settings: dict[str, Any] = {}

    def batches(self, requests: list[Request]) -> list[list[int]]:
        return [[index] for index in range(len(requests))]

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        for number, (request,) in enumerate(batches):
            with self.asked.open("a") as file:
                file.write(f"{request.media} {request.text!r}\n")
            if request.frames is None:
                text = (
                    f"A film of many parts; the last thing noted was {request.text.split('): ')[-1].splitlines()[0]}"
                )
            else:
                assert len(request.frames()) == request.count
                spans = re.findall(r" ([\d.]+)-([\d.]+) ", request.media)
                parts = [bisect(self.joins, (float(start) + float(end)) / 2) for start, end in spans]
                text = "; ".join(self.shows[part] for part in dict.fromkeys(parts))
            keep(number, [Answer(text)])


def recipe(film: Path, llama: str) -> DatasetRecipe:
    """Scenes of 3 to 30 seconds, asked about in parts of at most 14, by a model of 135 million parameters.

    That model never cites in its trace what it cites in its list, so the trace is not held against it; nor is a scene
    too many.
    """
    smollm = WriterSection(
        model="SmolLM2-135M-Instruct",
        max_new_tokens=120,
        endpoint=EndpointSection(url=llama, concurrency=2),
    )
    stage2 = {
        "sources": [{"name": "film", "folder": str(film), "scenes": {"min_seconds": 3, "max_seconds": 30}}],
        "triplets": 6,
        "attempts": 3,
        "max_scenes": 14,
        "caption_tokens": 300,
        "question_writer": smollm.model_dump(),
        "trace": False,
        "needed": False,
    }
    overrides = ["name=film", "sources=[]", "stage1=null", "judge=null", "video.max_frames=8", "video.cache_gb=1"]
    made = load_recipe(DatasetRecipe, "longvpo-16k/dataset", [*overrides, f"stage2={json.dumps(stage2)}"])
    return made.model_copy(update={"writer": WriterSection(model="watcher")})
