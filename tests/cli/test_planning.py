"""A dry run prints its plan, and ends as the run would where that would not begin its work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import Capture, run
from support.world import SMALL


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["train", "tiny/stage1", "data.videos.drawn=@/none"], "40 of 40 triplets need videos that cannot be used"),
        (["train", "tiny/stage1", "base.model=@/clips"], "cannot load @/clips"),
        (["train", "tiny/stage1", "--output", "@/full"], "@/full is not empty: give another --output"),
        (["train", "tiny/stage1", "--output", "@/made"], "@/made holds the result of another recipe"),
        (["build-dataset", "tiny", "filters.visual_model=@/x/y"], "cannot load the encoder @/x/y: there is no such"),
        (["build-dataset", "tiny", "judge={model: @/clips}"], "cannot load @/clips"),
        (["build-dataset", "tiny", "--output", "@/other"], "its hash is 0123456789ab, this one's"),
        (["evaluate", "tiny", "--output", "@/made"], "@/made holds the result of another recipe"),
    ],
)
def test_what_would_end_the_run_ends_its_dry_run(
    command: list[str],
    says: str,
    dataset: Path,
    world: Path,
    test_world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    (tmp_path / "clips").symlink_to(world)
    for name, text in {"full/thesis.tex": "mine", "other/work/key.json": OTHER, "made/facts.json": OTHER}.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "made" / "results.json").write_text(OTHER)
    given = {
        "train": [f"data.dataset={dataset}", f"data.videos.drawn={world}", "training.max_steps=2"],
        "build-dataset": [f"sources.0.folder={world}", *SMALL],
        "evaluate": [f"source.folder={test_world}", "multi=null", "grid.clips=1"],
    }[command[0]]
    words = [word.replace("@", str(tmp_path)) for word in command[2:]]
    before = sorted(tmp_path.rglob("*"))
    assert run(monkeypatch, *command[:2], *given, *words, "--dry-run", "--json") == 1
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["hash"]) == 12, "the plan is printed all the same"
    (line,) = [line for line in captured.err.splitlines() if line.startswith("error:")]
    assert line.startswith("error: the run would end before its work: ")
    assert says.replace("@", str(tmp_path)) in line
    assert sorted(tmp_path.rglob("*")) == before


OTHER = json.dumps({"key": "0123456789ab,0", "recipe": "0123456789ab"})


def test_a_dry_run_of_what_is_there_or_begun_is_fine(
    dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    sources = [f"sources.0.folder={world}", *SMALL, "writer.endpoint.url=http://localhost:9/v1", "text_only=0"]
    for output in (tmp_path / "new", tmp_path):  # an empty folder is as good
        assert run(monkeypatch, "build-dataset", "tiny/dataset", *sources, "--output", output, "--dry-run") == 0
    with_model = [f"sources.0.folder={world}", *SMALL, "--output", dataset, "--dry-run"]
    assert run(monkeypatch, "build-dataset", "tiny/dataset", *with_model) == 0
    capsys.readouterr()
