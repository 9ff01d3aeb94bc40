"""Where training starts: the adapter of an earlier one, or none."""

from __future__ import annotations

from pathlib import Path

from longvpo.errors import LongVPOError
from longvpo.models.load import adapter_folder, check_adapter
from longvpo.recipe.training import TrainRecipe


def check_starting_adapter(recipe: TrainRecipe) -> None:
    """Raises LongVPOError when `adapter` does not go with the rest of the recipe; one on the Hub is not looked at."""
    if recipe.adapter is None:
        return
    if "lora" in recipe.model_fields_set:
        raise LongVPOError("`lora` comes with the adapter: leave `lora` or `adapter` out (tiny/stage2 has no `lora`)")
    if Path(recipe.adapter).is_dir():
        check_adapter(recipe.base, Path(recipe.adapter))


def starting_adapter(recipe: TrainRecipe) -> Path | None:
    """Folder of the adapter that training goes on from, if there is one."""
    check_starting_adapter(recipe)
    if recipe.adapter is None:
        return None
    folder = adapter_folder(recipe.adapter, recipe.adapter_revision)
    check_adapter(recipe.base, folder)
    return folder
