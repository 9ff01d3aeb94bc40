"""Builds from spoiled videos: whatever lies in a stranger's file costs that file, and is told."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest
from datasets import load_dataset
from support.films import captioned
from support.mutants import mutant, originals
from support.scribe import Scribe
from support.world import FOOTAGE, SPOILED

from longvpo.dataset.run import build
from longvpo.models.embed import Embedder
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.video import children

AT_ONCE = 200  # in a build
FILTERS = ("filters.visual_threshold=null", "filters.question_threshold=null", "filters.specificity=false")
LETS_ALL = ["stage2=null", "context.clips=[1]", *FILTERS]


@SPOILED
def test_builds_drop_what_is_spoiled_and_end(
    spoiled: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(children.SECONDS, "20")
    paths = originals(tmp_path, FOOTAGE if FOOTAGE.is_dir() else None)
    paths = paths[:8] if spoiled < AT_ONCE else paths
    kept, reasons, slow, embedder = 0, [], Counter[str](), None
    for first in range(0, spoiled, AT_ONCE):
        folder = tmp_path / f"{first}"
        folder.mkdir()
        made = [mutant(number, paths, folder).name for number in range(first, min(first + AT_ONCE, spoiled))]
        captioned(folder, *({"file_name": name, "caption": f"red {name}"} for name in made))
        values = [f"sources.0.folder={folder}", f"stage1.triplets={3 * len(made)}", "video.max_frames=4", *LETS_ALL]
        section = load_recipe(DatasetRecipe, "tiny/dataset", values)
        embedder = embedder or Embedder(section.filters)
        began = time.monotonic()
        build(section, folder / "out", writer=Scribe(folder / "asked"), embedder=embedder)
        slow[folder.name] = round(time.monotonic() - began)
        clips = set(load_dataset(str(folder / "out"), "clips", split="train")["video"])
        rows = load_dataset(str(folder / "out"), "dropped", split="train").to_list()
        gone = {row["id"].rpartition("/")[2]: row["reason"] for row in rows if row["filter"] == "video"}
        assert set(made) == clips | set(gone), "each is read, or dropped with its reason"
        assert all(name in why for name, why in gone.items()), "which says of what it speaks"
        kept, reasons = kept + len(clips), [*reasons, *gone.values()]
    kinds = Counter(re.sub(r"\S+\.\w+|[\d.]+", "_", why) for why in reasons)
    with capsys.disabled():
        print(
            f"\n{spoiled} spoiled videos of {len(paths)}: {kept} are still read, {len(reasons)} were dropped", end=""
        )
    print("".join(f"\n{count:6} {kind}" for kind, count in kinds.most_common()), f"\nseconds: {dict(slow)}")
    assert kept + len(reasons) == spoiled
