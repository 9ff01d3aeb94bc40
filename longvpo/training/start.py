"""Where training starts: the adapter of an earlier one, or none; and what its dataset says of its videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longvpo.clips.listed import frames_of_pairs
from longvpo.clips.pairs import settle
from longvpo.clips.published import differing, frames_of_dataset
from longvpo.clips.trained import read_trained, videos_of
from longvpo.errors import LongVPOError
from longvpo.io.names import video_file
from longvpo.io.weights import ADAPTER_WEIGHTS, read_header
from longvpo.models.load import adapter_folder, check_adapter
from longvpo.recipe.training import MixSection, Reference, TrainRecipe
from longvpo.training.adapter import check_kept_features
from longvpo.video.frames import ClipFrames
from longvpo.video.kept import hash_of

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


def settled(recipe: TrainRecipe) -> TrainRecipe:
    """The recipe with its open settings for pairs from another tool filled in: columns, folders of videos, and what
    the reference sees. That is the anchor where rows may have one, else the whole context. Of our triplets it is as it
    was.

    Raises:
        LongVPOError: the dataset cannot be read, lacks a column, or has no anchors for the reference.
    """
    data = recipe.data
    found = settle(data.dataset, data.config, data.split, data.revision, data.columns, data.videos)
    if found is None:
        return recipe
    kind: Reference = "anchor" if found.anchored else "full"

    def seen(one: TrainRecipe | MixSection, key: str) -> Reference:
        if "reference" not in one.model_fields_set:
            return kind
        if one.reference != "full" and not found.anchored:
            raise LongVPOError(
                f"{data.dataset} says no anchor, so that {key}={one.reference} means nothing: set {key}=full, or "
                "data.columns.anchor_start and anchor_end to the columns with the seconds"
            )
        return one.reference

    mix = tuple(
        one.model_copy(update={"reference": seen(one, f"data.mix.{place}.reference")})
        for place, one in enumerate(data.mix)
    )
    about = {"config": found.config, "columns": found.columns, "videos": found.folders, "mix": mix}
    return recipe.model_copy(update={"data": data.model_copy(update=about), "reference": seen(recipe, "reference")})


def frames_of_recipe(recipe: TrainRecipe) -> ClipFrames:
    """The frames of the recipe's rows: from videos in folders, kept frames, or frames in the dataset."""
    data = recipe.data
    if data.columns is not None:
        return frames_of_pairs(data.dataset, recipe.video, data.videos, data.columns.list_fps)
    return frames_of_dataset(data.dataset, data.revision, recipe.references, recipe.video, data.videos)


def sampled_otherwise(recipe: TrainRecipe) -> dict[str, dict[str, Any]]:
    """The keys of `video` in which the recipe and its dataset's differ, each with both values."""
    if recipe.data.columns is not None:
        return {}
    return differing(recipe.data.dataset, recipe.data.revision, recipe.video, "training")


def videos_trained_on(recipe: TrainRecipe, rows: Dataset, start: Path | None) -> set[str] | None:
    """sha256 of the videos of all rows, and of those that the model was trained on before; None: not known."""
    parts = [read_trained(start)] if start else []
    parts.append(read_trained(Path(recipe.base.model)) or set())  # the adapter that was merged into it, if any
    if recipe.data.columns is not None:
        parts.append(_files_hashed(rows, recipe))
    for config in recipe.references if recipe.data.columns is None else ():
        some = rows.select([place for place, name in enumerate(rows["config"][:]) if name == config])
        parts.append(videos_of(recipe.data.dataset, recipe.data.revision, config, some))
    known = [part for part in parts if part is not None]
    return set().union(*known) if len(known) == len(parts) else None


def _files_hashed(rows: Dataset, recipe: TrainRecipe) -> set[str] | None:
    """sha256 of the videos of rows from another tool; None where a row shows pictures of its own."""
    clips = {(clip["source"], clip["video"]) for context in rows["context"][:] for clip in context}
    folders = frames_of_recipe(recipe).folders
    if any(source not in folders for source, _ in clips):
        return None
    return {hash_of(video_file(folders[source], video)) for source, video in sorted(clips)}
