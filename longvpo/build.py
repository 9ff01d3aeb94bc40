"""Run a DatasetRecipe: sources, then triplets of stage 1 and stage 2, then a folder that load_dataset reads.

    longvpo build-dataset my-recipe.yaml

The folder holds the configs `stage1` and `clips`, `stage2` and `scenes`, and `dropped`, a card, facts.json,
recipe.yaml, provenance.json and contact sheets, and in `work/` the journal of all answers and every finished block. A
build that was killed goes on from there, and ends with the same bytes as one that was not; facts.json comes last.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from longvpo.assemble import Outcome
from longvpo.blocks import Material
from longvpo.card_file import write_card
from longvpo.cards import SHEETS
from longvpo.errors import LongVPOError
from longvpo.facts import example, make_facts
from longvpo.figures import contact_sheet, jpegs
from longvpo.filters import unanswered
from longvpo.io.files import PROVENANCE, as_json, whole_file, write_text
from longvpo.io.output import check_place, claimed, place_of, whole_folder
from longvpo.io.records import read_record, understood
from longvpo.longvideos import LongVideo, list_long_videos, unpack_long_videos
from longvpo.models.embed import Embedder
from longvpo.models.endpoint import STORY_QUESTIONS, make_writer
from longvpo.models.journal import Journal
from longvpo.models.load import check_model
from longvpo.models.writer import Writer
from longvpo.pool import Pool
from longvpo.provenance import made_by
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import dump_recipe, recipe_hash
from longvpo.recipe.sections import SourceSection, WriterSection
from longvpo.shards import write_shards
from longvpo.sources import Candidate, check_enough, fingerprint, list_candidates, prepare, read_overlap
from longvpo.stage1_rounds import run as run_stage1
from longvpo.stage2 import question_writer as asks
from longvpo.stage2_rounds import Reasoned
from longvpo.stage2_rounds import run as run_stage2
from longvpo.studio import Studio
from longvpo.triplet import Dropped, Triplet, features
from longvpo.video.frames import ClipFrames


def build(
    recipe: DatasetRecipe,
    output: Path,
    writer: Writer | None = None,
    judge: Writer | None = None,
    embedder: Embedder | None = None,
    journal: Path | None = None,
    question_writer: Writer | None = None,
) -> dict[str, Any]:
    """Build the dataset into the folder `output`, and return its facts. The same call again goes on, or does nothing.

    Args:
        writer, judge, embedder, question_writer: take the place of the recipe's models.
        journal: folder of answers to use and to add to, instead of the output's own; builds may share one.

    Raises:
        LongVPOError: the sources cannot make such a dataset, or `output` holds something else.
    """
    recipe_key = recipe_hash(recipe)
    key = ",".join([recipe_key, *(fingerprint(source) for source in recipe.all_sources)])
    place = place_of(output, inside=True)
    check_place(place, key, recipe_key, keep=True)
    if (output / "facts.json").is_file():
        print(f"{output} is finished already: nothing to do", file=sys.stderr)
        facts: dict[str, Any] = read_record(output / "facts.json")
        return facts
    with claimed(place, key, recipe_key, keep=True) as working:
        given = {"writer": writer, "judge": judge, "question_writer": question_writer}
        check_writers(recipe, given)  # before hours of fetching
        overlap = read_overlap(recipe.filters.overlap)
        frames_of = ClipFrames(recipe.video, {source.name: source.folder for source in recipe.all_sources})
        outcome, reasoned = Outcome(), Reasoned()
        material = gather(recipe, working, frames_of, overlap, outcome) if recipe.stage1 else None
        rows = len(material.candidates) + len(outcome.dropped) if material else 0
        videos = gather_long_videos(recipe, working, reasoned)
        long_rows = len(videos) + len(reasoned.dropped)
        studio = open_studio(recipe, given, embedder, Journal(journal or working / "journal"), frames_of)
        pool = None
        if recipe.stage1 and material:
            pool = run_stage1(studio, recipe.stage1, material, working / "blocks", outcome)
            _check_some(1, outcome.triplets, outcome.dropped, studio.journal.folder, working / "blocks")
        if recipe.stage2:
            run_stage2(studio, recipe.stage2, videos, working / "scenes", overlap, reasoned)
            _check_some(2, reasoned.triplets, reasoned.dropped, studio.journal.folder)
        stage1 = (pool, outcome, rows) if pool else None
        facts = make_facts(recipe, studio, stage1, reasoned, long_rows, overlap)
        provenance = made_by(recipe_key, key, seed=recipe.seed, models=facts["models"])
        with whole_folder(place) as folder:
            put_out(folder, recipe, pool, outcome, reasoned, facts, provenance, frames_of)
    return facts


def check_writers(recipe: DatasetRecipe, given: dict[str, Writer | None]) -> None:
    """Look at the configurations of the models that are on this machine.

    Raises:
        LongVPOError: one cannot be had, or the writer takes no video.
    """
    sections = {"writer": recipe.writer, "judge": recipe.judge}
    sections["question_writer"] = recipe.stage2.question_writer if recipe.stage2 else None
    for name, section in sections.items():
        if given[name] or section is None or section.endpoint or section.model == STORY_QUESTIONS:
            continue
        check_model(section, sees=name == "writer")


def open_studio(
    recipe: DatasetRecipe,
    given: dict[str, Writer | None],
    embedder: Embedder | None,
    journal: Journal,
    frames_of: ClipFrames,
) -> Studio:
    """The models; one that has two roles is loaded once."""
    loaded: list[tuple[WriterSection, Writer]] = []

    def writer(name: str, section: WriterSection) -> Writer:
        one = given[name] or next((one for known, one in loaded if known == section), None)
        one = one or make_writer(section, recipe.video.fps)
        loaded.append((section, one))
        return one

    first = writer("writer", recipe.writer)
    judge = writer("judge", recipe.judge) if recipe.judge else given["judge"]
    asker = writer("question_writer", asks(recipe, recipe.stage2)) if recipe.stage2 else first
    return Studio(recipe, first, judge, asker, embedder or Embedder(recipe.filters), journal, frames_of)


def gather(
    recipe: DatasetRecipe, working: Path, frames_of: ClipFrames, overlap: frozenset[str], outcome: Outcome
) -> Material:
    """The candidates of stage 1's sources; the rows that are none go into `outcome`.

    Raises:
        LongVPOError: a source cannot be read, or all together have too few.
    """
    sources: list[SourceSection] = []
    candidates: list[Candidate] = []
    for source in recipe.sources:
        found, refused = _listed(source, recipe.seed, working)
        candidates += found
        sources += [source] * len(found)
        outcome.dropped += refused
    try:
        check_enough(recipe, len(candidates), outcome.dropped)
    except LongVPOError:
        shutil.rmtree(working / "sources", ignore_errors=True)  # what is listed may be mended before the next run
        raise
    return Material(sources, candidates, frames_of, overlap)


def gather_long_videos(recipe: DatasetRecipe, working: Path, reasoned: Reasoned) -> list[LongVideo]:
    """The long videos of stage 2's sources, source by source; the rows that are none go into `reasoned`."""
    videos: list[LongVideo] = []
    for source in recipe.stage2.sources if recipe.stage2 else ():
        file = working / "sources" / f"{source.name}.json"
        if file.is_file():
            with understood(file):
                said = read_record(file)
                found = [
                    LongVideo(source.name, item["name"], [Candidate(**scene) for scene in item["scenes"]])
                    for item in said["videos"]
                ]
                refused = [Dropped(**item) for item in said["dropped"]]
        else:
            found, refused = list_long_videos(source, recipe.seed)
            found, missing = unpack_long_videos(source, found)
            refused += missing
            if source.dataset is not None:
                _keep(file, {"videos": found, "dropped": refused})
        videos += found
        reasoned.dropped += refused
    return videos


def _listed(source: SourceSection, seed: int, working: Path) -> tuple[list[Candidate], list[Dropped]]:
    """A source's candidates; where it was fetched or cut, the list is kept, for that can take hours."""
    file = working / "sources" / f"{source.name}.json"
    if file.is_file():
        with understood(file):
            said = read_record(file)
            return [Candidate(**item) for item in said["candidates"]], [Dropped(**item) for item in said["dropped"]]
    candidates, dropped = list_candidates(source, seed)
    candidates, refused = prepare(source, candidates, working / "scenes")
    dropped += refused
    if source.dataset is not None or source.scenes is not None:
        _keep(file, {"candidates": candidates, "dropped": dropped})
    return candidates, dropped


def _keep(file: Path, lists: dict[str, list[Any]]) -> None:
    with whole_file(file) as kept:
        kept.write(json.dumps({name: [asdict(item) for item in items] for name, items in lists.items()}).encode())


def _check_some(
    stage: int, triplets: list[Triplet], dropped: list[Dropped], journal: Path, blocks: Path | None = None
) -> None:
    """Raises LongVPOError when no triplet was left; blocks that hold no answers are then not kept either."""
    if triplets:
        return
    reasons = ", ".join(f"{n} {name}" for name, n in Counter(item.filter for item in dropped).most_common())
    what = unanswered(dropped)
    if what:
        if blocks:
            shutil.rmtree(blocks, ignore_errors=True)
        raise LongVPOError(
            f"no triplet was left in stage {stage}: {reasons}; {what}. Mend that, and run the same command again; the "
            f"answers are kept: --journal {shlex.quote(str(journal))}"
        )
    raise LongVPOError(
        f"no triplet was left in stage {stage}: {reasons}; loosen filters.*, context.clips or stage2.*, or give more "
        f"videos, with another --output; the answers are kept: --journal {shlex.quote(str(journal))}"
    )


def put_out(
    folder: Path,
    recipe: DatasetRecipe,
    pool: Pool | None,
    outcome: Outcome,
    reasoned: Reasoned,
    facts: dict[str, Any],
    provenance: dict[str, Any],
    frames_of: ClipFrames,
) -> None:
    """Write the dataset into `folder`."""
    configs: dict[str, Sequence[Any]] = {}
    if pool:
        configs |= {"stage1": outcome.triplets, "clips": pool.clips}
    if recipe.stage2:
        configs |= {"stage2": reasoned.triplets, "scenes": reasoned.scenes}
    for config, items in configs.items():
        embedded = recipe.embed is not None and config in ("clips", "scenes")
        rows = (asdict(item) for item in items)
        if embedded:
            rows = (row | {"frames": jpegs(frames_of(row))} for row in rows)
        write_shards(folder / config, rows, features(config, frames=embedded))
    write_shards(folder / "dropped", (item.row() for item in outcome.dropped + reasoned.dropped), features("dropped"))
    write_text(folder / "recipe.yaml", dump_recipe(recipe))
    write_text(folder / "facts.json", as_json(facts))
    write_text(folder / PROVENANCE, as_json(provenance))
    for triplets, name in ((outcome.triplets, SHEETS["stage1"]), (reasoned.triplets, SHEETS["stage2"])):
        if triplets:
            shown = example(triplets)
            contact_sheet(folder / name, shown, [frames_of(clip) for clip in shown.context])
    write_card(folder)
