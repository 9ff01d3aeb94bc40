"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longvpo.errors import LongVPOError, UsageError
from longvpo.io.home import path


def _fitting(command: str) -> list[str]:
    """Built-in recipes that a command takes."""
    from longvpo.recipe.builtin import builtin_recipes

    of = {"build-dataset": "dataset", "evaluate": "evaluate"}.get(command)
    last = {name: name.rpartition("/")[2] for name in builtin_recipes()}
    return [name for name, is_of in last.items() if (is_of == of if of else is_of not in ("dataset", "evaluate"))]


def _named(context: typer.Context, recipe: str) -> str:
    """The recipe's name. Raises UsageError where there is none, or an override stands in its place."""
    if context.resilient_parsing or (recipe and "=" not in recipe) or Path(recipe).is_file():
        return recipe
    command = context.info_name or ""
    got = f" before {recipe}" if recipe else ""
    raise UsageError(
        f"longvpo {command} needs a recipe{got}: give a YAML file of yours, or a built-in one out of "
        f"{', '.join(_fitting(command))}; `longvpo recipes NAME` prints one"
    )


def _engine(context: typer.Context, name: str) -> str:
    """The engine's name. Raises LongVPOError where it cannot be used."""
    from longvpo.dataset.engine.names import check_engine

    if not context.resilient_parsing:
        check_engine(name)
    return name


def _completed(context: typer.Context, incomplete: str) -> list[str]:
    """What a shell is offered; where that is nothing, it completes files."""
    return [name for name in _fitting(context.info_name or "") if name.startswith(incomplete)]


RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        callback=_named,
        show_default=False,
        help="Needed: a YAML file or a built-in name; see `longvpo recipes`.",
        autocompletion=_completed,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Values of the recipe, as section.key=value."),
]
Changes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="What the card states otherwise now: name, license, language or notes; of a source "
        "sources.NAME.license, .redistribution or .about; of an adapter base.license.",
    ),
]
Result = Annotated[Path, typer.Argument(parser=path, help="What build-dataset, train or score made.")]
Output = Annotated[
    Path | None, typer.Option(parser=path, help="Folder for the result.", show_default="the recipe's name")
]
Journal = Annotated[
    Path | None, typer.Option(parser=path, help="Folder of answers to use and add to; builds may share one.")
]
Engine = Annotated[
    str,
    typer.Option(
        metavar="local|ray[://HOST:PORT]",
        callback=_engine,
        help="Who does the work: this process, or workers on the machines of a Ray cluster; the bytes are the same.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Workers on the cluster.", show_default="one a GPU, else as the CPUs suffice for"),
]
Adapters = Annotated[
    list[str] | None,
    typer.Option("--adapter", help="An adapter's folder, or its id on the Hub as ID[@REVISION]; repeatable."),
]
Benchmarks = Annotated[
    str | None,
    typer.Option(
        metavar="all|NAME,...",
        help="Only print the commands that measure public benchmarks with lmms-eval, such as lvbench,mvbench.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and touch nothing.")]
Push = Annotated[bool, typer.Option("--push/--no-push", help="Publish the result to the Hub, under a tag.")]
RepoId = Annotated[str | None, typer.Option(help="Repository on the Hub.", show_default="you/the recipe's name")]
Tag = Annotated[str, typer.Option(help="Tag of the release; a tag never moves.")]
Private = Annotated[
    bool | None,
    typer.Option(
        "--private/--public",
        help="Who may see it.",
        show_default="a new repository is private, another stays as it is",
    ),
]
Collection = Annotated[str | None, typer.Option(help="Title of a collection on the Hub that the repository joins.")]
License = Annotated[str | None, typer.Option(help="Licence id of sources or base, where the recipe states none.")]
OverwriteCard = Annotated[
    bool, typer.Option("--overwrite-card", help="Put the new card over one that was written or edited by hand.")
]
FIRST_TAG = "v0.1.0"
Profile = Annotated[
    int | None, typer.Option(help="Only time so many steps, by phase; nothing is written.", show_default=False)
]


def named_folders(given: list[str] | None, otherwise: str) -> dict[str, Path]:
    """The folders of `--videos NAME=FOLDER`, by name. Raises LongVPOError, which ends with `otherwise`, at others."""
    found = {}
    for one in given or []:
        name, equals, folder = one.partition("=")
        if not (name and equals and folder):
            raise LongVPOError(f"--videos {one}: {otherwise}")
        found[name] = path(folder)
    return found


def beside(folder: Path, end: str) -> Path:
    """A folder beside this one, whose name has this end."""
    named = folder if folder.name.strip(".") else folder.resolve()  # `.` has no name of its own
    return named.with_name(f"{named.name}-{end}")
