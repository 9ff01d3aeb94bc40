"""`longvpo frames`: what a recipe's rows show is kept beforehand; again it resumes, and bad videos are counted."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.trainers import train_recipe
from typer.testing import CliRunner

from longvpo.cli.main import app
from longvpo.errors import LongVPOError
from longvpo.models.load import load_processor
from longvpo.recipe.training import TrainRecipe
from longvpo.training.collator import AnchoredCollator
from longvpo.training.filling import fill_frames
from longvpo.training.rows import training_rows
from longvpo.training.start import frames_of_recipe
from longvpo.training.videos import check_videos
from longvpo.video import frames as video


def recipe_of(dataset: Path, world: Path, folder: Path, *overrides: str) -> TrainRecipe:
    return train_recipe(dataset, world, f"video.frames={folder}", "frame_budget=20", *overrides)


def test_what_is_filled_is_all_that_a_collator_reads(
    dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(dataset, world, tmp_path / "kept")
    done = fill_frames(recipe)
    assert done["decoded"] == done["files"] > 0
    assert done["bytes"] == sum(p.stat().st_size for p in (tmp_path / "kept").glob("??/*") if p.stat().st_size > 40)
    monkeypatch.setattr(video, "read_frames", None)
    again = fill_frames(recipe)
    assert again | {"seconds": 0} == done | {"decoded": 0, "seconds": 0}
    gone = recipe_of(dataset, tmp_path / "gone", tmp_path / "kept")
    rows, frames_of = training_rows(gone, 0), frames_of_recipe(gone)
    check_videos(rows, frames_of, gone.frame_budget)
    collator = AnchoredCollator(load_processor(gone.base), frames_of, gone.frame_budget)
    for row in rows:
        collator([row])


def test_several_at_once_share_the_work(dataset: Path, world: Path, tmp_path: Path) -> None:
    recipe = recipe_of(dataset, world, tmp_path / "kept")
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(fill_frames, [recipe] * 2)
    assert one["files"] == other["files"]
    assert one["files"] <= one["decoded"] + other["decoded"] < 2 * one["files"]


def test_a_killed_fill_resumes_and_a_small_bound_is_told(
    dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, real, calls = recipe_of(dataset, world, tmp_path / "kept"), video.read_frames, []

    def killed(path: Path, times: np.ndarray, *rest: Any) -> np.ndarray:
        calls.append(path)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return real(path, times, *rest)

    monkeypatch.setattr(video, "read_frames", killed)
    with pytest.raises(KeyboardInterrupt):
        fill_frames(recipe)
    done = fill_frames(recipe)
    assert 0 < done["decoded"] < done["files"]
    said = capsys.readouterr().err
    assert "did not stay" not in said
    assert f"resumed: {done['files'] - done['decoded']} of {done['files']} files of frames are in {tmp_path}" in said
    small = recipe_of(dataset, world, tmp_path / "small", f"video.frames_gb={done['bytes'] / 2e9}")
    assert 0 < fill_frames(small)["files"] < done["files"]
    assert "raise video.frames_gb" in capsys.readouterr().err


def test_bad_videos_are_counted_with_their_reasons(dataset: Path, world: Path, tmp_path: Path) -> None:
    shutil.copytree(world, tmp_path / "world")
    names = sorted(
        {clip["video"] for row in training_rows(recipe_of(dataset, world, tmp_path), 0) for clip in row["context"]}
    )
    (tmp_path / "world" / names[0]).unlink()
    (tmp_path / "world" / names[1]).write_text("this is no video\n" * 50)
    overrides = [
        f"data.dataset={dataset}",
        f"data.videos.drawn={tmp_path / 'world'}",
        f"video.frames={tmp_path / 'k'}",
    ]
    said = CliRunner().invoke(app, ["frames", "tiny", *overrides, "--json"])
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    assert [*found["unreadable"]] == [f"drawn/{name}" for name in names[:2]]
    assert found["unreadable"][f"drawn/{names[0]}"].startswith("no such video")
    assert found["files"] == found["decoded"] > 0


def test_without_a_folder_it_says_what_to_set(dataset: Path, world: Path) -> None:
    with pytest.raises(LongVPOError, match=r"set video\.frames to a folder"):
        fill_frames(train_recipe(dataset, world))


def test_frames_are_those_of_the_videos_that_are_there(
    dataset: Path, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not of those that the dataset was written from, where one was replaced since: whatever is kept already."""
    shutil.copytree(world, tmp_path / "world")
    fill_frames(recipe_of(dataset, tmp_path / "world", tmp_path / "full"))
    clip = training_rows(recipe_of(dataset, world, tmp_path), 0)[0]["context"][0]
    replaced = tmp_path / "world" / clip["video"]
    other = next(path for path in sorted(replaced.parent.glob("*.mp4")) if path.name != replaced.name)
    shutil.copy(other, replaced)
    found = []
    for folder in ("full", "empty"):
        recipe = recipe_of(dataset, tmp_path / "world", tmp_path / folder)
        frames_of = frames_of_recipe(recipe)
        assert frames_of.is_another(clip)
        check_videos(training_rows(recipe, 0), frames_of)
        assert f"videos, such as {clip['video']}, are other files" in capsys.readouterr().err
        found.append((frames_of(clip), frames_of.content(clip)))
    assert np.array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1] != frames_of_recipe(recipe_of(dataset, world, tmp_path / "full")).content(clip)


def test_damaged_files_are_written_anew(dataset: Path, world: Path, tmp_path: Path) -> None:
    recipe = recipe_of(dataset, world, tmp_path / "kept")
    fill_frames(recipe)
    damaged = max((tmp_path / "kept").glob("??/*"), key=lambda path: path.stat().st_size)
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    fill_frames(recipe)
    assert damaged.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_found_out_first(dataset: Path, world: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        LongVPOError, match=r"no frames can be kept in .*file: .*; set video\.frames to another folder"
    ):
        fill_frames(recipe_of(dataset, world, tmp_path / "file"))
