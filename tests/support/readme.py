"""The commands of the pages, and built-in recipes that do less, so that the commands take seconds."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from support.world import ROOT

LESS = {  # what recipes say, and what those of the tests say in its place
    "dataset.yaml": {
        "  triplets: 3200\n": "  triplets: 40\n",
        "  triplets: 2400\n": "  triplets: 6\n",
        "  clips: [1, 2, 4, 8, 16, 32]  #": "  clips: [1, 2, 4]  #",
    },
    "stage1.yaml": {"  num_train_epochs: 1\n": "  max_steps: 4\n  logging_steps: 2\n"},
    "stage2.yaml": {"  num_train_epochs: 1\n": "  max_steps: 2\n  logging_steps: 1\n"},
    "evaluate.yaml": {
        "  clips: [1, 2, 4, 8, 16, 32]\n": "  clips: [1, 4]\n",
        "  depths: 5\n": "  depths: 2\n",
        "  questions: 60\n": "  questions: 10\n",
    },
}


def commands(page: str, named: str) -> list[list[str]]:
    """The words of each line in the block of commands of a page that has this one."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if f"\n{named}" in f"\n{block}")
    return [words for line in block.replace("\\\n", " ").splitlines() if (words := shlex.split(line, comments=True))]


def smaller_recipes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny recipes, with fewer triplets, steps and questions, are the built-in ones of this process."""
    shutil.copytree(ROOT / "recipes", folder)
    for name, changes in LESS.items():
        file = folder / "tiny" / name
        text = file.read_text(encoding="utf-8")
        for said, less in changes.items():
            assert len(re.findall(re.escape(said), text)) == 1, f"{name}: {said}"
            text = text.replace(said, less)
        file.write_text(text, encoding="utf-8")
    monkeypatch.setattr("longvpo.recipe.builtin.shipped", lambda name: folder)
