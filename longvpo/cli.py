"""The command line: each command parses, calls one function and prints one result.

Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 a mistake that the user can mend (one `error:`
line), 2 usage, 130 interrupted. Imports stand inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from longvpo.errors import LongVPOError

app = typer.Typer(
    name="longvpo",
    help="Preference data and QLoRA adapters for long-video models, made from short clips (LongVPO).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

DEFAULT = "longvpo-16k/dataset"
RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A YAML file or a built-in name; see `longvpo recipes`.")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, such as stage1.triplets=100.")
]
Output = Annotated[Path | None, typer.Option(help="Folder for the result.  [default: the recipe's name]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and touch nothing.")]


@app.command("build-dataset")
def build_dataset(
    recipe: RecipeName = DEFAULT,
    overrides: Overrides = None,
    output: Output = None,
    journal: Annotated[
        Path | None, typer.Option(help="Folder of answers to use and add to; builds may share one.")
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="With --dry-run: check that you may publish.")] = False,
    repo_id: Annotated[str | None, typer.Option(help="Where --push would publish.  [default: you/the name]")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make preference triplets from clips and their captions. The same command again goes on after a kill."""
    from longvpo.recipe import DatasetRecipe
    from longvpo.recipe_file import load_recipe

    if "=" in recipe:  # the default recipe with overrides
        recipe, overrides = DEFAULT, [recipe, *(overrides or [])]
    loaded = load_recipe(DatasetRecipe, recipe, overrides)
    if push:
        from longvpo.hub import check_push

        repo_id = check_push(repo_id or loaded.name)
        if not dry_run:
            raise LongVPOError(f"you may publish {repo_id}, but publishing is not built yet: leave --push out")
    if dry_run:
        from longvpo.dry_run import plan

        return _print(plan(loaded) | ({"push": repo_id} if push else {}), as_json)
    from longvpo.build import build

    started = time.monotonic()
    folder = output or Path(loaded.name)
    facts = build(loaded, folder, journal=journal)
    if as_json:
        print(json.dumps(facts))
    else:
        _funnel(facts)
    for warning in facts["warnings"]:
        _say(f"warning: {warning}")
    _say(f"seconds: {time.monotonic() - started:.0f}")
    config = "stage1" if facts["stage1"] else "stage2"
    _say(f'dataset: {folder}\nlook:    load_dataset("{folder}", "{config}")')
    _say(f"next:    longvpo train RECIPE data.dataset={folder} data.config={config}")


@app.command()
def train(
    recipe: RecipeName,
    overrides: Overrides = None,
    output: Output = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Train a QLoRA adapter on triplets."""
    from longvpo.recipe import TrainRecipe
    from longvpo.recipe_file import load_recipe

    loaded = load_recipe(TrainRecipe, recipe, overrides)
    from longvpo.train import plan
    from longvpo.train import train as run

    if dry_run:
        return _print(plan(loaded), as_json)
    folder = output or Path(loaded.name)
    facts = run(loaded, folder)
    _print(facts, as_json, keys=("triplets", "steps", "trained_parameters", "seconds"))
    _say(f"adapter: {folder}\nnext:    longvpo evaluate RECIPE --adapter {folder}")


@app.command()
def score(
    recipe: RecipeName,
    overrides: Overrides = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the dataset.  [default: its name, -scored]")] = None,
    as_json: AsJson = False,
) -> None:
    """Add the log-probabilities of a training recipe's reference to its dataset, so that training need not score."""
    from longvpo.recipe import TrainRecipe
    from longvpo.recipe_file import load_recipe

    loaded = load_recipe(TrainRecipe, recipe, overrides)
    from longvpo.scored import score_dataset

    folder = output or Path(loaded.data.dataset.rstrip("/") + "-scored")
    _print(score_dataset(loaded, folder), as_json)
    _say(f"next:    longvpo train {recipe} data.dataset={folder} reference_log_probs=dataset")


@app.command()
def evaluate(
    recipe: RecipeName,
    overrides: Overrides = None,
    adapter: Annotated[list[Path] | None, typer.Option(help="Adapter folder; may be given several times.")] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Measure a base and its adapters: a clip hidden among others, and questions about several scenes."""
    from longvpo.recipe import EvaluateRecipe
    from longvpo.recipe_file import load_recipe

    loaded = load_recipe(EvaluateRecipe, recipe, overrides)
    names = [path.name for path in adapter or []]
    if len(set(names)) < len(names):
        raise LongVPOError("two adapters have the same folder name: results could not tell them apart; rename one")
    from longvpo.evaluate import evaluate as run

    folder = output or Path(loaded.name)
    results = run(loaded, folder, {path.name: path for path in adapter or []})
    if as_json:
        print(json.dumps(results))
    else:
        _tables(results)
    _say(f"results: {folder / 'results.json'}\npicture: {folder / 'heat_map.png'}")


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for everything that the demo makes.")] = Path("longvpo-demo"),
    seed: Annotated[int, typer.Option(help="Draws other clips, for training and for the test.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Run the whole loop on this machine, offline: draw videos, build triplets, train both stages, evaluate."""
    from longvpo.demo import run

    result = run(output, seed)
    if as_json:
        print(json.dumps(result))
    else:
        _tables(result)
    for name, path in result["paths"].items():
        _say(f"{name + ':':16} {path}")
    _say(f"{'seconds:':16} {result['seconds']:.0f}")
    _say("next:            longvpo recipes tiny/dataset   (the recipe to start your own from)")


@app.command()
def recipes(name: Annotated[str | None, typer.Argument(help="Print this one.")] = None) -> None:
    """List the built-in recipes, or print one."""
    from longvpo.recipe_file import builtin_recipes, find_recipe

    print(
        "\n".join(builtin_recipes()) if name is None else find_recipe(name).read_text(),
        end="\n" if name is None else "",
    )


def _print(values: dict[str, Any], as_json: bool, keys: tuple[str, ...] | None = None) -> None:
    if as_json:
        print(json.dumps(values))
        return
    for key in keys or values:
        value, label = values[key], f"{key.replace('_', ' ')}:"
        if isinstance(value, dict) and len(value) > 3:  # too much for a line
            value = [value]
        if not (isinstance(value, list) and value and isinstance(value[0], dict)):
            print(f"{label:27} {_text(value)}")
            continue
        print(label)
        for item in value:
            for mark, (name, part) in zip("-" + " " * len(item), item.items(), strict=False):
                print(f"{mark} {name.replace('_', ' ') + ':':25} {_text(part)}")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        value = [f"{key.replace('_', ' ')} {_text(part)}" for key, part in value.items()]
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _funnel(facts: dict[str, Any]) -> None:
    """What each step dropped and what it left."""
    for stage in ("stage1", "stage2"):
        if facts[stage] is None:
            continue
        print(f"{stage:20}{'dropped':>9}{'left':>9}")
        for step in facts[stage]["funnel"]:
            dropped = str(step["dropped"] or "")
            print(f"{step['step'].replace('_', ' '):20}{dropped:>9}{step['left']:>9}")
        print(f"{'triplets':20}{'':>9}{facts[stage]['triplets']:>9}")


def _tables(results: dict[str, Any]) -> None:
    """Accuracy by number of clips, and by number of scenes where that was asked."""
    _table("needle accuracy, %", "clips", results["needle"])
    if "multi" in results:
        print()
        _table("accuracy of questions about several scenes, %", "scenes", results["multi"])


def _table(title: str, column: str, accuracy: dict[str, dict[str, float]]) -> None:
    """A line a model."""
    groups = list(next(iter(accuracy.values())))
    width = max(len(column), *map(len, accuracy))
    print(title)
    print(f"{column:{width}}" + "".join(f"{group:>8}" for group in groups))
    for name, row in accuracy.items():
        print(f"{name:{width}}" + "".join(f"{row[group]:8.1f}" for group in groups))


def _say(text: str) -> None:
    print(text, file=sys.stderr)


@contextmanager
def _one_voice() -> Iterator[None]:
    """Of the processes that `accelerate launch` starts, the first alone speaks.

    Another one does when it fails: after a while, because most often the first one fails likewise, which ends all.
    """
    if os.environ.get("RANK", "0") == "0":
        yield
        return
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
        try:
            yield
        except Exception:
            time.sleep(5)  # the launcher looks ten times a second
            raise


def main() -> None:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    debug = bool(os.environ.get("LONGVPO_DEBUG"))
    if not debug:
        # of the libraries below: what they will rename, and which of their kernels is not installed
        warnings.simplefilter("ignore", FutureWarning)
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        with _one_voice():
            app()
    except LongVPOError as error:
        if debug:
            raise
        _say(f"error: {' '.join(str(error).split())}")
        sys.exit(1)
    except OSError as error:  # such as a full disk, or a folder that may not be written
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        said = f"{where}{error.strerror or error}; when that is mended, the same command goes on"
        _say(f"error: {' '.join(said.split())} (LONGVPO_DEBUG=1 shows where it failed)")
        sys.exit(1)


if __name__ == "__main__":
    main()
