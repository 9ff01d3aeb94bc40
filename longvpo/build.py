"""Run a DatasetRecipe: sources, then triplets, then a folder that load_dataset reads.

    longvpo build-dataset my-recipe.yaml

The folder holds the configs `stage1`, `clips` and `dropped`, a card, facts.json, recipe.yaml and a contact sheet. It
appears whole, when everything is done.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.cards import render
from longvpo.errors import LongVPOError
from longvpo.figures import contact_sheet
from longvpo.folder import file_hash, finished, whole_folder
from longvpo.pool import Pool, make_pool
from longvpo.recipe import DatasetRecipe, dump_recipe, recipe_hash
from longvpo.similarity import Embedder
from longvpo.sources import find_table, read_clips
from longvpo.stage1 import Outcome, anchored_cues
from longvpo.triplet import Clip, Dropped, features
from longvpo.video import ClipFrames
from longvpo.writer import LocalWriter


def build(
    recipe: DatasetRecipe,
    output: Path,
    writer: LocalWriter | None = None,
    embedder: Embedder | None = None,
) -> dict[str, Any]:
    """Build the dataset into the folder `output`, and return its facts.

    Args:
        writer, embedder: take the place of the recipe's models.

    Raises:
        LongVPOError: the sources cannot make such a dataset, or `output` holds something else.
    """
    key = ",".join([recipe_hash(recipe), *(file_hash(find_table(source)) for source in recipe.sources)])
    done = finished(output, "facts.json", key)
    if done:
        return done
    started = time.monotonic()
    clips, dropped = _read_sources(recipe)
    _check_enough(recipe, clips, dropped)
    writer = writer or LocalWriter(recipe.writer, recipe.video.fps)
    embedder = embedder or Embedder(recipe.filters)
    frames_of = ClipFrames(recipe.video, {source.name: source.folder for source in recipe.sources})
    pool, unreadable = make_pool(clips, frames_of, embedder)
    dropped += unreadable
    _check_enough(recipe, pool.clips, dropped)
    outcome = anchored_cues(recipe, pool, frames_of, writer, embedder)
    if not outcome.triplets:
        raise LongVPOError(
            f"no triplet was left of {outcome.anchors} anchors: {_reasons(outcome.dropped)}; "
            "loosen filters.* or context.clips, or give more clips"
        )
    dropped += outcome.dropped
    facts = {"key": key} | make_facts(recipe, pool, outcome, dropped, writer.name, time.monotonic() - started)
    with whole_folder(output) as folder:
        configs = {
            "stage1": [asdict(triplet) for triplet in outcome.triplets],
            "clips": [asdict(clip) for clip in pool.clips],
            "dropped": [item.row() for item in dropped],
        }
        files = {config: _write(folder, config, rows) for config, rows in configs.items()}
        (folder / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
        (folder / "recipe.yaml").write_text(dump_recipe(recipe))
        (folder / "README.md").write_text(_card(recipe, facts, files))
        sheet = next((t for t in outcome.triplets if 4 <= len(t.context) <= 8), outcome.triplets[0])
        contact_sheet(folder / "contact_sheet.png", sheet, [frames_of(clip) for clip in sheet.context])
    return facts


def plan(recipe: DatasetRecipe) -> dict[str, Any]:
    """What a build would do, without doing it: no model is loaded and nothing is written."""
    lengths = recipe.context.clips or (2, recipe.context.frame_budget)
    return {
        "recipe": recipe.name,
        "hash": recipe_hash(recipe),
        "sources": {source.name: str(source.folder) for source in recipe.sources},
        "triplets": recipe.stage1.triplets,
        "clips_a_context": sorted(set(lengths)),
        "frame_budget": recipe.context.frame_budget,
        "writer": f"{recipe.writer.model}@{recipe.writer.revision}",
        "writer_calls": {
            "at_least": 2 * recipe.stage1.triplets,
            "at_most": 2 * int(recipe.stage1.triplets * recipe.stage1.attempts),
        },
    }


def make_facts(
    recipe: DatasetRecipe, pool: Pool, outcome: Outcome, dropped: list[Dropped], writer: str, seconds: float
) -> dict[str, Any]:
    """What the build measured; cards and figures are made from this alone."""
    triplets = outcome.triplets
    lengths = Counter(len(triplet.context) for triplet in triplets)
    # where in the context the anchor stands, from 0 (first) to 1 (last); fewer than five clips cannot fill five bins
    depths = [t.anchors[0] / (len(t.context) - 1) for t in triplets if len(t.context) >= 5]
    return {
        "recipe": recipe_hash(recipe),
        "triplets": len(triplets),
        "clips": len(pool.clips),
        "clips_used_as_anchor": len({t.context[t.anchors[0]]["clip_id"] for t in triplets}),
        "anchors_tried": outcome.anchors,
        "dropped": dict(Counter(item.filter for item in dropped)),
        "distractors_replaced": dict(outcome.replaced),
        "clips_a_context": {str(n): lengths[n] for n in sorted(lengths)},
        "anchor_depth": [int(n) for n in np.histogram(depths, bins=5, range=(0, 1))[0]],
        "answer_words": {
            name: float(np.mean([len(getattr(t, name).split()) for t in triplets])) for name in ("chosen", "rejected")
        },
        "writer": writer,
        "question_prompt": recipe.writer.question_prompt,
        "answer_prompt": recipe.writer.answer_prompt,
        "licenses": {source.name: source.license for source in recipe.sources},
        "seconds": round(seconds, 1),
    }


def _read_sources(recipe: DatasetRecipe) -> tuple[list[Clip], list[Dropped]]:
    clips: list[Clip] = []
    dropped: list[Dropped] = []
    for source in recipe.sources:
        found, _, refused = read_clips(source)
        clips += found
        dropped += refused
    return clips, dropped


def _check_enough(recipe: DatasetRecipe, clips: list[Clip], dropped: list[Dropped]) -> None:
    needed = max(max(recipe.context.clips or (2,)), 2)  # a rejected answer needs a clip beside the anchor
    if len(clips) < needed:
        refused = f"; {len(dropped)} cannot be used, the first: {dropped[0].reason}" if dropped else ""
        raise LongVPOError(
            f"the sources have {len(clips)} readable clips and a context needs {needed}{refused}. "
            "Add clips, or lower context.clips"
        )


def _reasons(dropped: list[Dropped]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(item.filter for item in dropped).most_common())


def _write(folder: Path, config: str, rows: list[dict[str, Any]]) -> str:
    """One parquet file of a config; returns its path in the folder, which changes with its content.

    load_dataset caches a local folder by its name and its README alone (datasets 5.2): with a constant file name, a
    dataset that was built again would be answered from the cache of the old one.
    """
    import datasets

    columns = features(config)
    data = datasets.Dataset.from_dict({name: [row[name] for row in rows] for name in columns}, features=columns)
    (folder / config).mkdir()
    unnamed = folder / config / "train.parquet"
    datasets.disable_progress_bars()
    data.to_parquet(unnamed)
    datasets.enable_progress_bars()
    named = unnamed.rename(folder / config / f"train-00000-of-00001-{file_hash(unnamed)[:16]}.parquet")
    return str(named.relative_to(folder))


def _card(recipe: DatasetRecipe, facts: dict[str, Any], files: dict[str, str]) -> str:
    configs: list[dict[str, Any]] = [
        {"config_name": config, "data_files": [{"split": "train", "path": path}]} for config, path in files.items()
    ]
    configs[0]["default"] = True
    front = {
        "pretty_name": recipe.name,
        "task_categories": ["video-text-to-text"],
        "tags": ["longvpo", "dpo", "preference", "video"],
        "configs": configs,
    }
    filters = sorted(set(facts["dropped"]) | set(facts["distractors_replaced"]))
    return render("dataset", front, name=recipe.name, facts=facts, filters=filters)
