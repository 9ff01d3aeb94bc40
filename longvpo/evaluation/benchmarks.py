"""The commands that measure a base and its adapters on public benchmarks; they are printed, and nothing is run.

lmms-eval wants older versions of some packages than longvpo, so it has an environment of its own.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError, did_you_mean
from longvpo.evaluation.adapters import check_names
from longvpo.evaluation.benchmark_recipe import OVERRIDDEN, BenchmarkRecipe, key_of, passed_on, read_benchmark_recipe
from longvpo.io.files import PACKAGE
from longvpo.io.home import at_home, split
from longvpo.models.load import check_id
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.training import TrainRecipe
from longvpo.release.benchmarks import BENCHMARKS

HARNESS = "lmms-eval==0.7.3"
ALL = "all"


def measure(
    recipe: str, overrides: Sequence[str], names: str, adapters: Mapping[str, str], output: Path | None
) -> dict[str, list[str]]:
    """The lines that install lmms-eval, measure the base of a recipe and each adapter, and publish what they find.

    Args:
        recipe: a recipe of an evaluation or a training.
        overrides: values of the recipe. What follows from them for its base, its frames and its batch size is passed
            on.
        names: names of benchmarks in lmms-eval, with commas between them; `all` for the six of the cards.
        adapters: folders, or repositories of the Hub as ID or ID@REVISION, by name.
        output: folder for all that lmms-eval writes; None: one with the recipe's name.

    Raises:
        LongVPOError: a benchmark or a key is unknown, an adapter is neither a folder nor an id, or lmms-eval could not
            read a value.
    """
    known = [one.task for one in BENCHMARKS]
    tasks = known if names == ALL else [name.strip() for name in names.split(",") if name.strip()]
    if not tasks:
        raise LongVPOError(f"--benchmarks names none: give {ALL}, or some of {', '.join(known)}")
    unknown = [name for name in tasks if name not in known]
    if unknown:
        raise LongVPOError(
            f"no benchmark {unknown[0]}{did_you_mean(unknown[0], known)}: give {ALL}, or some of {', '.join(known)}"
        )
    _check_keys(overrides)
    check_names(adapters)
    asked = read_benchmark_recipe(recipe, [one for one in overrides if key_of(one) in OVERRIDDEN])
    said = passed_on(recipe, asked)
    _check_passed_on(recipe, said, asked)
    folder = output or Path(f"{asked.name}-benchmarks")
    models: dict[str, list[str]] = {"base": []} | {name: _adapter(one) for name, one in adapters.items()}
    here = PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").is_file() else "longvpo"
    return {
        # in the other order lmms-eval would put older versions in the place of longvpo's
        "in an environment of its own": [
            _line("pip", "install", HARNESS, "filelock<4"),
            _line("pip", "install", here),
        ],
        "there; again, it resumes; on several GPUs: accelerate launch --multi_gpu -m lmms_eval ...": [
            _lmms_eval([f"recipe={recipe}", *said, *more], tasks, asked.batch_size, folder, name)
            for name, more in models.items()
        ],
        "then, for the card": [
            _line("longvpo", "push", one, "--results", folder) for one in adapters.values() if Path(one).is_dir()
        ],
    }


def _check_keys(overrides: Sequence[str]) -> None:
    """Raises LongVPOError when no recipe has such a key."""
    known = [*EvaluateRecipe.model_fields, *TrainRecipe.model_fields]
    keys = [key_of(one) for one in overrides]
    unknown = next((key for key in keys if key not in known), None)
    if unknown is not None:
        raise LongVPOError(f"unknown key {unknown}{did_you_mean(unknown, known)}")


def _check_passed_on(recipe: str, said: Sequence[str], asked: BenchmarkRecipe) -> None:
    """Raises LongVPOError when lmms-eval would ask another model, or with other frames."""
    number = next((one for one in said if _is_text(one, asked) and _is_number(one)), None)
    if number:
        raise LongVPOError(f"lmms-eval reads {number} as a number: write it into a recipe of your own")
    with redirect_stderr(StringIO()):  # notes were said already
        read = read_benchmark_recipe(recipe, said)
    license = {"license": asked.base.license}
    if (read.base.model_copy(update=license), read.video) != (asked.base, asked.video):
        raise LongVPOError(
            f"{' '.join(said)} cannot be said on one line of lmms-eval: write it into a recipe of your own"
        )


def _is_text(said: str, asked: BenchmarkRecipe) -> bool:
    key = said.partition("=")[0].split(".")
    value: Any = asked
    for name in key:
        value = getattr(value, name)
    return isinstance(value, str | Path)


def _adapter(given: str) -> list[str]:
    where, revision = split(given)
    if not Path(at_home(where)).is_dir() and "," not in where:  # which has a message of its own
        check_id(where)
    return [f"adapter={where}", *([f"adapter_revision={revision}"] if revision != "main" else [])]


def _lmms_eval(said: list[str], tasks: list[str], batch_size: int, folder: Path, name: str) -> str:
    said = [*said, f"journal={folder / 'journal'}"]
    wrong = next((one for one in said if set(one) & set(",'\"")), None)
    if wrong:
        raise LongVPOError(
            f"lmms-eval cuts its model arguments at commas and quotes, and {wrong} has one. Write it into a recipe of "
            "your own, or give that folder another name"
        )
    model = ("--model", "longvpo", "--model_args", ",".join(said), "--batch_size", batch_size)
    kept = ("--log_samples", "--timezone", "UTC", "--output_path", folder / name)
    number = next((one for one in said if one.startswith("adapter") and _is_number(one)), None)
    if number:
        raise LongVPOError(
            f"lmms-eval reads {number} as a number: give that folder another name, such as ./2024 for 2024, and a "
            "revision by its commit"
        )
    return _line("python", "-m", "lmms_eval", *model, "--tasks", ",".join(tasks), *kept)


def _is_number(said: str) -> bool:
    """Whether lmms-eval makes something else than a text of a value: a number, or true and false."""
    value = said.partition("=")[2].strip().lower()
    try:
        return value in ("true", "false") or float(value) is not None
    except ValueError:
        return False


def _line(*words: object) -> str:
    return shlex.join(map(str, words))
