"""A kit for LongVPO: a recipe turns clips into preference triplets, TRL trains on them, and the result is measured.

In a notebook:

    longvpo.build("tiny/dataset", ["sources.0.folder=my-clips", "stage2=null"], "my-triplets")
    rows = longvpo.load_triplets("my-triplets", videos={"drawn": "my-clips"})
    longvpo.score_triplets(rows[:4], "tiny")
    longvpo.train("tiny/stage1", ["data.dataset=my-triplets", "data.videos.drawn=my-clips"], "my-stage1")
    longvpo.evaluate("tiny/evaluate", ["source.folder=my-test-clips", "multi=null"], "my-results", ["my-stage1"])
    longvpo.ask("clip.mp4", "what color is the ring?", ["my-stage1"])

A recipe is a YAML file or the name of a built-in one; overrides are its values as the command line has them,
`section.key=value`. A mistake in what was given is a longvpo.LongVPOError, whose text says what to do. The same call
again resumes what was killed, and does nothing where the result is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longvpo.clips.load import load_triplets
    from longvpo.errors import LongVPOError as LongVPOError
    from longvpo.evaluation.margins import score_triplets
    from longvpo.evaluation.one_video import ask

__all__ = ["TINY", "ask", "build", "evaluate", "load_triplets", "score_triplets", "train"]

TINY = Path(__file__).parent / "tiny" / "checkpoint"  # the embedded model

# `longvpo --help` must not wait for torch: what needs it is imported when it is asked for
LATER = {
    "LongVPOError": "longvpo.errors",
    "ask": "longvpo.evaluation.one_video",
    "load_triplets": "longvpo.clips.load",
    "score_triplets": "longvpo.evaluation.margins",
}


def build(
    recipe: str,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    journal: str | Path | None = None,
    engine: str = "local",
    workers: int | None = None,
) -> dict[str, Any]:
    """Make preference triplets from clips and their captions, in a folder that `load_dataset` reads.

    Args:
        recipe: of a dataset.
        output: the folder; None: the recipe's name.
        journal: a folder of answers to use and add to; builds may share one.
        engine: local, ray or ray://HOST:PORT: who does the work.
        workers: of a Ray cluster; None: as many as it has room for.

    Returns:
        What the folder's facts.json holds: counts, what was dropped, and by which model it was written.
    """
    from longvpo.dataset.run import build as run
    from longvpo.io.home import path
    from longvpo.recipe.dataset import DatasetRecipe
    from longvpo.recipe.file import load_recipe

    loaded = load_recipe(DatasetRecipe, recipe, [*overrides])
    kept = path(journal) if journal else None
    return run(loaded, path(output or loaded.name), journal=kept, engine=engine, workers=workers)


def train(recipe: str, overrides: Sequence[str] = (), output: str | Path | None = None) -> dict[str, Any]:
    """Train a QLoRA adapter on triplets, in a folder that PEFT reads.

    Args:
        recipe: of a training.
        output: the folder; None: the recipe's name.

    Returns:
        What the folder's facts.json holds: steps, losses, seconds.
    """
    from longvpo.io.home import path
    from longvpo.recipe.file import load_recipe
    from longvpo.recipe.training import TrainRecipe
    from longvpo.training.run import train as run

    loaded = load_recipe(TrainRecipe, recipe, [*overrides])
    return run(loaded, path(output or loaded.name))


def evaluate(
    recipe: str,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    adapters: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """Measure a base and its adapters: a clip hidden among others, long videos, held-out triplets.

    Args:
        recipe: of an evaluation.
        output: the folder of the results; None: the recipe's name.
        adapters: folders, or repositories of the Hub as `ID` or `ID@REVISION`.

    Returns:
        What the folder's results.json holds: accuracies in percent, by model, with their intervals.
    """
    from longvpo.evaluation.adapters import by_name
    from longvpo.evaluation.run import evaluate as run
    from longvpo.io.home import path
    from longvpo.recipe.evaluation import EvaluateRecipe
    from longvpo.recipe.file import load_recipe

    loaded = load_recipe(EvaluateRecipe, recipe, [*overrides])
    return run(loaded, path(output or loaded.name), by_name([str(one) for one in adapters]))


def __getattr__(name: str) -> Any:
    if name in LATER:
        return getattr(import_module(LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *LATER})
