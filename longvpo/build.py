"""Run a DatasetRecipe: sources, then triplets, then a folder that load_dataset reads.

    longvpo build-dataset my-recipe.yaml

The folder holds the configs `stage1`, `clips` and `dropped`, a card, facts.json, recipe.yaml and a contact sheet, and
in `work/` the journal of all answers and every finished block. A build that was killed goes on from there, and ends
with the same bytes as one that was not; facts.json comes last.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from longvpo.assemble import Outcome, finish
from longvpo.blocks import SMALLEST, Block, Material, Task, block_size, opened
from longvpo.cards import dataset_card
from longvpo.endpoint import make_writer
from longvpo.errors import LongVPOError
from longvpo.facts import make_facts
from longvpo.figures import contact_sheet
from longvpo.folder import claimed, file_hash, whole_file
from longvpo.journal import Journal
from longvpo.model import check_model
from longvpo.pool import Pool, mixed
from longvpo.recipe import DatasetRecipe, SourceSection
from longvpo.recipe_file import dump_recipe, recipe_hash
from longvpo.similarity import Embedder
from longvpo.sources import Candidate, check_enough, fingerprint, list_candidates, prepare, read_overlap
from longvpo.stage1 import Studio, work
from longvpo.triplet import Dropped, features
from longvpo.video import ClipFrames
from longvpo.writer import Writer

CHOICE = 4  # clips to choose from, for each of the longest context


def build(
    recipe: DatasetRecipe,
    output: Path,
    writer: Writer | None = None,
    judge: Writer | None = None,
    embedder: Embedder | None = None,
    journal: Path | None = None,
) -> dict[str, Any]:
    """Build the dataset into the folder `output`, and return its facts. The same call again goes on, or does nothing.

    Args:
        writer, judge, embedder: take the place of the recipe's models.
        journal: folder of answers to use and to add to, instead of the output's own; builds may share one.

    Raises:
        LongVPOError: the sources cannot make such a dataset, or `output` holds something else.
    """
    recipe_key = recipe_hash(recipe)
    key = ",".join([recipe_key, *(fingerprint(source) for source in recipe.sources)])
    with claimed(output, key, recipe_key) as working:
        if (output / "facts.json").is_file():
            print(f"{output} is finished already: nothing to do", file=sys.stderr)
            facts: dict[str, Any] = json.loads((output / "facts.json").read_text())
            return facts
        if writer is None and recipe.writer.endpoint is None:
            check_model(recipe.writer)  # before hours of fetching
        if judge is None and recipe.judge is not None and recipe.judge.endpoint is None:
            check_model(recipe.judge, sees=False)
        material, dropped = gather(recipe, working)
        if writer is None:
            writer = make_writer(recipe.writer, recipe.video.fps)
        if judge is None and recipe.judge is not None:
            judge = make_writer(recipe.judge, recipe.video.fps)
        studio = Studio(
            recipe=recipe,
            writer=writer,
            judge=judge,
            embedder=embedder or Embedder(recipe.filters),
            journal=Journal(journal or working / "journal"),
            frames_of=material.frames_of,
        )
        rows = len(material.candidates) + len(dropped)
        outcome = Outcome(dropped=dropped)
        pool = run(studio, material, working / "blocks", outcome)
        if not outcome.triplets:
            raise LongVPOError(
                f"no triplet was left of {outcome.anchors} anchors: {_reasons(outcome.dropped)}; "
                "loosen filters.* or context.clips, or give more clips, with another --output; the answers are kept: "
                f"--journal {studio.journal.folder}"
            )
        facts = make_facts(recipe, pool, outcome, rows)
        publish(output, working / "final", recipe, pool, outcome, facts, material.frames_of)
    return facts


def gather(recipe: DatasetRecipe, working: Path) -> tuple[Material, list[Dropped]]:
    """The candidates of all sources, and the rows that are none.

    Raises:
        LongVPOError: a source cannot be read, or all together have too few.
    """
    overlap = read_overlap(recipe.filters.overlap)
    sources: list[SourceSection] = []
    candidates: list[Candidate] = []
    dropped: list[Dropped] = []
    for source in recipe.sources:
        found, refused = _listed(source, recipe.seed, working)
        candidates += found
        sources += [source] * len(found)
        dropped += refused
    try:
        check_enough(recipe, len(candidates), dropped)
    except LongVPOError:
        shutil.rmtree(working / "sources", ignore_errors=True)  # what is listed may be mended before the next run
        raise
    frames_of = ClipFrames(recipe.video, {source.name: source.folder for source in recipe.sources})
    return Material(sources, candidates, frames_of, overlap), dropped


def _listed(source: SourceSection, seed: int, working: Path) -> tuple[list[Candidate], list[Dropped]]:
    """A source's candidates; where it was fetched or cut, the list is kept, for that can take hours."""
    file = working / "sources" / f"{source.name}.json"
    if file.is_file():
        said = json.loads(file.read_text())
        return [Candidate(**item) for item in said["candidates"]], [Dropped(**item) for item in said["dropped"]]
    candidates, dropped = list_candidates(source, seed)
    candidates, refused = prepare(source, candidates, working / "scenes")
    dropped += refused
    if source.dataset is not None or source.scenes is not None:
        with whole_file(file) as kept:
            said = {"candidates": [asdict(item) for item in candidates], "dropped": [asdict(item) for item in dropped]}
            kept.write(json.dumps(said).encode())
    return candidates, dropped


def run(studio: Studio, material: Material, blocks: Path, outcome: Outcome) -> Pool:
    """Write triplets until the recipe's number is reached or its attempts are used up; returns the clips used.

    Clips pass in rounds: every clip is the anchor of as many drafts as an even share asks for, then the rest of the
    drafts, and those that replace dropped ones, come in further rounds.
    """
    recipe = studio.recipe
    wanted, most = recipe.stage1.triplets, int(recipe.stage1.triplets * recipe.stage1.attempts)
    pool = Pool([], np.zeros(0, int), np.zeros((0, 1)), np.zeros((0, 1)))
    order = _anchors(recipe, material)
    bad: set[int] = set()
    planned = files = 0
    with tqdm(total=wanted, desc="stage 1") as bar:
        while len(outcome.triplets) < wanted and planned < most and len(bad) < len(material.candidates):
            need = min(wanted - len(outcome.triplets), most - planned)
            begin = Task(blocks / f"{files:05d}.npz", {}, planned)
            tasks = plan_round(recipe, order, len(material.candidates), need, len(pool.clips), bad, begin)
            files += len(tasks)
            planned += sum(task.drafts for task in tasks)
            made: list[Block] = []
            missing = opened([task for task in tasks if not task.path.is_file()], material, recipe.video.workers)
            for task in tasks:
                if not task.path.is_file():
                    work(*next(missing), pool, studio).save(task.path)
                block = Block.load(task.path)
                made.append(block)
                bar.set_postfix(blocks=f"{len(made)}/{len(tasks)}", clips=len(pool.clips))
                bad.update(block.bad)
                outcome.dropped += block.dropped
                outcome.counts.update(block.counts)
                pool = _add(pool, block)
            try:
                check_enough(recipe, len(pool.clips), outcome.dropped)
            except LongVPOError:
                shutil.rmtree(blocks)  # they say that videos are bad, which may be mended before the next run
                raise
            finish(made, pool, studio, outcome)
            bar.update(len(outcome.triplets) - bar.n)
    return pool


def plan_round(
    recipe: DatasetRecipe, order: Iterator[int], total: int, need: int, known: int, bad: set[int], begin: Task
) -> list[Task]:
    """The blocks of a round.

    Args:
        order: candidates in the order in which they become anchors.
        total: number of candidates; known: of clips that are there to choose distractors from.
        need: drafts that are wanted; the round plans as many or fewer.
        bad: candidates that cannot be read.
        begin: file and first draft of the first block.
    """
    longest = max(recipe.context.clips or (recipe.context.frame_budget // SMALLEST,))
    choice = min(total, max(recipe.stage1.triplets, CHOICE * longest))
    each = max(1, need // (total - len(bad)))
    count = min(total - len(bad), max(math.ceil(need / each), SMALLEST, choice - known))
    picks = list(islice((pick for pick in order if pick not in bad), count))
    tasks: list[Task] = []
    for part in np.array_split(picks, math.ceil(count / block_size(recipe.video, recipe.writer.batch_size))):
        drafts: Counter[int] = Counter()
        for pick in part.tolist():
            number = min(each, need)
            drafts[pick] += number
            need -= number
        path = begin.path.with_name(f"{int(begin.path.stem) + len(tasks):05d}.npz")
        tasks.append(Task(path, dict(drafts), begin.first + sum(task.drafts for task in tasks)))
    return tasks


def _anchors(recipe: DatasetRecipe, material: Material) -> Iterator[int]:
    sizes = [sum(one.name == source.name for one in material.sources) for source in recipe.sources]
    return mixed(sizes, [source.weight for source in recipe.sources], np.random.default_rng(recipe.seed))


def _add(pool: Pool, block: Block) -> Pool:
    """The pool with the block's clips that are new to it."""
    known = {clip.clip_id for clip in pool.clips}
    new = [index for index, clip in enumerate(block.clips) if clip.clip_id not in known]
    if not new:
        return pool
    clips = [*pool.clips, *(block.clips[index] for index in new)]
    if not pool.clips:
        return Pool(clips, block.frames[new], block.visual[new], block.captions[new])
    return Pool(
        clips,
        np.concatenate([pool.frames, block.frames[new]]),
        np.concatenate([pool.visual, block.visual[new]]),
        np.concatenate([pool.captions, block.captions[new]]),
    )


def _reasons(dropped: list[Dropped]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(item.filter for item in dropped).most_common())


def publish(
    output: Path,
    unfinished: Path,
    recipe: DatasetRecipe,
    pool: Pool,
    outcome: Outcome,
    facts: dict[str, Any],
    frames_of: ClipFrames,
) -> None:
    """Write the dataset into `unfinished`, then move it into `output`, facts.json last."""
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    configs = {
        "stage1": [asdict(triplet) for triplet in outcome.triplets],
        "clips": [asdict(clip) for clip in pool.clips],
        "dropped": [item.row() for item in outcome.dropped],
    }
    files = {config: _write(unfinished, config, rows) for config, rows in configs.items()}
    (unfinished / "recipe.yaml").write_text(dump_recipe(recipe))
    (unfinished / "README.md").write_text(dataset_card(recipe, facts, files))
    sheet = next((t for t in outcome.triplets if 4 <= len(t.context) <= 8), outcome.triplets[0])
    contact_sheet(unfinished / "contact_sheet.png", sheet, [frames_of(clip) for clip in sheet.context])
    (unfinished / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
    for path in sorted(unfinished.iterdir(), key=lambda path: path.name == "facts.json"):
        target = output / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.rename(target)
    unfinished.rmdir()


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
