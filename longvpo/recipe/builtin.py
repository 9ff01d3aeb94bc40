"""The recipes in the package: their names, files and descriptions."""

from __future__ import annotations

import os
import re
from pathlib import Path

from longvpo.errors import LongVPOError, did_you_mean
from longvpo.io.files import read_text, shipped
from longvpo.io.home import at_home

OTHERS = ("accelerate/", "cluster/")  # folders with files for other programs
BASES = ("models/", "shared/")  # folders with parts that recipes extend


def builtin_files() -> list[str]:
    """Names of the built-in recipes, and of the parts that they extend."""
    folder = shipped("recipes")
    names = (str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml"))
    return sorted(name for name in names if not name.startswith(OTHERS))


def builtin_file(name: str) -> Path:
    """The file of a built-in recipe, or of a part that recipes extend."""
    return shipped("recipes") / f"{name}.yaml"


def shown(path: Path) -> str:
    """The name of a file for people: a built-in recipe has its short name."""
    folder = shipped("recipes")
    return str(path.relative_to(folder).with_suffix("")) if path.is_relative_to(folder) else str(path)


def builtin_recipes() -> list[str]:
    """Names of the built-in recipes, such as `tiny/dataset`."""
    return [name for name in builtin_files() if not name.startswith(BASES)]


def family_of(name: str) -> list[str]:
    """The built-in recipes whose names begin with this one, such as `tiny`."""
    return [one for one in builtin_recipes() if one.startswith(f"{name}/")]


def find_recipe(name: str) -> Path:
    """A path, or the name of a built-in recipe.

    Raises:
        LongVPOError: neither exists.
    """
    for path in (Path(at_home(name)), builtin_file(name)):
        if os.path.isfile(path):  # False, not an error, where no file can have such a name
            return path
    if Path(at_home(name)).is_dir():
        raise LongVPOError(f"{name} is a folder: give a YAML file, or a name that `longvpo recipes` lists")
    if family_of(name):
        raise LongVPOError(f"{name} is a family of recipes: give one of {', '.join(family_of(name))}")
    known = builtin_recipes()
    families = [one.split("/")[0] for one in known]
    here = [str(path) for path in Path(at_home(name)).parent.glob("*.y*ml")]
    raise LongVPOError(
        f"no recipe {name}{did_you_mean(name, [*here, *known, *families])}: give a YAML file, or a name that `longvpo "
        "recipes` lists"
    )


def first_sentence(path: Path) -> str:
    """The first sentence of the comment at the top of a recipe."""
    lines = read_text(path).splitlines()
    head = [line[1:].strip() for line in lines[: next(n for n, line in enumerate([*lines, ""]) if line[:1] != "#")]]
    return re.split(r"(?<=\.)\s", " ".join(head), maxsplit=1)[0]
