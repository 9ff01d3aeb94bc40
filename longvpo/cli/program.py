"""The program's name, its list of commands, and what may stand before a command: how much it says, and its version."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from longvpo.errors import QUIET

# they write each address that they ask, in which a key may stand
TELL_ADDRESSES = ("httpx", "httpx2", "urllib3")
LIBRARIES = ("TRANSFORMERS_VERBOSITY", "DATASETS_VERBOSITY", "HF_HUB_VERBOSITY")


class Commands(TyperGroup):
    """Its list says of each command the first paragraph, whole: click cuts it to the line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        rows = [(name, (self.commands[name].help or "").partition("\n\n")[0]) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(
    name="longvpo",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich takes brackets in a help text for its own marks, and leaves them out
    context_settings={"max_content_width": 160},
)


def _say_version(asked: bool) -> None:
    if asked:
        print(f"longvpo {version('longvpo')}")
        raise typer.Exit()


@app.callback()
def program(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only errors and warnings: no progress bars, no notes.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also what the libraries below log.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Preference data and QLoRA adapters for long-video models, made from short clips (LongVPO)."""
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
    """A bar inside another one moves the cursor of a terminal; in a log, that is blank lines and escapes."""
    from tqdm import std

    setattr(std.tqdm, "moveto", lambda self, lines: None)  # noqa: B010 - as below


def _leave_bars_out() -> None:
    """No progress bars, be they ours or a library's, which all are tqdm's."""
    from tqdm import std

    begin = std.tqdm.__init__

    def without(self: Any, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **(options | {"disable": True}))

    setattr(std.tqdm, "__init__", without)  # noqa: B010 - mypy knows no assignment to a method
