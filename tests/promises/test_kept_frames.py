"""One adapter, wherever its frames come from: videos, frames that are kept, wholly or in part, or published ones."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from support.stage2 import equal
from support.world import ROOT

from longvpo.clips.published import frames_of_dataset
from longvpo.errors import LongVPOError
from longvpo.recipe.file import load_recipe
from longvpo.recipe.training import TrainRecipe
from longvpo.training import run
from longvpo.training.filling import fill_frames
from longvpo.training.plan import plan_training
from longvpo.training.rows import training_rows

BUDGET = 20  # frames: longer contexts are thinned


def recipe_of(dataset: Path, *overrides: str) -> TrainRecipe:
    short = ["training.max_steps=2", "training.gradient_accumulation_steps=1", "vision_cache_gb=0"]
    return load_recipe(TrainRecipe, "tiny", [f"data.dataset={dataset}", f"frame_budget={BUDGET}", *short, *overrides])


def trained_on(output: Path, dataset: Path, *overrides: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and facts of an adapter."""
    facts = run.train(recipe_of(dataset, *overrides), output)
    return load_file(output / "adapter_model.safetensors"), facts


@pytest.fixture(scope="module")
def plain(dataset: Path, world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The weights of an adapter that was trained from videos."""
    weights, facts = trained_on(tmp_path_factory.mktemp("plain") / "out", dataset, f"data.videos.drawn={world}")
    assert facts["pictures"] == {"drawn": {"from": "videos", "quality": None}}
    return weights


def test_without_loss_kept_frames_change_nothing(
    plain: dict[str, Any], dataset: Path, world: Path, tmp_path: Path
) -> None:
    kept = [f"data.videos.drawn={world}", f"video.frames={tmp_path / 'kept'}", "video.frames_quality=null"]
    first, facts = trained_on(tmp_path / "first", dataset, *kept)
    assert facts["pictures"] == {"drawn": {"from": "kept", "quality": None}}
    assert str(tmp_path / "kept") not in json.dumps(facts)
    assert equal(first, plain)


def test_as_jpeg_what_was_kept_before_changes_nothing(
    plain: dict[str, Any], dataset: Path, world: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    kept = [f"data.videos.drawn={world}", f"video.frames={folder}"]
    empty, facts = trained_on(tmp_path / "empty", dataset, *kept)
    assert facts["pictures"] == {"drawn": {"from": "kept", "quality": 90}}
    assert not equal(empty, plain)
    for file in sorted(folder.glob("??/*"))[::2]:
        file.unlink()
    half, _ = trained_on(tmp_path / "half", dataset, *kept)
    assert equal(half, empty)
    # without a video at hand
    filled = fill_frames(recipe_of(dataset, *kept))
    assert (filled["files"] > filled["decoded"] > 0, filled["unreadable"]) == (True, {})
    full, _ = trained_on(tmp_path / "full", dataset, "data.videos={}", kept[1])
    assert equal(full, empty)
    shutil.rmtree(folder)
    with pytest.raises(LongVPOError, match=r"no folder is given for the videos of source drawn.*data\.videos\.drawn"):
        run.train(recipe_of(dataset, "data.videos={}", kept[1]), tmp_path / "none")


def test_a_stranger_trains_from_the_dataset_alone(second: Path, world: Path, stories: Path, tmp_path: Path) -> None:
    """Frames that a dataset published are those that are kept, bit by bit."""
    stage2 = ["data.config=stage2", "reference=relevant", "data.mix=[{config: stage1, share: 0.25}]"]
    published, facts = trained_on(tmp_path / "published", second, "data.videos={}", *stage2)
    said = {"from": "published", "quality": 90}
    assert facts["pictures"] == {"drawn": said, "stories": said}
    videos = [f"data.videos.drawn={world}", f"data.videos.stories={stories}"]
    kept, _ = trained_on(tmp_path / "kept", second, *videos, f"video.frames={tmp_path / 'frames'}", *stage2)
    assert equal(kept, published)
    other = recipe_of(second, "data.videos={}", "video.fps=2", *stage2)
    says = r"published of source .* are others than this recipe's: set video\.fps=1\.0, or set data\.videos\."
    with pytest.raises(LongVPOError, match=says):
        run.train(other, tmp_path / "other")
    assert "set video.fps=1.0" in plan_training(other)["videos"]
    quality = recipe_of(second, "data.videos={}", f"video.frames={tmp_path}", "video.frames_quality=75")
    assert "set video.frames_quality=90" in plan_training(quality)["videos"]


def test_published_pictures_are_those_of_a_store(second: Path, world: Path, tmp_path: Path) -> None:
    section = recipe_of(second, f"video.frames={tmp_path}").video
    inside = frames_of_dataset(str(second), None, ["stage1"], section, {})
    outside = frames_of_dataset(str(second), None, ["stage1"], section, {"drawn": world})
    for row in training_rows(recipe_of(second), 0).select(range(3)):
        for clip in row["context"]:
            assert inside.published is not None
            assert inside.published.pictures(clip) == outside.pictures(clip)
            assert inside.size(clip) == outside.size(clip) == inside(clip).shape[1:3]
            assert inside.count(clip) == outside.count(clip)


def test_the_benchmark_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """At its full size kept frames are read 20 times as fast as videos or faster."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr("sys.argv", ["input.py", "--small", "--json"])
    runpy.run_path(str(ROOT / "benchmarks/input.py"), run_name="__main__")
    found = json.loads(capsys.readouterr().out)
    assert (found["frames"], found["clips"]) == (8, 2)
    assert all(found[name]["times_the_videos"] > 2 for name in ("kept", "published"))
