"""The command line: each command parses, calls one function and prints one result.

Imports stand inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from longvpo.cli import options, printing
from longvpo.cli.planning import print_plan
from longvpo.cli.printing import print_values, say_next, say_where
from longvpo.cli.program import command
from longvpo.errors import say
from longvpo.io.files import WORK
from longvpo.io.home import path
from longvpo.io.output import check_place, place_of


@command("build-dataset")
def build_dataset(
    recipe: options.RecipeName = "",
    overrides: options.Overrides = None,
    output: options.Output = None,
    journal: options.Journal = None,
    engine: options.Engine = "local",
    workers: options.Workers = None,
    push: options.Push = False,
    repo_id: options.RepoId = None,
    tag: options.Tag = options.FIRST_TAG,
    private: options.Private = None,
    collection: options.Collection = None,
    overwrite_card: options.OverwriteCard = False,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Make preference triplets from clips and their captions.

    The same command again resumes a build that was stopped.

    Example: longvpo build-dataset tiny/dataset --output my-triplets --dry-run
    """
    from longvpo.recipe.dataset import DatasetRecipe
    from longvpo.recipe.file import recipe_hash
    from longvpo.recipe.kinds import load_as

    loaded = load_as(DatasetRecipe, recipe, overrides)
    target = _target(push, loaded, repo_id, tag, private, collection, overwrite_card)
    if dry_run:
        from longvpo.dataset.plan import plan_build

        return print_plan(plan_build(loaded), output or Path(loaded.name), "", target, as_json)
    from longvpo.cli.following import after_build, cured, kept_in, resumable

    started = time.monotonic()
    folder = output or Path(loaded.name)
    check_place(place_of(folder, inside=True), None, recipe_hash(loaded), keep=True)
    with resumable(lambda: kept_in(folder / WORK, "answers and finished blocks")), cured(folder):
        from longvpo.dataset.run import build

        facts = build(loaded, folder, journal=journal, engine=engine, workers=workers)
    published = _publish(folder, target)
    printing.print_funnel(facts | published, as_json)
    say(f"seconds: {time.monotonic() - started:.0f}")
    config = "stage1" if facts["stage1"] else "stage2"
    say(f'dataset: {folder}\nlook:    load_dataset("{folder}", "{config}")')
    say_where(published)
    after_build(loaded, folder, config)


@command()
def train(
    recipe: options.RecipeName = "",
    overrides: options.Overrides = None,
    output: options.Output = None,
    push: options.Push = False,
    repo_id: options.RepoId = None,
    tag: options.Tag = options.FIRST_TAG,
    private: options.Private = None,
    collection: options.Collection = None,
    overwrite_card: options.OverwriteCard = False,
    dry_run: options.DryRun = False,
    profile: options.Profile = None,
    as_json: options.AsJson = False,
) -> None:
    """Train a QLoRA adapter on triplets.

    The same command again resumes from the last checkpoint.

    Example: longvpo train internvl3-1b/stage1 data.dataset=my-triplets
    """
    from longvpo.recipe.kinds import load_as
    from longvpo.recipe.training import TrainRecipe

    loaded = load_as(TrainRecipe, recipe, overrides)
    target = _target(push, loaded, repo_id, tag, private, collection, overwrite_card)
    if dry_run:
        from longvpo.training.plan import plan_training

        return print_plan(plan_training(loaded), output or Path(loaded.name), "facts.json", target, as_json)
    if profile is not None:
        from longvpo.training.profile import profile_training

        return printing.print_profile(profile_training(loaded, profile), as_json)
    from longvpo.cli.following import after_training, kept_of_training, resumable

    folder = output or Path(loaded.name)
    with resumable(lambda: kept_of_training(folder)):
        from longvpo.training.run import train as run

        facts = run(loaded, folder)
    first = os.environ.get("RANK", "0") == "0"  # only one of several processes publishes
    published = _publish(folder, target if first else None)
    print_values(facts | published, as_json, keys=("triplets", "steps", "trained_parameters", "seconds"))
    say(f"adapter: {folder}")
    say_where(published)
    after_training(loaded, folder)


@command()
def frames(
    recipe: options.RecipeName = "", overrides: options.Overrides = None, as_json: options.AsJson = False
) -> None:
    """Decode the frames of a training recipe once, and keep them.

    They lie in the folder `video.frames` of the recipe. The same command again resumes.

    Example: longvpo frames internvl3-1b/stage1 video.frames=my-frames
    """
    from longvpo.recipe.kinds import load_as
    from longvpo.recipe.training import TrainRecipe

    loaded = load_as(TrainRecipe, recipe, overrides)
    from longvpo.cli.following import resumable

    with resumable(lambda: f"the frames that were decoded are in {loaded.video.frames}"):
        from longvpo.training.filling import fill_frames

        found = fill_frames(loaded)
    print_values(found, as_json, keys=("files", "frames", "bytes", "decoded", "seconds"))
    say_next("train", recipe, *(overrides or []))


@command()
def score(
    recipe: options.RecipeName = "",
    overrides: options.Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(parser=path, metavar="FOLDER", help="Folder for the copy.", show_default="NAME-scored"),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Add the reference's log-probabilities to a copy of a dataset.

    Training on the copy does not have to run the reference model.

    Example: longvpo score internvl3-1b/stage1 data.dataset=my-triplets
    """
    from longvpo.recipe.kinds import load_as
    from longvpo.recipe.training import TrainRecipe

    loaded = load_as(TrainRecipe, recipe, overrides)
    folder = output or Path(loaded.data.dataset.rstrip("/") + "-scored")
    from longvpo.cli.following import override, resumable

    with resumable(lambda: "scores are written at the end, so nothing is kept: the same command starts again"):
        from longvpo.training.score import score_dataset

        scored = score_dataset(loaded, folder)
    print_values(scored, as_json)
    kept = [one for one in overrides or [] if not one.startswith(("data.dataset=", "reference_log_probs="))]
    say_next("train", recipe, *kept, override("data.dataset", folder), "reference_log_probs=dataset")


@command()
def evaluate(
    recipe: options.RecipeName = "",
    overrides: options.Overrides = None,
    adapter: options.Adapters = None,
    output: options.Output = None,
    benchmarks: options.Benchmarks = None,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure a base model and its adapters on test videos.

    The tests are a clip hidden among others, long videos and held-out triplets.
    The same command again resumes an evaluation that was stopped.

    Example: longvpo evaluate test.yaml --adapter my-stage1 --adapter my-stage2
    """
    from longvpo.evaluation.adapters import by_name
    from longvpo.recipe.evaluation import EvaluateRecipe
    from longvpo.recipe.kinds import load_as

    adapters = by_name(adapter or [])
    if benchmarks is not None:
        from longvpo.evaluation.benchmarks import measure

        return printing.print_commands(measure(recipe, overrides or [], benchmarks, adapters, output), as_json)
    loaded = load_as(EvaluateRecipe, recipe, overrides)
    if dry_run:
        from longvpo.evaluation.plan import plan_evaluation

        return print_plan(
            plan_evaluation(loaded, adapters), output or Path(loaded.name), "results.json", None, as_json
        )
    folder = output or Path(loaded.name)
    from longvpo.cli.following import kept_in, resumable

    with resumable(lambda: kept_in(place_of(folder).work, "answers")):
        from longvpo.evaluation.run import evaluate as run

        results = run(loaded, folder, adapters)
    printing.print_tables(results, as_json)
    say(f"results: {folder / 'results.json'}\npicture: {folder / 'heat_map.png'}")


@command()
def demo(
    output: Annotated[
        Path, typer.Option(parser=path, metavar="FOLDER", help="Folder for everything that it makes.")
    ] = Path("longvpo-demo"),
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Another seed draws other clips.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Run the whole loop on this machine, offline, on drawn videos.

    It draws videos, builds triplets, trains both stages and evaluates them.

    Example: longvpo demo --output my-demo
    """
    from longvpo.cli.demo import run_demo
    from longvpo.cli.following import viewing

    result = run_demo(output, seed)
    printing.print_tables(result, as_json)
    for name, made in result["paths"].items():
        say(f"{name + ':':16} {made}")
    say(f"{'seconds:':16} {result['seconds']:.0f}")
    dataset = Path(result["paths"]["dataset"])
    drawn = {name: dataset.parent / f"{kind}-train" for name, kind in (("drawn", "clips"), ("stories", "stories"))}
    say_next(*viewing(dataset, drawn), label="view")
    say("The recipe to start your own from:")
    say_next("recipes", "tiny/dataset")


def _target(push: bool, recipe: Any, *asked: Any) -> Any:
    """Where the result will be published; None without `--push`. `asked` goes to before_work."""
    if not push:
        return None
    from longvpo.release.push import before_work

    return before_work(recipe, *asked)


def _publish(folder: Path, target: Any) -> dict[str, Any]:
    """What was published, under that key; empty without a target."""
    if target is None:
        return {}
    from longvpo.cli.following import SENT, resumable
    from longvpo.release.push import push

    with resumable(lambda: f"the result is whole in {folder}. {SENT}"):
        return {"published": push(folder, target)}
