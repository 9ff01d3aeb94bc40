"""The program: its name, its list of commands, how help is laid out, and the options before a command."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from longvpo.errors import QUIET

# these libraries log every address that they ask, and an address may hold a key
TELL_ADDRESSES = ("httpx", "httpx2", "urllib3")
LIBRARIES = ("TRANSFORMERS_VERBOSITY", "DATASETS_VERBOSITY", "HF_HUB_VERBOSITY")
GROUPS = {  # the order of the commands in `longvpo --help`
    "Start": ("demo", "init", "recipes"),
    "The loop": ("build-dataset", "train", "evaluate", "push"),
    "Look at results": ("view", "ask"),
    "More": ("frames", "score", "merge", "export", "card", "env"),
}
PUBLISHING = "Options for publishing"


class Command(TyperCommand):
    """A command whose help shows its options in groups: `rich_help_panel` names the group of an option."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for one in self.get_params(ctx):
            usual = "Arguments" if one.param_type_name == "argument" else "Options"
            if record := one.get_help_record(ctx):
                groups.setdefault(getattr(one, "rich_help_panel", None) or usual, []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


class Commands(TyperGroup):
    """A list that shows the whole first paragraph of each command: click would truncate it."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, self.commands))
        for group, names in GROUPS.items():
            with formatter.section(group):
                about = [(self.commands[name].help or "").partition("\n\n")[0] for name in names]
                formatter.write_dl([(f"{name:{width}}", text) for name, text in zip(names, about, strict=True)])


app = typer.Typer(
    name="longvpo",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich would take brackets in a help text as its own marks, and hide them
    context_settings={"max_content_width": 160},
)
command = partial(app.command, cls=Command)


def _say_version(asked: bool) -> None:
    if asked:
        print(f"longvpo {version('longvpo')}")
        raise typer.Exit()


@app.callback()
def program(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show only errors and warnings: no progress bars, no notes.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the libraries log, too.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Make preference data and QLoRA adapters for long-video models from short clips (LongVPO).

    Try it without any data: longvpo demo. Help on one command: longvpo COMMAND --help.
    """
    if quiet and verbose:
        raise typer.BadParameter("give one of --quiet and --verbose")
    if quiet:
        os.environ[QUIET] = "1"
        _leave_bars_out()
    if not sys.stderr.isatty():
        _keep_bars_in_their_line()
    if verbose:
        os.environ |= dict.fromkeys(LIBRARIES, "info")
        warnings.simplefilter("default")
        logging.basicConfig(level=logging.INFO)
        logging.getLogger("bitsandbytes").setLevel(logging.NOTSET)
        for name in TELL_ADDRESSES:
            logging.getLogger(name).setLevel(logging.WARNING)


def _keep_bars_in_their_line() -> None:
    """Nested bars move the cursor of a terminal; a log would show blank lines and escape codes."""
    from tqdm import std

    setattr(std.tqdm, "moveto", lambda self, lines: None)  # noqa: B010 - as below


def _leave_bars_out() -> None:
    """Show no progress bars. All of them, also those of libraries, come from tqdm."""
    from tqdm import std

    begin = std.tqdm.__init__

    def without(self: Any, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **(options | {"disable": True}))

    setattr(std.tqdm, "__init__", without)  # noqa: B010 - mypy knows no assignment to a method
