"""What a run says before it starts, of its dataset and of the adapter that it starts from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from datasets import load_dataset
from support.trainers import train_recipe

from longvpo.clips.published import told_differing
from longvpo.clips.trained import read_trained, write_trained
from longvpo.io.files import file_hash
from longvpo.training.plan import plan_training
from longvpo.training.run import train
from longvpo.training.start import sampled_otherwise, videos_trained_on


def test_frames_that_the_answers_were_not_written_from(
    dataset: Path, world: Path, both_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sampled_otherwise(train_recipe(dataset, world)) == {}
    assert sampled_otherwise(train_recipe(both_stages, world, "video.fps=2")) == {}, "it does not say"
    changed = ["video.fps=2", "video.max_frames=2", "video.workers=1"]
    other = train_recipe(dataset, world, *changed, "training.max_steps=1")
    found = {"fps": {"dataset": 1.0, "training": 2.0}, "max_frames": {"dataset": 64, "training": 2}}
    assert plan_training(other)["sampled_otherwise"] == found
    facts = train(other, tmp_path / "out")
    assert facts["sampled_otherwise"] == found
    said = "written from other frames, at video.fps 1.0, not 2.0, video.max_frames 64, not 2: unless that is meant"
    assert said in capsys.readouterr().err
    assert "`video.fps` 2.0, not 1.0" in (tmp_path / "out" / "README.md").read_text()


def test_frames_that_the_answers_were_written_from_without_loss(dataset: Path, world: Path, tmp_path: Path) -> None:
    """A folder of frames changes what is seen by the quality of its pictures, and by nothing else."""
    kept = [f"video.frames={tmp_path}", "video.frames_gb=3"]
    assert sampled_otherwise(train_recipe(dataset, world, *kept, "video.frames_quality=null")) == {}
    found = sampled_otherwise(train_recipe(dataset, world, *kept))
    assert found == {"frames_quality": {"dataset": None, "training": 90}}
    assert told_differing(found).endswith("unless that is meant, set video.frames_quality=null")


def test_an_adapter_says_which_videos_it_was_trained_on(
    trained: Path, dataset: Path, world: Path, tmp_path: Path
) -> None:
    """Those of its rows, and those of the adapter that training started from."""
    rows = load_dataset(str(dataset), "stage1", split="train")
    videos = {file_hash(world / clip["video"]) for context in rows["context"] for clip in context}
    assert read_trained(trained) == videos
    assert json.loads((trained / "facts.json").read_text())["videos"] == len(videos)
    start = shutil.copytree(trained, tmp_path / "start")
    write_trained(start, {"a" * 64})
    rows = rows.add_column("config", ["stage1"] * len(rows))
    recipe = train_recipe(dataset, world)
    assert videos_trained_on(recipe, rows, start) == videos | {"a" * 64}
    write_trained(tmp_path, {"b" * 64})  # as beside a model with an adapter merged into it
    merged = train_recipe(dataset, world, f"base.model={tmp_path}")
    assert videos_trained_on(merged, rows, None) == videos | {"b" * 64}
    (start / "videos.txt").unlink()
    assert videos_trained_on(recipe, rows, start) is None
