"""Where training starts: the adapter of an earlier one, or none."""

from __future__ import annotations

from pathlib import Path

from longvpo.errors import LongVPOError
from longvpo.models.load import adapter_folder, check_adapter
from longvpo.recipe.training import TrainRecipe


def starting_adapter(recipe: TrainRecipe, fetch: bool = True) -> Path | None:
    """Folder of the adapter that training starts from, if there is one.

    Args:
        fetch: an adapter on the Hub is fetched; else it is not looked at.

    Raises:
        LongVPOError: `adapter` does not go with the rest of the recipe, or cannot be had.
    """
    if recipe.adapter is None:
        return None
    if "lora" in recipe.model_fields_set:
        raise LongVPOError("`lora` comes with the adapter: leave `lora` or `adapter` out (tiny/stage2 has no `lora`)")
    if not fetch and not Path(recipe.adapter).is_dir():
        return None
    folder = adapter_folder(recipe.adapter, recipe.adapter_revision)
    check_adapter(recipe.base, folder)
    return folder
