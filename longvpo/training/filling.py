"""Frames kept before training: all that a recipe's rows will show, so that training decodes no video.

    longvpo frames RECIPE

Kept frames are skipped, so the same command resumes. Several commands at once, on as many machines, share the work:
each takes the clips in an order of its own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import SystemRandom
from typing import Any

import numpy as np
from datasets import concatenate_datasets
from tqdm import tqdm

from longvpo.clips.published import NAMES
from longvpo.errors import LongVPOError, VideoError, say
from longvpo.recipe.training import TrainRecipe
from longvpo.training.arguments import training_arguments
from longvpo.training.held_out import train_and_eval_rows
from longvpo.training.start import frames_of_recipe, settled
from longvpo.training.videos import Asked, asked_of
from longvpo.video.frames import ClipFrames


def fill_frames(recipe: TrainRecipe) -> dict[str, Any]:
    """Keep the frames that the rows of a recipe show, in the folder `video.frames`.

    Returns:
        files, frames and bytes that are kept for these rows; seconds. `decoded` counts the files of this run,
        `published` the clips that need none. `unreadable` has the reason for each video that cannot be read.

    Raises:
        LongVPOError: the recipe, its dataset or its folders cannot be used, or it has no folder of frames.
    """
    if recipe.video.frames is None:
        raise LongVPOError("this recipe keeps no frames: set video.frames to a folder for them")
    started = time.monotonic()
    _check_writable(recipe.video.frames)
    recipe = settled(recipe)
    arguments = training_arguments(recipe.training, Path("unused"), evaluates=recipe.data.eval is not None)
    rows = concatenate_datasets(train_and_eval_rows(recipe, arguments.seed))
    frames_of = frames_of_recipe(recipe)
    asked = list(_distinct(rows, frames_of, recipe.frame_budget))
    wanted = [one for one in asked if frames_of.origin(one[0])["from"] == "kept"]
    SystemRandom().shuffle(wanted)
    before = sum(_bytes(frames_of, one) > 0 for one in wanted)
    if before:
        say(f"resumed: {before} of {len(wanted)} files of frames are in {recipe.video.frames}")
    unreadable: dict[str, str] = {}

    def keep(one: Asked) -> bool:
        """Whether it was not kept before."""
        clip, places = one
        try:
            before = frames_of.kept_bytes(clip, places)
            frames_of.keep(clip, places)  # it reads what is kept: a damaged file is written again
            return not before
        except VideoError as error:
            unreadable[f"{clip['source']}/{clip['video']}"] = str(error)
            return False

    with ThreadPoolExecutor(recipe.video.workers) as pool:
        decoded = sum(tqdm(pool.map(keep, wanted), "frames", len(wanted), disable=None))
    held = [(one, _bytes(frames_of, one)) for one in wanted]
    there = [one for one, size in held if size]
    readable = [one for one in wanted if f"{one[0]['source']}/{one[0]['video']}" not in unreadable]
    if len(there) < len(readable):
        say(
            f"warning: {len(readable) - len(there)} of {len(readable)} files did not stay in {recipe.video.frames}: "
            "raise video.frames_gb, which others may have used up"
        )
    if unreadable:
        say(f"warning: {len(unreadable)} videos cannot be read, the first: {next(iter(unreadable.values()))}")
    return {
        "folder": str(recipe.video.frames),
        "files": len(there),
        "frames": sum(frames_of.count(clip) if places is None else len(places) for clip, places in there),
        "bytes": sum(size for _, size in held),
        "decoded": decoded,
        "published": len(asked) - len(wanted),
        "unreadable": dict(sorted(unreadable.items())),
        "seconds": round(time.monotonic() - started, 1),
    }


def _check_writable(folder: Path) -> None:
    """Raises LongVPOError where frames cannot be kept."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise LongVPOError(
            f"no frames can be kept in {folder}: {error.strerror}; set video.frames to another folder"
        ) from error


def _distinct(rows: Any, frames_of: ClipFrames, budget: int | None) -> Iterator[Asked]:
    """What the rows ask for, each once; where all frames of a clip are asked for, nothing else of it."""
    found: dict[tuple[Any, ...], dict[tuple[int, ...] | None, Asked]] = {}
    for row in tqdm(rows, "rows", leave=False, disable=None):
        for clip, places in asked_of(row, frames_of, budget):
            asked = found.setdefault(tuple(clip[name] for name in NAMES), {})
            asked[None if places is None else tuple(places.tolist())] = (clip, places)
    for asked in found.values():
        yield from [asked[None]] if None in asked else asked.values()


def _bytes(frames_of: ClipFrames, one: tuple[dict[str, Any], np.ndarray | None]) -> int:
    try:
        return frames_of.kept_bytes(*one)
    except VideoError:
        return 0
