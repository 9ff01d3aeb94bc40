"""The whole loop on a laptop's CPU, offline: the drawn world stands in for your videos, the tiny model for your model.

    longvpo demo

Every step is the ordinary one: clips are mp4 files with a caption table, and the recipes are recipes/tiny/*.yaml.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from longvpo.build import build
from longvpo.evaluate import evaluate
from longvpo.folder import whole_folder
from longvpo.recipe import DatasetRecipe, EvaluateRecipe, TrainRecipe
from longvpo.recipe_file import load_recipe
from longvpo.tiny.world import Split, write_world
from longvpo.train import train

CLIPS: dict[Split, int] = {"train": 1000, "test": 500}


def run(output: Path, seed: int = 0) -> dict[str, Any]:
    """Draw, build, train, evaluate into folders of `output`. What is finished there already is not done again.

    Returns:
        needle: accuracy in percent by model and number of clips; depth32: by model, at 32 clips, first place to last;
        seconds; paths.
    """
    started = time.monotonic()
    output = output.resolve()
    _heading(1, "draw clips: videos of one moving shape, with captions")
    clips = {split: output / f"clips-{split}" for split in CLIPS}
    for split, folder in clips.items():
        drawn = folder / "world.json"
        if drawn.is_file() and json.loads(drawn.read_text())["seed"] == seed:
            continue
        with whole_folder(folder) as unfinished:
            write_world(unfinished, CLIPS[split], seed, split)
    dataset, adapter, results_folder = output / "dataset", output / "stage1", output / "results"
    _heading(2, "build triplets: the model asks and answers about single clips, then each is hidden among others")
    build(load_recipe(DatasetRecipe, "tiny/dataset", [f"sources.0.folder={clips['train']}"]), dataset)
    _heading(3, "train: a QLoRA adapter by DPO, the reference scored on the anchor clip")
    train(
        load_recipe(TrainRecipe, "tiny/stage1", [f"data.dataset={dataset}", f"data.videos.drawn={clips['train']}"]),
        adapter,
    )
    _heading(4, "evaluate: base and adapter, on clips whose combinations of attributes were held out")
    results = evaluate(
        load_recipe(EvaluateRecipe, "tiny/evaluate", [f"source.folder={clips['test']}"]),
        results_folder,
        {"stage1": adapter},
    )
    return {
        "needle": results["needle"],
        "depth32": {name: grid["32"] for name, grid in results["grid"].items()},
        "seconds": round(time.monotonic() - started, 1),
        "paths": {
            "dataset": str(dataset),
            "contact sheet": str(dataset / "contact_sheet.png"),
            "adapter": str(adapter),
            "heat map": str(results_folder / "heat_map.png"),
            "results": str(results_folder / "results.json"),
        },
    }


def _heading(number: int, text: str) -> None:
    print(f"\n[{number}/4] {text}", file=sys.stderr)
