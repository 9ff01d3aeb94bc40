"""The three kinds of recipes, and which of them a file is."""

from __future__ import annotations

from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import read_recipe
from longvpo.recipe.sections import Section
from longvpo.recipe.training import TrainRecipe

KINDS: dict[str, type[Section]] = {"dataset": DatasetRecipe, "train": TrainRecipe, "evaluate": EvaluateRecipe}
COMMANDS = {"dataset": "build-dataset", "train": "train", "evaluate": "evaluate"}


def kind_of(name: str) -> str | None:
    """The kind that knows most keys of a file; None: no kind knows any, so it is no recipe.

    Raises:
        LongVPOError: there is no file or recipe of that name.
    """
    known = {word: len(read_recipe(kind, name).keys() & kind.model_fields.keys()) for word, kind in KINDS.items()}
    most = max(known, key=lambda word: known[word])
    return most if known[most] else None
