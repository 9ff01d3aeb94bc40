"""The needle grid: one clip holds the answer, hidden at several depths among more and more others.

    longvpo evaluate my-recipe.yaml --adapter FOLDER

Beside it, where a recipe has `multi`, questions about whole long videos that need several scenes (multi.py).

Every model answers the same questions over the same contexts, greedily; an answer counts when it equals the true one
after case and punctuation are taken away. Where a table has a list of answers, each of them is true.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.clips.pool import make_pool
from longvpo.clips.sources import fingerprint, read_clips
from longvpo.clips.trained import read_trained
from longvpo.errors import LongVPOError, say
from longvpo.evaluation.ask import gallery
from longvpo.evaluation.multi import read_questions, run_multi
from longvpo.evaluation.needle import Grid, make_cells, questions_of, run_grid
from longvpo.io.files import as_json, file_hash, write_text
from longvpo.io.output import Place, claimed, finished, place_of, write_whole
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.models.embed import Embedder
from longvpo.models.load import check_adapter, load_model, load_processor
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import dump_recipe, recipe_hash
from longvpo.release.figures import heat_map
from longvpo.video.frames import ClipFrames


def evaluate(recipe: EvaluateRecipe, output: Path, adapters: dict[str, Path] | None = None) -> dict[str, Any]:
    """Ask the base and every adapter, write the results into the folder `output`, and return them.

    Args:
        adapters: folders by the names under which results are shown.

    Returns:
        Accuracies in percent: needle, by model and number of clips; grid, by depth too; with `multi`, multi, by model
        and group. How many questions they count: questions, multi_questions. frames: those of the longest context, by
        number of clips. failures: some wrong answers of each model. test_videos: how many videos were asked about, and
        trained_on, how many of them each adapter was trained on, null where it does not say. Also dropped: reasons by
        clip or row.

    Raises:
        LongVPOError: the source has too few clips, no long video can be asked about, or an adapter is of another base.
    """
    adapters = adapters or {}
    if "base" in adapters:
        raise LongVPOError("an adapter cannot go by the name of base: rename its folder")
    for path in adapters.values():
        check_adapter(recipe.base, path)
    weights = {name: file_hash(path / ADAPTER_WEIGHTS) for name, path in adapters.items()}
    sources = [recipe.source, *([recipe.multi.source] if recipe.multi else [])]
    if len({source.name for source in sources}) < len(sources):
        raise LongVPOError(f"source and multi.source are both named {recipe.source.name}: rename one")
    key = ",".join(
        [recipe_hash(recipe), *map(fingerprint, sources), *(f"{name}={said}" for name, said in weights.items())]
    )
    place = place_of(output)
    done = finished(place, "results.json", key)
    if done:
        return done
    with claimed(place, key, recipe_hash(recipe)):
        return _evaluate(recipe, place, adapters, weights, key)


def _evaluate(
    recipe: EvaluateRecipe, place: Place, adapters: dict[str, Path], weights: dict[str, str], key: str
) -> dict[str, Any]:
    """Ask, in a place that is claimed."""
    sources = [recipe.source, *([recipe.multi.source] if recipe.multi else [])]
    started = time.monotonic()
    clips, rows, dropped = read_clips(recipe.source, ("question", "answer"))
    by_id = questions_of(clips, rows, dropped)
    clips = [clip for clip in clips if clip.clip_id in by_id]
    if len(clips) < max(recipe.grid.clips):
        raise LongVPOError(
            f"source {recipe.source.name} has {len(clips)} readable clips, and the grid needs "
            f"{max(recipe.grid.clips)}: add clips, or lower grid.clips"
        )
    frames_of = ClipFrames(recipe.video, {source.name: source.folder for source in sources})
    questions, unusable = read_questions(recipe.multi, frames_of) if recipe.multi else ([], [])
    embedder = Embedder(recipe.filters)
    pool, unreadable = make_pool(clips, frames_of, embedder)
    texts = [by_id[clip.clip_id] for clip in pool.clips]
    cells = make_cells(recipe, pool, texts, embedder)
    del embedder
    tested = {clip.sha256 for clip in pool.clips} | {one.clip.sha256 for one in questions}
    models = {"base": Path(recipe.base.model)} if read_trained(Path(recipe.base.model)) else {}  # a merged one says it
    trained_on = {name: _trained_on(name, path, tested) for name, path in (models | adapters).items()}

    processor = load_processor(recipe.base)
    grids: dict[str, Grid] = {}
    multi: dict[str, dict[str, float]] = {}
    failures: dict[str, list[dict[str, Any]]] = {}
    for name, adapter in {"base": None, **adapters}.items():
        model = load_model(recipe.base, adapter)
        wrong: list[dict[str, Any]] = []
        grids[name] = run_grid(model, processor, recipe, pool, cells, frames_of, name, wrong)
        if recipe.multi:
            multi[name] = run_multi(model, processor, recipe, questions, frames_of, name, wrong)
        failures[name] = gallery(wrong)
        del model
    counts = Counter(one.group for one in questions)
    results = {
        "key": key,
        "recipe": recipe_hash(recipe),
        "base": f"{recipe.base.model}@{recipe.base.revision}",
        "quantization": recipe.base.quantization,
        "adapters": weights,  # sha256 of each one's weights
        "needle": {
            name: {n: round(float(np.mean(row)), 1) for n, row in grid.items()} for name, grid in grids.items()
        },
        "grid": grids,
        "questions": {str(n): [len(cell) for cell in row] for n, row in cells.items()},
        **({"multi": multi, "multi_questions": {group: counts[group] for group in multi["base"]}} if multi else {}),
        "test_videos": len(tested),
        "trained_on": trained_on,
        "frames": {
            str(n): max(int(pool.frames[one.clips].sum()) for cell in row for one in cell) for n, row in cells.items()
        },
        "failures": failures,
        "dropped": {item.id: item.reason for item in dropped + unreadable + unusable},
        "seconds": round(time.monotonic() - started, 1),
    }

    def write(folder: Path) -> None:
        write_text(folder / "results.json", as_json(results))
        write_text(folder / "recipe.yaml", dump_recipe(recipe))
        heat_map(folder / "heat_map.png", grids)

    try:
        write_whole(place, write)
    except Exception:  # whatever it is: hours of answers are not lost
        print(as_json(results))
        raise
    return results


def _trained_on(name: str, adapter: Path, tested: set[str]) -> int | None:
    """How many test videos, by their sha256, an adapter was trained on; None where it does not say."""
    videos = read_trained(adapter)
    if videos is None:
        return None
    count = len(tested & videos)
    if count:
        of = f"{count} of {len(tested)} test videos"
        say(f"warning: {of} were trained on by {name}: its results are no test of them")
    return count
