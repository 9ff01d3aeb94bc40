"""What stands before a command, and that help says all that was written for it."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import tqdm
from support.commands import Capture, run
from support.world import ROOT
from typer.main import get_command
from typer.testing import CliRunner

from longvpo.cli.main import app
from longvpo.cli.printing import print_tables
from longvpo.errors import QUIET, STEERING, LongVPOError, say

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


def words(text: str) -> str:
    """The text on one line: help is wrapped, and an option's is indented."""
    return " ".join(text.split())


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_shows_every_word(name: str) -> None:
    """Brackets and their like too, which Rich takes for its own marks."""
    command = COMMANDS[name] if name else get_command(app)
    done = CliRunner(env={"COLUMNS": "1000"}).invoke(app, [*filter(None, [name]), "--help"])
    shown = words(done.output)
    assert words(command.help) in shown
    for parameter in command.params:
        about = words(getattr(parameter, "help", None) or "")
        assert about in shown, parameter.name
        assert parameter.name == "help" or about, f"{name} {parameter.name} has no help"
    if not name:
        for listed in COMMANDS.values():
            assert words(listed.help.partition("\n\n")[0]) in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_read_at_once(name: str) -> None:
    """One line in the list, and examples on one line each, at 80 columns; an example is parsed as a command."""
    command = COMMANDS[name]
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["--help"]).output.splitlines()
    about = command.help.partition("\n\n")[0]
    assert [line for line in shown if line.startswith(f"  {name} ")] == [
        f"  {name:{max(map(len, COMMANDS))}}  {about}"
    ]
    examples = re.findall(r"^ *Example: (longvpo .*)", command.help, re.MULTILINE)
    assert examples
    assert all(len(f"  Example: {example}") <= 80 for example in examples)
    for example in examples:
        program, first, *rest = shlex.split(example)
        assert (program, first) == ("longvpo", name)
        command.make_context(name, rest)


def test_marks_of_rich_are_only_texts() -> None:
    assert app.rich_markup_mode is None


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"longvpo {version('longvpo')}\n"


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the options set lasts for the process; here, for a test."""
    monkeypatch.setattr("tqdm.std.tqdm.__init__", tqdm.std.tqdm.__init__)
    monkeypatch.setitem(os.environ, QUIET, "")
    levels = {name: logging.getLogger(name).level for name in ("", "bitsandbytes", "httpx", "httpx2", "urllib3")}
    for name in ("TRANSFORMERS_VERBOSITY", "DATASETS_VERBOSITY", "HF_HUB_VERBOSITY"):
        monkeypatch.setitem(os.environ, name, "error")
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def speak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that says all kinds of things."""

    def speak() -> None:
        say("note: a note")
        say("warning: a warning")
        for _ in tqdm.tqdm(range(3), "a bar", disable=False):
            pass
        raise LongVPOError("a mistake")

    def warn() -> None:
        warnings.warn("it is old", FutureWarning, stacklevel=2)

    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands])
    app.command()(speak)
    app.command()(warn)


@pytest.mark.usefixtures("unchanged", "speak")
def test_quiet_leaves_errors_and_warnings(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert run(monkeypatch, "speak") == 1
    printed = capsys.readouterr().err
    assert "note: a note" in printed
    assert "a bar" in printed
    assert run(monkeypatch, "--quiet", "speak") == 1
    assert capsys.readouterr().err == "warning: a warning\nerror: a mistake\n"
    assert run(monkeypatch, "-q", "-v", "speak") == 2


@pytest.mark.usefixtures("unchanged", "speak")
def test_verbose_lets_the_libraries_speak_and_shows_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(FutureWarning, match="it is old"):
        assert run(monkeypatch, "-v", "warn") == 0
    assert os.environ["TRANSFORMERS_VERBOSITY"] == "info"
    assert logging.getLogger("bitsandbytes").getEffectiveLevel() == logging.getLogger().level
    assert logging.getLogger("httpx2").getEffectiveLevel() == logging.WARNING


def completed(line: str) -> list[str]:
    """What bash is offered: a process of its own, as click asks how it was started."""
    asked = {"_LONGVPO_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    code = "import sys; sys.argv = ['longvpo']; from longvpo.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_shell_completes_commands_and_recipes() -> None:
    assert completed("longvpo bui") == ["build-dataset"]
    assert completed("longvpo train tiny/") == ["tiny/stage1", "tiny/stage2"]
    assert completed("longvpo evaluate ti") == ["tiny/evaluate"]
    assert completed("longvpo train my.ya") == [], "the shell then completes files"


def test_types_are_for_others_too() -> None:
    assert (ROOT / "longvpo" / "py.typed").is_file()
    assert 'packages = ["longvpo"]' in (ROOT / "pyproject.toml").read_text(), "all files of it, in the wheel"


def test_bars_write_no_escapes_into_a_log(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("tqdm.std.tqdm.moveto", tqdm.std.tqdm.moveto)
    assert run(monkeypatch, "recipes", "tiny") == 0
    capsys.readouterr()
    for _ in tqdm.tqdm(range(2), mininterval=0):
        for _ in tqdm.tqdm(range(2), leave=False, mininterval=0):
            pass
    said = capsys.readouterr().err
    assert "2/2" in said
    assert "\x1b" not in said
    assert said.count("\n") == 1


def test_a_copy_that_finds_no_space_names_the_full_place(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def copies() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "mine/weights", None, "small/weights")

    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands])
    app.command()(copies)
    assert run(monkeypatch, "copies") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: small/weights: No space left on device; mend that, and the same command resumes")


def test_what_others_wrote_moves_no_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Names of files, columns and videos, and what servers say, stand in errors, notes and tables."""
    table = {"a\x1b[2J\u202e\x9b": "b"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(table, ensure_ascii=False) + "\n", encoding="utf-8")
    assert run(monkeypatch, "build-dataset", "tiny", f"sources.0.folder={tmp_path}", "stage2=null", "--dry-run") == 1
    said = capsys.readouterr().err
    assert r"it has a\x1b[2J\u202e\x9b)" in said
    assert STEERING.search(said.replace("\r", "")) is None
    results = {"base": {"1\x1b[31m\n2": 50.0}, "mine\u202e": {"1\x1b[31m\n2": 60.0}}
    print_tables({"needle": results, "frames": {}}, False)
    shown = capsys.readouterr().out
    assert STEERING.search(shown) is None
    assert len(shown.splitlines()) == 4
    assert run(monkeypatch, "recipes", "a" * 10**5) == 1
    assert len(capsys.readouterr().err) < 20_000
