"""The three kinds of recipes, and the kind of a file."""

from __future__ import annotations

from longvpo.errors import LongVPOError
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import RecipeType, load_recipe, read_recipe
from longvpo.recipe.sections import Section
from longvpo.recipe.training import TrainRecipe

KINDS: dict[str, type[Section]] = {"dataset": DatasetRecipe, "train": TrainRecipe, "evaluate": EvaluateRecipe}
WHAT = {"dataset": "a dataset", "train": "a training", "evaluate": "an evaluation"}
COMMANDS = {"dataset": "build-dataset", "train": "train", "evaluate": "evaluate"}


def kind_of(name: str) -> str | None:
    """The kind that knows the most keys of a file; None: no kind knows any key, so the file is not a recipe.

    Raises:
        LongVPOError: no file or recipe has that name.
    """
    known = {word: len(read_recipe(kind, name).keys() & kind.model_fields.keys()) for word, kind in KINDS.items()}
    most = max(known, key=lambda word: known[word])
    return most if known[most] else None


def load_as(kind: type[RecipeType], name: str, overrides: list[str] | None = None) -> RecipeType:
    """`load_recipe`, which says so where the recipe has problems because it is of another kind.

    Raises:
        LongVPOError: as `load_recipe`.
    """
    try:
        return load_recipe(kind, name, overrides)
    except LongVPOError:
        keys = read_recipe(kind, name).keys()
        knows_all = [word for word, other in KINDS.items() if other.model_fields.keys() >= keys]
        if not knows_all or kind in map(KINDS.get, knows_all):
            raise
        wanted = next(word for word, one in KINDS.items() if one is kind)
        raise LongVPOError(
            f"{name} is for `longvpo {COMMANDS[knows_all[0]]}`. This command takes a recipe of {WHAT[wanted]}, such "
            f"as FAMILY/{kind.builtin}: `longvpo recipes` lists them"
        ) from None
