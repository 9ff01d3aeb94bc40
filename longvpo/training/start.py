"""Where training starts: the adapter of an earlier one, or none; and what its dataset says of its videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longvpo.clips.published import differing, frames_of_dataset
from longvpo.clips.trained import read_trained, videos_of
from longvpo.errors import LongVPOError
from longvpo.io.weights import ADAPTER_WEIGHTS, read_header
from longvpo.models.load import adapter_folder, check_adapter
from longvpo.recipe.training import TrainRecipe
from longvpo.training.adapter import check_kept_features
from longvpo.video.frames import ClipFrames

if TYPE_CHECKING:
    from datasets import Dataset


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
    weights = json.loads(read_header(folder / ADAPTER_WEIGHTS))
    check_kept_features((name for name in weights if name != "__metadata__"), recipe.vision_cache_gb)
    return folder


def frames_of_recipe(recipe: TrainRecipe) -> ClipFrames:
    """The frames of the recipe's rows: of videos in folders, kept ones, or those that the dataset published."""
    data = recipe.data
    return frames_of_dataset(data.dataset, data.revision, recipe.references, recipe.video, data.videos)


def sampled_otherwise(recipe: TrainRecipe) -> dict[str, dict[str, Any]]:
    """The keys of `video` in which the recipe and its dataset's differ, each with both values."""
    return differing(recipe.data.dataset, recipe.data.revision, recipe.video, "training")


def videos_trained_on(recipe: TrainRecipe, rows: Dataset, start: Path | None) -> set[str] | None:
    """sha256 of the videos of all rows, and of those that the model was trained on before; None: not known."""
    parts = [read_trained(start)] if start else []
    parts.append(read_trained(Path(recipe.base.model)) or set())  # of the adapter that was merged into it, if any
    for config in recipe.references:
        some = rows.select([place for place, name in enumerate(rows["config"][:]) if name == config])
        parts.append(videos_of(recipe.data.dataset, recipe.data.revision, config, some))
    known = [part for part in parts if part is not None]
    return set().union(*known) if len(known) == len(parts) else None
