"""From nothing but the README: a folder of twenty clips becomes a dataset on the Hub in five commands."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import Capture, run
from support.hub.looks import ALICE
from support.hub.pushes import Pushes, environment
from support.readme import commands, smaller_recipes

from longvpo.io.files import read_text


def test_five_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, world: Path, pushes: Pushes, tmp_path: Path
) -> None:
    """The recipe that they name is the tiny one here, and a token in the environment is the login."""
    monkeypatch.chdir(tmp_path)
    recipes = tmp_path / "recipes"
    smaller_recipes(recipes, monkeypatch)
    shutil.copy(recipes / "tiny" / "dataset.yaml", recipes / "internvl3-1b" / "dataset.yaml")
    clips = tmp_path / "my-clips"
    clips.mkdir()
    (clips / "videos").symlink_to(world / "videos")
    table = read_text(world / "metadata.jsonl").splitlines()[:20]
    (clips / "metadata.jsonl").write_text("\n".join(table) + "\n")

    five = commands("Use it", 1)
    assert len(five) == 5
    (init, dry_run, build, login, (program, *push)) = five
    assert login == ["hf", "auth", "login"]
    for longvpo, *words in (init, dry_run, build):
        assert longvpo == program == "longvpo"
        assert run(monkeypatch, *words) == 0, words
        assert "error:" not in capsys.readouterr().err
        if words[0] == "init":  # what is to be edited, is edited
            text = Path("my.yaml").read_text()
            assert text.count("license: unknown  # <-- ") == 1
            Path("my.yaml").write_text(text.replace("license: unknown", "license: cc-by-4.0"))
    facts = json.loads(read_text(tmp_path / "my-triplets" / "facts.json"))
    assert (facts["stage1"]["triplets"], facts["stage1"]["clips"]) == (60, 20)

    here = environment(pushes.address, ALICE + "five", tmp_path / "home")
    done = subprocess.run([sys.executable, "-m", program, *push], env=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "published: alice/my-clips-data at v0.1.0" in done.stderr
    published = pushes.state()["datasets/alice/my-clips-data"]
    assert "v0.1.0" in published["tags"]
    card = pushes.read("datasets/alice/my-clips-data", "v0.1.0", "README.md")
    assert "cc-by-4.0" in card
    assert "drawn by longvpo" not in card.lower(), "they are a user's, of whom no recipe knows more"
