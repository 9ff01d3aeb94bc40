"""The whole loop in small, by the commands a user types: the one test that the gate also runs on the oldest Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.commands import run

from longvpo.io.files import file_hash
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.tiny.stories import write_stories


def test_a_short_build_training_and_evaluation(
    monkeypatch: pytest.MonkeyPatch, world: Path, test_world: Path, tmp_path: Path
) -> None:
    films, built, adapter, results = (tmp_path / name for name in ("films", "built", "adapter", "results"))
    write_stories(films, [4, 5, 6, 4], seed=13, split="train")

    sources = [f"sources.0.folder={world}", f"stage2.sources.0.folder={films}"]
    counts = ["stage1.triplets=40", "stage2.triplets=6", "context.clips=[1, 2, 4]"]
    assert run(monkeypatch, "build-dataset", "tiny", *sources, *counts, "--output", built) == 0
    facts = json.loads((built / "facts.json").read_text(encoding="utf-8"))
    assert (facts["stage1"]["triplets"], facts["stage2"]["triplets"]) == (40, 6)

    data = [f"data.dataset={built}", f"data.videos.drawn={world}", "training.max_steps=4", "training.logging_steps=2"]
    assert run(monkeypatch, "train", "tiny", *data, "--output", adapter) == 0
    trained = json.loads((adapter / "facts.json").read_text(encoding="utf-8"))
    assert trained["steps"] == 4
    assert np.isfinite(trained["last_log"]["loss"])
    assert trained["weights_sha256"] == file_hash(adapter / ADAPTER_WEIGHTS)

    grid = [f"source.folder={test_world}", "multi=null", "grid.clips=[1, 4]", "grid.depths=2", "grid.questions=20"]
    assert run(monkeypatch, "evaluate", "tiny", *grid, "--adapter", adapter, "--output", results) == 0
    needle = json.loads((results / "results.json").read_text(encoding="utf-8"))["needle"]
    assert set(needle) == {"base", "adapter"}
    assert needle["base"]["1"] > 80  # it knows the clips it was made for: the videos were read right
