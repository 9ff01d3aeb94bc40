"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longvpo.cli.program import PUBLISHING
from longvpo.errors import LongVPOError, UsageError
from longvpo.io.home import path


def _fitting(command: str) -> list[str]:
    """Built-in recipes that a command takes."""
    from longvpo.recipe.builtin import builtin_recipes

    of = {"build-dataset": "dataset", "evaluate": "evaluate"}.get(command)
    last = {name: name.rpartition("/")[2] for name in builtin_recipes()}
    return [name for name, is_of in last.items() if (is_of == of if of else is_of not in ("dataset", "evaluate"))]


def _named(context: typer.Context, recipe: str) -> str:
    """The recipe's name. Raises UsageError where it is missing, or where an override comes first."""
    if context.resilient_parsing or (recipe and "=" not in recipe) or Path(recipe).is_file():
        return recipe
    command = context.info_name or ""
    got = f" before {recipe}" if recipe else ""
    raise UsageError(
        f"longvpo {command} needs a recipe{got}: give a YAML file of yours, or one of the built-in recipes "
        f"{', '.join(_fitting(command))}; `longvpo recipes NAME` prints one"
    )


def _engine(context: typer.Context, name: str) -> str:
    """The engine's name. Raises LongVPOError where it cannot be used."""
    from longvpo.dataset.engine.names import check_engine

    if not context.resilient_parsing:
        check_engine(name)
    return name


def _completed(context: typer.Context, incomplete: str) -> list[str]:
    """Names that a shell offers; where there are none, it completes files."""
    return [name for name in _fitting(context.info_name or "") if name.startswith(incomplete)]


RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        callback=_named,
        show_default=False,
        help="A YAML file, or the name of a built-in recipe: see `longvpo recipes`. Needed.",
        autocompletion=_completed,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Change a value of the recipe, as section.key=value."),
]
Changes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Values that the card states differently from now on: name, license, language or notes. For a source: "
        "sources.NAME.license, .redistribution or .about. For an adapter: base.license or base.hub_id.",
    ),
]
Result = Annotated[
    Path,
    typer.Argument(parser=path, metavar="FOLDER", help="A folder that build-dataset, train, score or merge made."),
]
Output = Annotated[
    Path | None,
    typer.Option(parser=path, metavar="FOLDER", help="Folder for the result.", show_default="the recipe's name"),
]
Journal = Annotated[
    Path | None,
    typer.Option(
        parser=path, metavar="FOLDER", help="Folder of the models' answers, kept and used again; builds may share it."
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        metavar="local|ray[://HOST:PORT]",
        callback=_engine,
        help="What does the work: this process, or workers on a Ray cluster. The result is the same to the byte.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="NUMBER", help="Workers on the cluster.", show_default="one per GPU, or as many as CPUs allow"
    ),
]
Adapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter", metavar="ADAPTER", help="An adapter's folder, or its Hub id as ID[@REVISION]; repeatable."
    ),
]
Benchmarks = Annotated[
    str | None,
    typer.Option(
        metavar="all|NAME,...",
        help="Only print the commands that run public benchmarks in lmms-eval, such as lvbench,mvbench.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost; write nothing.")]
Push = Annotated[
    bool,
    typer.Option("--push/--no-push", help="Publish the result on the Hub under a tag.", rich_help_panel=PUBLISHING),
]
RepoId = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="Repository on the Hub.",
        show_default="you/the recipe's name",
        rich_help_panel=PUBLISHING,
    ),
]
Tag = Annotated[
    str, typer.Option(metavar="TAG", help="Tag of the release; a tag never moves.", rich_help_panel=PUBLISHING)
]
Private = Annotated[
    bool | None,
    typer.Option(
        "--private/--public",
        help="Who may see the repository.",
        show_default="a new repository is private, another stays as it is",
        rich_help_panel=PUBLISHING,
    ),
]
Collection = Annotated[
    str | None,
    typer.Option(metavar="TITLE", help="Add the repository to this collection.", rich_help_panel=PUBLISHING),
]
License = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="Licence of the sources or the base, where the recipe states none.",
        rich_help_panel=PUBLISHING,
    ),
]
OverwriteCard = Annotated[
    bool,
    typer.Option(
        "--overwrite-card",
        help="Replace a card that was written or edited by hand.",
        rich_help_panel=PUBLISHING,
    ),
]
FIRST_TAG = "v0.1.0"
Profile = Annotated[
    int | None,
    typer.Option(metavar="STEPS", help="Only time this many steps, by phase; write nothing.", show_default=False),
]


def named_folders(given: list[str] | None, otherwise: str) -> dict[str, Path]:
    """The folders of `--videos NAME=FOLDER`, by name.

    Raises:
        LongVPOError: a value has another form; the error ends with `otherwise`.
    """
    found = {}
    for one in given or []:
        name, equals, folder = one.partition("=")
        if not (name and equals and folder):
            raise LongVPOError(f"--videos {one}: {otherwise}")
        found[name] = path(folder)
    return found


def beside(folder: Path, end: str) -> Path:
    """A folder next to this one, whose name has this end."""
    named = folder if folder.name.strip(".") else folder.resolve()  # `.` has no name of its own
    return named.with_name(f"{named.name}-{end}")
