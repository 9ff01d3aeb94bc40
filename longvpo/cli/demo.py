"""The whole loop on a laptop's CPU, offline: drawn videos replace your videos, and the tiny model your model.

    longvpo demo

Every step is the ordinary one. Clips are mp4 files with a table of captions; long videos are mp4 files without one.
The recipes are recipes/tiny/*.yaml. Only the questions about long videos are written by rules (tiny/questions.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from longvpo.dataset.run import build
from longvpo.errors import say
from longvpo.evaluation.run import evaluate
from longvpo.io.output import whole_output
from longvpo.io.records import read_record
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.training import TrainRecipe
from longvpo.tiny.stories import write_stories
from longvpo.tiny.world import Split, write_world
from longvpo.training.run import train

CLIPS: dict[Split, int] = {"train": 1000, "test": 500}
# how many long videos have how many scenes; some are short, so that the model keeps its skill on short ones
STORIES: dict[Split, dict[int, int]] = {
    "train": {2: 38, 3: 38, 4: 38, 8: 38, 16: 38, 32: 38},
    "test": {2: 50, 4: 50, 8: 50, 16: 50, 32: 50},
}


def run_demo(output: Path, seed: int = 0) -> dict[str, Any]:
    """Draw, build, train and evaluate into folders of `output`. Finished folders are not made again.

    Returns:
        needle: accuracy in percent by model and number of clips.
        depth32: accuracy in percent by model, at 32 clips, from the first place to the last.
        multi: accuracy in percent by model and number of scenes; a question counts when both its answers are right.
        multi_questions: their number by number of scenes.
        intervals, against_base: the intervals and gains of both, in percent.
        seconds: the whole time.
        paths: the folders and files that were made.
    """
    started = time.monotonic()
    output = output.resolve()
    say("\n[1/5] draw: clips of one moving shape, with captions, and long videos of many scenes, without captions")
    clips, stories = ({split: output / f"{kind}-{split}" for split in CLIPS} for kind in ("clips", "stories"))
    for split in CLIPS:
        counts = [scenes for scenes, videos in STORIES[split].items() for _ in range(videos)]
        _draw(clips[split], "world.json", seed, partial(write_world, clips=CLIPS[split], seed=seed, split=split))
        _draw(stories[split], "stories.json", seed, partial(write_stories, counts=counts, seed=seed, split=split))
    dataset, results_folder = output / "dataset", output / "results"
    adapters = {stage: output / stage for stage in ("stage1", "stage2")}
    say("\n[2/5] build: triplets about a clip that is hidden among others, and about several scenes of a long video")
    sources = [f"sources.0.folder={clips['train']}", f"stage2.sources.0.folder={stories['train']}"]
    build(load_recipe(DatasetRecipe, "tiny/dataset", sources), dataset)
    data = [f"data.dataset={dataset}", f"data.videos.drawn={clips['train']}"]
    say("\n[3/5] train stage 1: a QLoRA adapter by DPO; the reference model sees only the anchor clip")
    train(load_recipe(TrainRecipe, "tiny/stage1", data), adapters["stage1"])
    say("\n[4/5] train stage 2: it starts from the adapter of stage 1; a frozen copy of that is the reference")
    data += [f"data.videos.stories={stories['train']}", f"adapter={adapters['stage1']}"]
    train(load_recipe(TrainRecipe, "tiny/stage2", data), adapters["stage2"])
    say("\n[5/5] evaluate the base and both adapters on combinations of attributes that no training showed")
    tests = [f"source.folder={clips['test']}", f"multi.source.folder={stories['test']}"]
    results = evaluate(load_recipe(EvaluateRecipe, "tiny/evaluate", tests), results_folder, adapters)
    return {
        "needle": results["needle"],
        "depth32": {name: grid["32"] for name, grid in results["grid"].items()},
        "multi": results["multi"],
        "multi_questions": results["multi_questions"],
        "intervals": results["intervals"],
        "against_base": results["against_base"],
        "seconds": round(time.monotonic() - started, 1),
        "paths": {
            "dataset": str(dataset),
            "contact sheet": str(dataset / "contact_sheet.png"),
            "stage 2 sheet": str(dataset / "contact_sheet_stage2.png"),
            "adapter": str(adapters["stage1"]),
            "stage 2 adapter": str(adapters["stage2"]),
            "heat map": str(results_folder / "heat_map.png"),
            "results": str(results_folder / "results.json"),
        },
    }


def _draw(folder: Path, mark: str, seed: int, write: Callable[[Path], Any]) -> None:
    if (folder / mark).is_file() and read_record(folder / mark)["seed"] == seed:
        return
    with whole_output(folder) as unfinished:
        write(unfinished)
