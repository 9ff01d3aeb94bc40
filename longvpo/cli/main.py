"""The program `longvpo`: the commands, and how they end.

Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 a mistake that the user can mend (one `error:`
line), 2 usage, 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path

from longvpo.cli import commands as commands  # it adds them to `app`
from longvpo.cli.about import env
from longvpo.cli.asking import ask
from longvpo.cli.exporting import export
from longvpo.cli.interrupts import interrupts_heard
from longvpo.cli.printing import one_voice, say_next
from longvpo.cli.program import app, command
from longvpo.cli.publishing import card, merge, push
from longvpo.cli.recipes import init, recipes
from longvpo.cli.viewing import view
from longvpo.errors import LongVPOError, UsageError, say
from longvpo.io.disk import FULL, not_written

for one in (ask, card, env, export, init, merge, push, recipes, view):
    command()(one)


LONGEST = 10_000  # characters of an error, which may quote texts of any length


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} [...]"


def main() -> None:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for stream in (sys.stdout, sys.stderr):  # a character that the terminal cannot show is escaped: no error
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    debug = bool(os.environ.get("LONGVPO_DEBUG"))
    if not debug:
        # warnings of libraries: what they will rename, and which of their kernels is not installed
        warnings.simplefilter("ignore", FutureWarning)
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        with one_voice(), interrupts_heard():
            app()
    except LongVPOError as error:
        if debug:
            raise
        say(f"error: {_line(str(error))}")
        if error.then:
            say_next(*error.then)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except Exception as error:  # such as a full disk, or a folder without write permission
        said = f"{error.strerror or error}" if isinstance(error, OSError) else not_written(error, Path(), False)
        if debug or said is None:
            raise
        name = getattr(error, "filename", None)
        if isinstance(error, OSError) and error.errno in FULL:  # where a copy failed, its target is full
            name = error.filename2 or name
        where = f"{name}: " if name else ""
        said = f"{where}{said}; mend that, and the same command resumes"
        say(f"error: {_line(said)} (LONGVPO_DEBUG=1 shows where it failed)")
        sys.exit(1)
