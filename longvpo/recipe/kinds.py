"""The three kinds of recipes, and the kind of a file."""

from __future__ import annotations

from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import read_recipe
from longvpo.recipe.sections import Section
from longvpo.recipe.training import TrainRecipe

KINDS: dict[str, type[Section]] = {"dataset": DatasetRecipe, "train": TrainRecipe, "evaluate": EvaluateRecipe}
COMMANDS = {"dataset": "build-dataset", "train": "train", "evaluate": "evaluate"}


def kind_of(name: str) -> str | None:
    """The kind that knows the most keys of a file; None: no kind knows any key, so the file is not a recipe.

    Raises:
        LongVPOError: no file or recipe has that name.
    """
    known = {word: len(read_recipe(kind, name).keys() & kind.model_fields.keys()) for word, kind in KINDS.items()}
    most = max(known, key=lambda word: known[word])
    return most if known[most] else None
