"""A dataset with the log-probabilities of a reference as columns, for others to train on without scoring it.

    longvpo score RECIPE data.dataset=FOLDER --output FOLDER

Each config that the recipe trains on gains `ref_chosen_logps` and `ref_rejected_logps`, which are TRL's names, and
`ref_scored_by`. That is a JSON object with the base, the revision, the adapter and the frames that they come from.
Training with `reference_log_probs: dataset` takes them, and refuses them where its own reference is another.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import pyarrow
from pyarrow import parquet

from longvpo.clips.rows import COLUMNS
from longvpo.errors import LongVPOError
from longvpo.io.disk import check_room
from longvpo.io.files import CARD, RELEASE, as_yaml, file_hash, write_text
from longvpo.io.output import whole_output
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.models.load import load_processor
from longvpo.recipe.training import TrainRecipe
from longvpo.release.card_file import write_card
from longvpo.release.cards import card_of
from longvpo.release.parquet import shards, write_shards
from longvpo.training.arguments import training_arguments
from longvpo.training.reference import score_reference
from longvpo.training.rows import SCORED_BY, SCORES, pictures_of, reference_identity, training_rows
from longvpo.training.run import make_trainer
from longvpo.training.start import frames_of_recipe, settled, starting_adapter
from longvpo.training.tokens import row_lengths
from longvpo.training.videos import check_videos
from longvpo.training.workers import reading


def score_dataset(recipe: TrainRecipe, output: Path) -> dict[str, Any]:
    """Copy the recipe's dataset into the folder `output`, scored.

    Returns:
        dataset; triplets and scored_by, by config that was scored.

    Raises:
        LongVPOError: the dataset is not a folder, or it, its videos, the base or the adapter cannot be used.
    """
    folder = Path(recipe.data.dataset)
    if not folder.exists():
        raise LongVPOError(f"{folder} is not a folder: download the dataset first, `hf download` does it")
    recipe = settled(recipe).model_copy(update={"sequence_parallel": 1})  # one process scores
    ours = recipe.data.columns is None
    if ours:
        card_of(folder)  # the scored one has a card, too: whether it can be made is found out before the work
    start = starting_adapter(recipe)
    adapter = file_hash(start / ADAPTER_WEIGHTS) if start else None
    arguments = training_arguments(recipe.training, output, evaluates=recipe.data.eval is not None)
    arguments.eval_strategy, processor = "no", load_processor(recipe.base)
    frames_of = frames_of_recipe(recipe)
    facts: dict[str, Any] = {"dataset": str(output), "triplets": {}, "scored_by": {}}
    with whole_output(output) as copy:
        if ours:
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            check_room(copy, size, "the copy takes")
            shutil.copytree(folder, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("work", RELEASE))
        for config, reference in recipe.references.items():
            data = recipe.data.model_copy(update={"config": config, "mix": ()})
            alone = {"data": data, "reference": reference, "reference_log_probs": "each_step"}
            rows = training_rows(recipe.model_copy(update=alone), arguments.seed)
            check_videos(rows, frames_of, recipe.frame_budget)
            lengths = row_lengths(recipe, rows, processor, frames_of)
            trainer = make_trainer(recipe, arguments, rows, start, processor, frames_of, lengths)
            with reading():
                scores = score_reference(trainer, rows)
            said = reference_identity(recipe, reference, adapter, pictures_of(rows, frames_of))
            new = {name: scores[name][:] for name in SCORES} | {SCORED_BY: [json.dumps(said)] * len(rows)}
            if not ours:
                write_shards(copy / config, rows.select_columns(COLUMNS), rows.select_columns(COLUMNS).features)
            _add(copy, config, new)
            facts["triplets"][config], facts["scored_by"][config] = len(rows), said
        if ours:
            write_card(copy)
        else:
            write_text(copy / CARD, _configs(facts["triplets"]))
    return facts


def _configs(names: Iterable[str]) -> str:
    """Front matter that tells load_dataset the configs of rows from another tool; a card of longvpo would need a
    build's facts."""
    configs = [
        {"config_name": name, "data_files": [{"split": "train", "path": f"{name}/*.parquet"}]} for name in names
    ]
    return f"---\n{as_yaml({'configs': configs})}---\n"


def _add(folder: Path, config: str, columns: dict[str, list[Any]]) -> None:
    """Write the config's parquet files again, with these columns."""
    old = folder / "old"
    (folder / config).rename(old)
    # not from_parquet, which takes brackets in a path for a pattern
    rows = datasets.Dataset(pyarrow.concat_tables(parquet.read_table(path) for path in shards(old)))
    rows = rows.remove_columns([name for name in columns if name in rows.column_names])
    for name, values in columns.items():
        rows = rows.add_column(name, values)
    write_shards(folder / config, rows, rows.features)
    shutil.rmtree(old)
