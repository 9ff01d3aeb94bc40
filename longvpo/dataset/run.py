"""Run a DatasetRecipe: sources, then triplets of stage 1 and stage 2, then a folder that load_dataset reads.

    longvpo build-dataset my-recipe.yaml

The folder holds the configs `stage1` and `clips`, `stage2` and `scenes`, and `dropped`. Beside them lie a card,
facts.json, recipe.yaml, provenance.json and contact sheets, and in `work/` the journal of all answers and every
finished block. A build that was killed resumes from there, and ends with the same bytes; facts.json comes last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from longvpo.clips.overlap import read_overlap
from longvpo.clips.rows import features
from longvpo.clips.sources import fingerprint
from longvpo.dataset.engine.local import Engine, Kit
from longvpo.dataset.engine.names import check_engine, engine_of
from longvpo.dataset.facts import example, make_facts, row_of
from longvpo.dataset.material import gather_candidates, gather_long_videos
from longvpo.dataset.outcome import Outcome
from longvpo.dataset.session import Session, check_writers
from longvpo.dataset.stage1.blocks import check_blocks
from longvpo.dataset.stage1.rounds import run_stage1
from longvpo.dataset.stage2.rounds import run_stage2
from longvpo.errors import say
from longvpo.io.files import KEY, PROVENANCE, WORK, as_json, write_text
from longvpo.io.output import check_place, claimed, place_of, whole_folder
from longvpo.io.records import read_record
from longvpo.models.embed import Embedder
from longvpo.models.writer import Writer
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import dump_recipe, recipe_hash
from longvpo.release.card_file import write_card
from longvpo.release.cards import SHEETS
from longvpo.release.figures import contact_sheet
from longvpo.release.parquet import write_shards
from longvpo.release.provenance import made_by
from longvpo.video.pictures import as_column


def build(
    recipe: DatasetRecipe,
    output: Path,
    writer: Writer | None = None,
    judge: Writer | None = None,
    embedder: Embedder | None = None,
    journal: Path | None = None,
    question_writer: Writer | None = None,
    engine: str = "local",
    workers: int | None = None,
) -> dict[str, Any]:
    """Build the dataset into the folder `output`, and return its facts. The same call again resumes, or does nothing.

    Args:
        writer, judge, embedder, question_writer: take the place of the recipe's models.
        journal: folder of answers to use and to add to, instead of the output's own; builds may share one.
        engine: local; ray, which is the cluster that is found or else started here; or ray://HOST:PORT.
        workers: number of workers of the engine ray; None: as many as its machines have room for.

    Raises:
        LongVPOError: the sources cannot make such a dataset, or `output` holds something else.
    """
    check_engine(engine, workers)
    check_blocks(recipe)
    recipe_key = recipe_hash(recipe)
    key = ",".join([recipe_key, *(fingerprint(source) for source in recipe.all_sources)])
    place = place_of(output, inside=True)
    check_place(place, key, recipe_key, keep=True)
    if (output / "facts.json").is_file():
        say(f"{output} is finished already: nothing to do")
        return _warned(read_record(output / "facts.json"))
    begun = (place.work / KEY).is_file()
    with claimed(place, key, recipe_key, keep=True) as working:
        given = {"writer": writer, "judge": judge, "question_writer": question_writer}
        check_writers(recipe, given)  # before hours of fetching
        overlap = read_overlap(recipe.filters.overlap)
        kit = Kit(recipe, working, (journal or working / "journal").absolute(), overlap, given, embedder)
        with engine_of(engine, kit, workers) as at_work:
            frames_of = kit.frames_of()
            one, two = Outcome(1), Outcome(2)
            over = at_work.over
            material = gather_candidates(recipe, working, frames_of, overlap, one, over) if recipe.stage1 else None
            videos = gather_long_videos(recipe, working, two)
            answers = at_work.journal(journal or working / "journal")
            blocks = len([*(working / "blocks").glob("*")])
            if begun and (answers or blocks):
                say(f"resumed: {len(answers)} answers and {blocks} finished blocks are in {output / WORK}")
            session = at_work.session(kit, answers, frames_of)
            if recipe.stage1 and material:
                run_stage1(session, recipe.stage1, material, working / "blocks", one, at_work)
                one.check_some(session.journal.folder, working)
            if recipe.stage2:
                scenes = working / "scenes"
                run_stage2(session.of_stage(2), recipe.stage2, videos, scenes, overlap, two, at_work)
                two.check_some(session.journal.folder, working)
            outcomes = {f"stage{outcome.stage}": outcome for outcome in (one, two) if outcome.triplets}
            facts = make_facts(session, outcomes, overlap)
            provenance = made_by(recipe_key, key, seed=recipe.seed, models=facts["models"])
            with whole_folder(place) as folder:
                write_dataset(folder, session, outcomes, facts, provenance, at_work)
    return _warned(facts)


def _warned(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of a build, after its warnings are said."""
    for warning in facts["warnings"]:
        say(f"warning: {warning}")
    return facts


def write_dataset(
    folder: Path,
    session: Session,
    outcomes: dict[str, Outcome],
    facts: dict[str, Any],
    provenance: dict[str, Any],
    engine: Engine,
) -> None:
    """Write the dataset into `folder`."""
    recipe, frames_of = session.recipe, session.frames_of
    for stage, outcome in outcomes.items():
        config, embedded = {"stage1": "clips", "stage2": "scenes"}[stage], recipe.embed is not None
        rows: Iterator[dict[str, Any]] = map(asdict, outcome.clips)
        if embedded:
            pictures = engine.over(frames_of.pictures, [clip.reference for clip in outcome.clips])
            rows = (row | {"frames": as_column(some)} for row, some in zip(rows, pictures, strict=True))
        write_shards(folder / config, rows, features(config, frames=embedded))
        write_shards(folder / stage, map(asdict, outcome.triplets), features(stage))
        shown = example(outcome.triplets)
        contact_sheet(folder / SHEETS[stage], row_of(shown), [frames_of(clip) for clip in shown.context])
    dropped = (item.row() for outcome in outcomes.values() for item in outcome.dropped)
    write_shards(folder / "dropped", dropped, features("dropped"))
    write_text(folder / "recipe.yaml", dump_recipe(recipe))
    write_text(folder / "facts.json", as_json(facts))
    write_text(folder / PROVENANCE, as_json(provenance))
    write_card(folder)
