"""The whole loop in small, by the commands of recipes/building.md, word by word."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.commands import Capture, run
from support.readme import commands, smaller_recipes

from longvpo.io.files import file_hash
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.tiny.stories import write_stories


def test_the_commands_of_the_page(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, world: Path, test_world: Path, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    smaller_recipes(tmp_path / "recipes", monkeypatch)
    Path("my-clips").symlink_to(world)
    Path("my-test-clips").symlink_to(test_world)
    Path("video.mp4").symlink_to(test_world / "videos" / "00000.mp4")
    write_stories(Path("my-films"), [4, 5, 6, 4], seed=13, split="train")
    write_stories(Path("my-test-films"), [2, 4], seed=14, split="test")

    page = "recipes/building.md"
    install, *lines = [*commands(page, "longvpo ask "), *commands(page, "longvpo view ")]
    assert install == ["pip", "install", "."]
    printed = {}
    for program, *words in lines:
        assert program == "longvpo"
        capsys.readouterr()
        assert run(monkeypatch, *words) == 0, words
        printed[words[0]] = capsys.readouterr()
    assert [*printed] == ["recipes", "build-dataset", "train", "evaluate", "ask", "view"]
    assert all(Path(page, "index.html").is_file() for page in ("my-triplets-view", "my-results-view"))

    facts = json.loads(Path("my-triplets/facts.json").read_text(encoding="utf-8"))
    assert (facts["stage1"]["triplets"], facts["stage2"]["triplets"]) == (40, 6)
    for adapter, steps in (("my-stage1", 4), ("my-stage2", 2)):
        trained = json.loads(Path(adapter, "facts.json").read_text(encoding="utf-8"))
        assert trained["steps"] == steps
        assert np.isfinite(trained["last_log"]["loss"])
        assert trained["weights_sha256"] == file_hash(Path(adapter, ADAPTER_WEIGHTS))
    results = json.loads(Path("my-results/results.json").read_text(encoding="utf-8"))
    assert set(results["needle"]) == set(results["multi"]) == {"base", "my-stage1", "my-stage2"}
    assert results["needle"]["base"]["1"] > 80  # it knows the clips it was made for: the videos were read right
    assert [line.split(":")[0] for line in printed["ask"].out.splitlines()] == ["base", "my-stage2"]
    assert "frames:  4, at 0.5, 1.5, 2.5, 3.5 s" in printed["ask"].err
