"""Where people stumbled who tried the commands: each stumble is a line that says what to type."""

from __future__ import annotations

import pytest
from support.commands import Capture, run


@pytest.mark.parametrize(
    ("command", "choice", "other"),
    [
        (["build-dataset"], "tiny/dataset", "stage1"),
        (["build-dataset", "sources.0.folder=my-clips"], "longvpo-16k/dataset", "stage1"),
        (["build-dataset", "--push"], "tiny/dataset", "stage1"),
        (["train"], "tiny/stage2", "evaluate"),
        (["train", "data.dataset=mine", "--dry-run"], "tiny/stage1", "evaluate"),
        (["frames"], "tiny/stage1", "evaluate"),
        (["score"], "tiny/stage1", "evaluate"),
        (["evaluate"], "tiny/evaluate", "stage1"),
    ],
)
def test_a_command_without_a_recipe_asks_for_one(
    command: list[str], choice: str, other: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """`build-dataset` took a recipe that downloads 200 GB."""
    assert run(monkeypatch, *command) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert printed.out == ""
    assert line.startswith(f"error: longvpo {command[0]} needs a recipe")
    assert choice in line
    assert other not in line
