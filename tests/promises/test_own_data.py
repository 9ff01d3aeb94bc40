"""From nothing but the README: a folder of twenty clips becomes a dataset and an adapter on the Hub, in five steps."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import Capture, run
from support.hub.looks import ALICE
from support.hub.pushes import Pushes, environment
from support.readme import commands, smaller_recipes

from longvpo.io.files import read_text


def test_five_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, world: Path, test_world: Path, pushes: Pushes, tmp_path: Path
) -> None:
    """The recipes that they name are the tiny ones here, and a token in the environment is the login."""
    monkeypatch.chdir(tmp_path)
    recipes = tmp_path / "recipes"
    smaller_recipes(recipes, monkeypatch)
    for file in (recipes / "tiny").iterdir():
        text = read_text(file).replace("drawn", "clips")
        (recipes / "internvl3-1b" / file.name).write_text(text)
    clips = tmp_path / "my-clips"
    clips.mkdir()
    (clips / "videos").symlink_to(world / "videos")
    (tmp_path / "my-test-clips").symlink_to(test_world)
    table = read_text(world / "metadata.jsonl").splitlines()[:20]
    (clips / "metadata.jsonl").write_text("\n".join(table) + "\n")

    install, *steps = commands("README.md", "longvpo init ")
    assert install == ["pip", "install", "."]
    assert [step[:2] for step in steps].count(["longvpo", "push"]) == 2
    published: list[str] = []
    here = environment(pushes.address, ALICE + "five", tmp_path / "home")
    for program, *words in steps:
        if program == "hf":
            assert words == ["auth", "login"]
            continue
        assert program == "longvpo"
        if words[0] == "push":
            done = subprocess.run([sys.executable, "-m", program, *words], env=here, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            published += re.findall(r"published: (\S+) at v0.1.0", done.stderr)
            continue
        assert run(monkeypatch, *words) == 0, words
        assert "error:" not in capsys.readouterr().err
        if words[0] == "init":  # what is to be edited, is edited
            file = Path("test.yaml" if "test.yaml" in words else "my.yaml")
            text = file.read_text()
            assert text.count("# <-- ") == 4
            assert text.count("license: unknown  # <-- ") == 1
            file.write_text(text.replace("license: unknown", "license: cc-by-4.0"))
    facts = json.loads(read_text(tmp_path / "my-triplets" / "facts.json"))
    assert (facts["stage1"]["triplets"], facts["stage1"]["clips"]) == (60, 20)

    state = pushes.state()
    assert "v0.1.0" in state["datasets/alice/my-clips-data"]["tags"]
    card = pushes.read("datasets/alice/my-clips-data", "v0.1.0", "README.md")
    assert "cc-by-4.0" in card
    assert "drawn by longvpo" not in card.lower(), "they are a user's, of whom no recipe knows more"
    card = pushes.read(f"models/{published[1]}", "v0.1.0", "README.md")
    assert "One clip hidden among others" in card, "with its results"
