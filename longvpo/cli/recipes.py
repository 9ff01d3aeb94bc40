"""Commands about recipes: which there are, what they may say, and a copy to start one's own from."""

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
            help="Print this one, or list a family such as tiny; with --keys a section or a key, such as train.lora."
        ),
    ] = None,
    keys: Annotated[bool, typer.Option("--keys", help="Print all keys: type, default and description.")] = False,
    resolved: Annotated[bool, typer.Option("--resolved", help="Print all values, defaults included.")] = False,
    output: Annotated[
        Path | None, typer.Option(parser=path, help="Write it to this file, which is new.", show_default=False)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the built-in recipes, print or copy one, or look up what a recipe may say."""
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
            raise LongVPOError(f"{name} has no key that a recipe has: there is nothing to resolve")
        text = dump_recipe(load_recipe(KINDS[kind], name))
    if output is None:
        return print(json.dumps(parse(text)) if as_json else visible(text.rstrip()))
    write_new(output, text)
    if kind is not None:
        say_next(COMMANDS[kind], str(output), "--dry-run")


def init(
    folder: Annotated[str, typer.Argument(help="Your videos, and a table of them.")],
    base: Annotated[
        str, typer.Option("--from", help="Built-in recipes to start from: a family, such as qwen2.5-vl-7b.")
    ] = "internvl3-1b",
    output: Annotated[Path, typer.Option(parser=path, help="The recipe's file, which is new.")] = Path("my.yaml"),
) -> None:
    """Write a recipe for a folder of your own, with four lines to edit: to build triplets, or to evaluate on it.

    A table with the columns caption, question and answer is evaluated on, any other builds triplets; --from
    FAMILY/dataset or FAMILY/evaluate says which.
    """
    from longvpo.dataset.start import own_recipe

    text, command = own_recipe(str(path(folder)), base, str(output))
    write_new(output, text)
    say("edit:    the four lines that are marked <--")
    say_next(command, str(output), "--dry-run")


def write_new(file: Path, text: str) -> None:
    """Write a recipe. Raises LongVPOError when something is there."""
    from longvpo.io.files import write_text

    if file.exists() or file.is_symlink():
        raise LongVPOError(f"{file} is there, and is not overwritten: name another file with --output")
    write_text(file, text)
    say(f"recipe:  {file}")


def _list(names: list[str], as_json: bool) -> None:
    """A line a recipe, with what its head comment says first; a blank line between families."""
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
