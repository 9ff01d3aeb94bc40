"""A kit for LongVPO: a recipe turns clips into preference triplets, TRL trains on them, an evaluation measures it.

In a notebook:

    longvpo.build("tiny/dataset", ["sources.0.folder=my-clips", "stage2=null"], "my-triplets")
    rows = longvpo.load_triplets("my-triplets", videos={"drawn": "my-clips"})
    longvpo.score_triplets(rows[:4], "tiny")
    longvpo.train("tiny/stage1", ["data.dataset=my-triplets", "data.videos.drawn=my-clips"], "my-stage1")
    longvpo.evaluate("tiny/evaluate", ["source.folder=my-test-clips", "multi=null"], "my-results", ["my-stage1"])
    longvpo.ask("clip.mp4", "what color is the ring?", ["my-stage1"])

A recipe is a YAML file or the name of a built-in recipe. An override changes one of its values, as on the command
line: `section.key=value`. A mistake in what you give raises longvpo.LongVPOError, whose text says what to do. The same
call again resumes work that was stopped, and does nothing where the result is complete.
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

# `longvpo --help` must not wait for torch: names that need it are imported when they are used
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
    """Make preference triplets from clips and their captions, in a folder that `datasets.load_dataset` reads.

    Args:
        recipe: the recipe of a dataset: a YAML file or a built-in name.
        overrides: changed values, each as "section.key=value".
        output: the folder of the dataset; None: the recipe's name, in the working folder.
        journal: a folder that keeps the models' answers; builds may share it. None: it lies in the dataset's folder.
        engine: "local" for this process, or "ray" or "ray://HOST:PORT" for workers on a Ray cluster.
        workers: number of workers on the cluster; None: as many as it has room for.

    Returns:
        The content of the folder's facts.json: counts, dropped rows by reason, and the models that wrote.

    Raises:
        LongVPOError: a mistake in the recipe, or an output that holds something else.
    """
    from longvpo.dataset.run import build as run
    from longvpo.io.home import path
    from longvpo.recipe.dataset import DatasetRecipe
    from longvpo.recipe.kinds import load_as

    loaded = load_as(DatasetRecipe, recipe, [*overrides])
    kept = path(journal) if journal else None
    return run(loaded, path(output or loaded.name), journal=kept, engine=engine, workers=workers)


def train(recipe: str, overrides: Sequence[str] = (), output: str | Path | None = None) -> dict[str, Any]:
    """Train a QLoRA adapter on triplets, in a folder that PEFT reads.

    Args:
        recipe: the recipe of a training: a YAML file or a built-in name.
        overrides: changed values, each as "section.key=value".
        output: the folder of the adapter; None: the recipe's name, in the working folder.

    Returns:
        The content of the folder's facts.json: steps, losses, seconds.

    Raises:
        LongVPOError: a mistake in the recipe or the dataset, or an output that holds something else.
    """
    from longvpo.io.home import path
    from longvpo.recipe.kinds import load_as
    from longvpo.recipe.training import TrainRecipe
    from longvpo.training.run import train as run

    loaded = load_as(TrainRecipe, recipe, [*overrides])
    return run(loaded, path(output or loaded.name))


def evaluate(
    recipe: str,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    adapters: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """Measure a base model and its adapters: a clip hidden among others, long videos, held-out triplets.

    Args:
        recipe: the recipe of an evaluation: a YAML file or a built-in name.
        overrides: changed values, each as "section.key=value".
        output: the folder of the results; None: the recipe's name, in the working folder.
        adapters: folders, or repositories on the Hub as `ID` or `ID@REVISION`.

    Returns:
        The content of the folder's results.json: accuracies in percent by model, with their intervals.

    Raises:
        LongVPOError: a mistake in the recipe, an adapter for another base, or an output that holds something else.
    """
    from longvpo.evaluation.adapters import by_name
    from longvpo.evaluation.run import evaluate as run
    from longvpo.io.home import path
    from longvpo.recipe.evaluation import EvaluateRecipe
    from longvpo.recipe.kinds import load_as

    loaded = load_as(EvaluateRecipe, recipe, [*overrides])
    return run(loaded, path(output or loaded.name), by_name([str(one) for one in adapters]))


def __getattr__(name: str) -> Any:
    if name in LATER:
        return getattr(import_module(LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *LATER})
