"""Commands about recipes: list them, explain their keys, and copy one as a start."""

from __future__ import annotations

import json
import shutil
import textwrap
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longvpo.cli import options
from longvpo.cli.printing import say_next
from longvpo.errors import LongVPOError, say, visible
from longvpo.io.home import path

if TYPE_CHECKING:
    from longvpo.recipe.keys import Part


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A recipe to print, or a family to list, such as tiny. With --keys: a section or a key.",
        ),
    ] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="Explain the keys of recipes: type, default and description.")
    ] = False,
    resolved: Annotated[bool, typer.Option("--resolved", help="Print all values, with the defaults.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(parser=path, metavar="FILE", help="Copy the recipe to this new file.", show_default=False),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List, print or copy built-in recipes, or explain their keys.

    Example: longvpo recipes internvl3-1b/stage1 --output my-training.yaml

    Example: longvpo recipes --keys train.lora
    """
    if keys:
        from longvpo.recipe.keys import parts_of

        parts = parts_of(name)
        if as_json:
            found = [part._asdict() | {"keys": [key._asdict() for key in part.keys]} for part in parts]
            return print(json.dumps(found))
        return print("\n\n".join(_part(part) for part in parts))
    from longvpo.io.files import read_text
    from longvpo.io.yaml_text import parse
    from longvpo.recipe.builtin import builtin_recipes, family_of, find_recipe

    if name is None:
        return _list(builtin_recipes(), as_json)
    if family_of(name) and not (resolved or output or Path(name).is_file()):
        return _list(family_of(name), as_json)
    from longvpo.recipe.file import dump_recipe, load_recipe
    from longvpo.recipe.kinds import COMMANDS, KINDS, kind_of

    kind, text = kind_of(name), read_text(find_recipe(name))
    if resolved:
        if kind is None:
            raise LongVPOError(f"{name} has none of the keys of a recipe: there is nothing to resolve")
        text = dump_recipe(load_recipe(KINDS[kind], name))
    if output is None:
        return print(json.dumps(parse(text)) if as_json else visible(text.rstrip()))
    write_new(output, text)
    if kind is not None:
        say_next(COMMANDS[kind], str(output), "--dry-run")


def init(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder with your videos and a table of them.")],
    base: Annotated[
        str,
        typer.Option("--from", metavar="FAMILY", help="Built-in recipes to start from, such as qwen2.5-vl-7b."),
    ] = "internvl3-1b",
    output: Annotated[Path, typer.Option(parser=path, metavar="FILE", help="New file for the recipe.")] = Path(
        "my.yaml"
    ),
) -> None:
    """Write a recipe for a folder of your own videos.

    Four lines in it are left to edit. A table with the columns caption, question and answer makes a recipe for
    evaluate. Any other table makes a recipe for build-dataset. To choose yourself, give --from FAMILY/dataset or
    --from FAMILY/evaluate.

    Example: longvpo init my-clips --from internvl3-1b --output my.yaml
    """
    from longvpo.dataset.start import own_recipe

    text, command = own_recipe(str(path(folder)), base, str(output))
    write_new(output, text)
    say("edit:    the four lines that are marked <--")
    say_next(command, str(output), "--dry-run")


def write_new(file: Path, text: str) -> None:
    """Write a recipe. Raises LongVPOError where the file exists."""
    from longvpo.io.files import write_text

    if file.exists() or file.is_symlink():
        raise LongVPOError(f"{file} exists, and is not overwritten: name another file with --output")
    write_text(file, text)
    say(f"recipe:  {file}")


def _list(names: list[str], as_json: bool) -> None:
    """One line per recipe, with the first sentence of its comment; a blank line between families."""
    from longvpo.recipe.builtin import builtin_file, first_sentence

    about = {name: first_sentence(builtin_file(name)) for name in names}
    if as_json:
        return print(json.dumps([{"name": name, "about": text} for name, text in about.items()]))
    width = max(map(len, about))
    families = groupby(about, key=lambda name: name.split("/")[0])
    print("\n\n".join("\n".join(f"{name:{width}}  {about[name]}" for name in family) for _, family in families))


def _part(part: Part) -> str:
    """A section and its keys, as wide as the terminal."""
    width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 120))
    lines = textwrap.wrap(f"{part.name}: {part.about}" if part.about else part.name, width)
    for key, kind, default, description in part.keys:
        lines.append(f"  {key}  ({kind}; {textwrap.shorten(default, width // 2, placeholder=' ...')})")
        lines += textwrap.wrap(description, width, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)
