"""The needle grid: one clip holds the answer, hidden at several depths among more and more others.

    longvpo evaluate my-recipe.yaml --adapter FOLDER

Beside it, where a recipe has `multi`, questions about whole long videos that need several scenes (multi.py).

Every model answers the same questions over the same contexts, greedily; scoring.py says when an answer counts. Where a
table has a list of answers, each of them is true. A truncated answer counts by the part that was written. Every answer
is kept at once: an evaluation that was killed resumes, and ends with the same results.
"""

from __future__ import annotations

import gc
import json
import shutil
import time
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from longvpo.clips.sources import fingerprint, fingerprint_of_videos
from longvpo.clips.trained import read_trained
from longvpo.errors import LongVPOError, say
from longvpo.evaluation.adapters import Adapter, find_adapters
from longvpo.evaluation.ask import COUNT, Exam, ask
from longvpo.evaluation.exam import check_sources, read_exam, sources_of
from longvpo.evaluation.judge import marks_of
from longvpo.evaluation.likelihoods import Likelihoods, likeliest
from longvpo.evaluation.preference import HeldOut, Margins, margins, preference, read_held_out, without_unread
from longvpo.evaluation.results import evidence, failures, lines, scored, tables
from longvpo.evaluation.scoring import names_no_option
from longvpo.io.disk import OTHERWISE
from longvpo.io.files import as_json, text_hash, write_text
from longvpo.io.output import Place, claimed, finished, place_of, write_whole
from longvpo.io.records import read_record
from longvpo.models.journal import Journal
from longvpo.models.local import LocalWriter
from longvpo.models.named import check_writer
from longvpo.models.revision import model_name, revision_of
from longvpo.models.writer import Answer
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import dump_recipe, recipe_hash
from longvpo.recipe.sections import WriterSection
from longvpo.release.figures import heat_map
from longvpo.release.measured import trained_on_said


def evaluate(recipe: EvaluateRecipe, output: Path, adapters: Mapping[str, str | Path] | None = None) -> dict[str, Any]:
    """Ask the base and every adapter, write the results into the folder `output`, and return them.

    Args:
        adapters: folders, or repositories of the Hub as `ID` or `ID@REVISION`, by the names under which results are
            shown.

    Returns:
        Accuracies in percent: needle, by model and number of clips; grid, by depth too; with `multi`, multi, by model
        and group, a value of the column multi_group. How many questions they count: questions, multi_questions.
        frames: those of the longest context, by number of clips. cut: how many answers of each model were truncated.
        failures: some wrong answers of each model. preference: with `triplets`, as preference.py says. test_videos:
        how many videos were asked about, and trained_on, how many of them each adapter was trained on, null where it
        does not say. adapters: the sha256 of each one's weights; from_hub: where those come from that are not folders.
        Also dropped: reasons by clip or row.

    Raises:
        LongVPOError: the source has too few clips, no long video can be asked about, or no triplet can be scored.
            Also: an adapter cannot be loaded, or is for another base.
    """
    check_sources(recipe)
    if recipe.scoring.judge:
        check_writer(recipe.scoring.judge, sees=False)
    found = find_adapters(recipe.base, adapters or {})
    held = read_held_out(recipe, recipe.triplets) if recipe.triplets else None
    said = [*map(fingerprint, sources_of(recipe)), *(f"{name}={one.weights}" for name, one in found.items())]
    key = ",".join([recipe_hash(recipe), *said, *([text_hash(json.dumps(held.rows))[:12]] if held else [])])
    place, inputs = place_of(output), _inputs(recipe)
    _check_inputs(place, key, inputs)
    done = finished(place, "results.json", key)
    if done:
        return done
    with claimed(place, key, recipe_hash(recipe)) as working:
        return _evaluate(recipe, place, working, found, held, {"key": key, "inputs": inputs})


def _inputs(recipe: EvaluateRecipe) -> str:
    """Changes with the files that a recipe names: the weights of a base or a judge in a folder, and the videos of the
    sources. For triplets, it changes only with their rows. It is not a part of the key: answers are kept by everything
    that decides them, and other videos are asked about again."""
    models = [one for one in (recipe.base, recipe.scoring.judge) if one and Path(one.model).is_dir()]
    said = [*map(revision_of, models), *map(fingerprint_of_videos, sources_of(recipe))]
    return text_hash(json.dumps(said))[:12]


def _check_inputs(place: Place, key: str, inputs: str) -> None:
    """Raises LongVPOError when the results are finished, and of other files. Earlier versions do not say of which."""
    done = read_record(place.path / "results.json") if (place.path / "results.json").is_file() else {}
    if done.get("key") == key and done.get("inputs", inputs) != inputs:
        raise LongVPOError(
            f"{place.output} holds the results of other videos, or of another base or judge in the same folder: "
            f"{OTHERWISE}, or delete it"
        )


def _evaluate(
    recipe: EvaluateRecipe,
    place: Place,
    working: Path,
    adapters: dict[str, Adapter],
    held: HeldOut | None,
    identity: dict[str, str],
) -> dict[str, Any]:
    """Ask, in a place that is claimed.

    Args:
        identity: what tells these results from those of other input.
    """
    started = time.monotonic()
    exam, tested, dropped = read_exam(recipe)
    folders = {"base": Path(recipe.base.model)} | {name: one.folder for name, one in adapters.items()}
    trained = {name: read_trained(folder) for name, folder in folders.items()}
    if not trained["base"]:  # a merged base says it, too
        del trained["base"]
    shown = {
        "test_videos": len(tested),
        "trained_on": {name: None if seen is None else len(tested & seen) for name, seen in trained.items()},
    }
    for text in trained_on_said(shown):
        say(f"warning: {text}")

    kept = Journal(working / "journal", flaws=COUNT), Likelihoods(working / "likelihoods")
    before = len(kept[0]) + len(kept[1])
    if before:
        say(f"resumed: {before} answers are in {working}")
    models = {"base": None} | {name: one.folder for name, one in adapters.items()}
    said: dict[str, list[Answer]] = {}
    likelier: dict[str, Margins] = {}
    for name, folder in models.items():
        said[name], likelier[name] = _examined(recipe, folder, exam, held, kept, name, len(models) > 1)
        gc.collect()  # modules refer to each other in circles
    asked = [one for part in exam for one in part]
    replies = {name: [answer.text for answer in answers] for name, answers in said.items()}
    marks, judge = marks_of([one.exam for one in asked], replies, recipe.scoring, kept[0])
    right = {name: [mark.right for mark in some] for name, some in marks.items()}
    cut = {name: sum(not answer.whole for answer in answers) for name, answers in said.items()}
    for name, count in cut.items():
        if count:
            say(f"warning: {count} of {len(asked)} answers of {name} were truncated at max_new_tokens and count so")
    choices = sum(one.exam.scoring == "choice" for one in asked)
    for name, some in replies.items():
        lost = sum(map(names_no_option, (one.exam for one in asked), some))
        if lost:
            of = f"{lost} of {choices} replies of {name} to questions with options"
            say(f"warning: {of} name none of them, or several: these are wrong")
    proof, told = evidence(asked, right), dict[str, Any]()
    if held:
        held, likelier = without_unread(held, likelier)
    if held and held.rows:  # else no card says anything of them
        told["preference"], sure = preference(held, likelier, trained)
        for text in trained_on_said(told):
            say(f"warning: {text}")
        proof = {part: proof[part] | {"preference": sure[part]} for part in proof}
    results = {
        **identity,
        "recipe": recipe_hash(recipe),
        "base": model_name(recipe.base),
        "quantization": recipe.base.quantization,
        "adapters": {name: one.weights for name, one in adapters.items()},
        "from_hub": {name: one.origin for name, one in adapters.items() if one.origin},
        **tables(asked, right),
        **({"multi_group": recipe.multi.group} if recipe.multi else {}),
        **proof,
        **scored(asked, marks, recipe.scoring, judge),
        **told,
        "cut": cut,
        **shown,
        "failures": {name: failures(asked, answers, right[name]) for name, answers in said.items()},
        "dropped": {item.id: item.reason for item in dropped},
        "seconds": round(time.monotonic() - started, 1),
    }

    try:
        text = as_json(results, strict=True)
    except ValueError:
        raise LongVPOError(
            "a figure of the results is not a number (NaN): the model's arithmetic overflows; set another base.dtype"
        ) from None

    def write(folder: Path) -> None:
        write_text(folder / "results.json", text)
        spoken = (json.dumps(line, ensure_ascii=False) for line in lines(asked, said, marks))
        write_text(folder / "answers.jsonl", "".join(f"{line}\n" for line in spoken))
        write_text(folder / "recipe.yaml", dump_recipe(recipe))
        heat_map(folder / "heat_map.png", results["grid"])

    write_whole(place, write, resumes=True)
    for one in kept:
        shutil.rmtree(one.folder, ignore_errors=True)
    return results


def _examined(
    recipe: EvaluateRecipe,
    adapter: Path | None,
    exam: Exam,
    held: HeldOut | None,
    kept: tuple[Journal, Likelihoods],
    name: str,
    several: bool,
) -> tuple[list[Answer], Margins]:
    """All answers of one model, and how it finds triplets. It is in memory only meanwhile: the next one, or the judge,
    needs room.

    Args:
        kept: answers and likelihoods of this and of earlier runs.
        several: there are adapters.
    """
    settings = recipe.model_dump(include={"batch_size", "max_new_tokens"})
    section = WriterSection(**recipe.base.model_dump(), **settings, adapter=str(adapter) if adapter else None)
    writer, (journal, likelihoods) = LocalWriter(section), kept
    likely = recipe.scoring.letters == "likelihood"
    read = [[one for one in part if not (likely and one.exam.options)] for part in exam]
    replies = chain.from_iterable(ask(writer, journal, [part for part in read if part], name))
    chosen = [one for part in exam for one in part if likely and one.exam.options]
    letters = iter(likeliest(writer, likelihoods, chosen, name))
    said = [next(letters if likely and one.exam.options else replies) for part in exam for one in part]
    scored = margins(writer, held, likelihoods, name, several and adapter is None) if held else {}
    return said, scored
