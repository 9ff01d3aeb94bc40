"""The next command to type, or the one to repeat: lines that a shell runs as they are.

The rule: the user fills in nothing that the program can know. A line with something to fill in, such as a folder of
test clips, begins with `then:` and has it in capitals.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from longvpo.cli.printing import say_next
from longvpo.errors import LongVPOError, NothingLeftError, say
from longvpo.io.files import WORK, whole_checkpoints
from longvpo.io.output import place_of
from longvpo.io.yaml_text import parse_value
from longvpo.recipe.builtin import builtin_recipes
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.training import TrainRecipe


def override(key: str, value: object) -> str:
    """An argument that sets a key to any text or path."""
    text = str(value)
    with suppress(ValueError):  # such as a text that begins like a list
        if parse_value(text) == text:
            return f"{key}={text}"
    return f"{key}={json.dumps(text, ensure_ascii=False)}"


def videos_of(folders: Mapping[str, Path]) -> list[str]:
    """The arguments that say where the videos of sources are."""
    if any("." in name for name in folders):  # a dot in a key means a section
        said = {name: str(folder) for name, folder in folders.items()}
        return [f"data.videos={json.dumps(said, ensure_ascii=False)}"]
    return [override(f"data.videos.{name}", folder) for name, folder in folders.items()]


def after_build(recipe: DatasetRecipe, folder: Path, config: str) -> None:
    """Say how to look at the dataset, and how to train its writer on it, as in the paper."""
    folders = {source.name: source.folder for source in recipe.all_sources}
    say_next(*viewing(folder, folders), label="view")
    writer = (recipe.stage2 and recipe.stage2.writer) or recipe.writer
    name = fitting(TrainRecipe, (writer if config == "stage2" else recipe.writer).model, config)
    if name is None:
        return say_next("recipes")
    without = ["adapter=null", "data.mix=[]"] if config == "stage2" else []  # there is no stage 1 to start from
    say_next("train", name, override("data.dataset", folder), *without, *videos_of(folders))


def viewing(dataset: Path, folders: Mapping[str, Path]) -> list[str]:
    """The words of the command that makes a page of a dataset, with the videos on this machine."""
    videos = [word for name, path in folders.items() if path.is_dir() for word in ("--videos", f"{name}={path}")]
    return ["view", str(dataset), *videos]


def after_training(recipe: TrainRecipe, folder: Path) -> None:
    """Say how to train stage 2, where the dataset has one, or how to measure the adapter."""
    dataset = Path(recipe.data.dataset)
    name = fitting(TrainRecipe, recipe.base.model, "stage2")
    if name and recipe.data.config == "stage1" and (dataset / "stage2").is_dir():
        folders = {name: path for name, path in _folders(dataset).items() if path.is_dir()} | recipe.data.videos
        words = [override("adapter", folder), override("data.dataset", dataset), *videos_of(folders)]
        return say_next("train", name, *words)
    name = fitting(EvaluateRecipe, recipe.base.model, "evaluate")
    if name is None:
        return say_next("recipes")
    asked = load_recipe(EvaluateRecipe, name)
    missing = {"source.folder": asked.source} | ({"multi.source.folder": asked.multi.source} if asked.multi else {})
    missing = {key: source for key, source in missing.items() if not (source.dataset or source.folder.is_dir())}
    if not missing:
        return say_next("evaluate", name, "--adapter", str(folder))
    say_next("recipes", name)
    if recipe.data.config == "stage1":  # init writes a recipe that asks only about clips
        say_next("init", "TEST_CLIPS", "--from", name, "--output", "test.yaml", label="then")
        return say_next("evaluate", "test.yaml", "--adapter", str(folder), label="then")
    say_next("evaluate", name, *(f"{key}=TEST_VIDEOS" for key in missing), "--adapter", str(folder), label="then")


def fitting(kind: type[Any], model: str, last: str) -> str | None:
    """The built-in recipe for a model whose name ends with `last`; None where there is none."""
    for name in builtin_recipes():
        if name.rpartition("/")[2] == last and load_recipe(kind, name).base.model == model:
            return name
    return None


def _folders(dataset: Path) -> dict[str, Path]:
    """The folders of a dataset's sources, by its recipe; empty where the recipe cannot be read."""
    try:
        made = load_recipe(DatasetRecipe, str(dataset / "recipe.yaml"))
    except LongVPOError:
        return {}
    return {source.name: source.folder for source in made.all_sources}


SENT = "What was uploaded stays on the Hub; the tag is set when the release is whole"


@contextmanager
def resumable(kept: Callable[[], str]) -> Iterator[None]:
    """Make Ctrl-C say what is kept, and which command resumes.

    Args:
        kept: returns what is kept; it is called after the work has stopped.
    """
    try:
        yield
    except KeyboardInterrupt:
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1  # only `accelerate launch` knows its own command
        again = "the same `accelerate launch` again" if several else shlex.join(["longvpo", *sys.argv[1:]])
        say(f"\ninterrupted: {kept()}\nresume:  {again}")
        raise


@contextmanager
def cured(folder: Path) -> Iterator[None]:
    """Where no triplet is left, give the error a command without the filter that dropped most.

    The command builds into another folder, with the answers of this build.
    """
    try:
        yield
    except NothingLeftError as error:
        if error.loosen:
            error.then = _loosened(sys.argv[1:], folder, error.loosen)
        raise


def _loosened(words: list[str], folder: Path, loosen: str) -> tuple[str, ...]:
    named = folder if folder.name.strip(".") else folder.resolve()  # `.` has no name of its own
    free = next(path for n in count(2) if not (path := named.with_name(f"{named.name}-{n}")).exists())
    key = loosen.partition("=")[0]
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if before != "--output" and word != "--output" and not word.startswith(("--output=", f"{key}="))
    ]
    journal = (
        [] if any(word.partition("=")[0] == "--journal" for word in kept) else ["--journal", folder / WORK / "journal"]
    )
    return tuple(map(str, [*kept, loosen, "--output", free, *journal]))


def kept_in(folder: Path, what: str, otherwise: str = "nothing is kept yet, and the same command starts again") -> str:
    """What is kept in a folder; `otherwise` where the folder holds no file."""
    there = folder.is_dir() and any(path.is_file() for path in folder.rglob("*"))
    return f"{what} in {folder}" if there else otherwise


def kept_of_training(folder: Path) -> str:
    """The last whole checkpoint, or why there is none."""
    whole = whole_checkpoints(place_of(folder).checkpoints)
    if whole:
        return f"the last checkpoint is {whole[-1]}"
    return (
        "no checkpoint was written, and the same command starts again (training.save_strategy=steps with "
        "training.save_steps=100 writes one every 100 steps)"
    )
