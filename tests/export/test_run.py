"""An export resumes, does nothing twice, says what it leaves out, and why it cannot be made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from support.commands import run
from support.exported import exported, read_rows
from support.pairs import rows_of_shape, write_rows
from support.triplets import triplets, write_dataset
from typer.testing import CliRunner

from longvpo.cli.main import app
from longvpo.clips.rows import features
from longvpo.errors import LongVPOError
from longvpo.export import run as module
from longvpo.export.media import Media
from longvpo.export.run import export

Capture = pytest.CaptureFixture[str]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_again_does_nothing(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = exported("ms-swift", tmp_path, world)
    before = files(folder)
    monkeypatch.setattr(Media, "write", None)
    assert exported("ms-swift", tmp_path, world) == folder
    assert files(folder) == before
    with pytest.raises(LongVPOError, match="holds the result of another recipe"):
        export(str(tmp_path / "triplets"), "llama-factory", folder, videos={"drawn": world, "stories": world})


@pytest.mark.parametrize("inside", [False, True])
def test_a_killed_export_resumes(inside: bool, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in its third film, and again when all is written but the rows are not there."""
    whole = files(exported("ms-swift", tmp_path / "whole", world))
    folder = tmp_path / "ms-swift-0"
    if inside:
        folder.mkdir()
    write, done = Media.write, []

    class Killed(BaseException):
        pass

    def two(self: Media, context: Any) -> Any:
        if len(done) == 2:
            raise Killed
        done.append(context)
        return write(self, context)

    monkeypatch.setattr(Media, "write", two)
    with pytest.raises(Killed):
        exported("ms-swift", tmp_path, world)
    monkeypatch.setattr(Media, "write", write)
    assert len([path for path in tmp_path.rglob("*.mp4") if "whole" not in path.parts]) == 2
    page = module.page

    def killed(*_: Any) -> Any:
        raise Killed

    monkeypatch.setattr(module, "page", killed)
    with pytest.raises(Killed):
        exported("ms-swift", tmp_path, world)
    assert not (folder / "train.jsonl").exists()
    monkeypatch.setattr(module, "page", page)
    monkeypatch.setattr("longvpo.export.media.write_video", None)  # all are there
    assert files(exported("ms-swift", tmp_path, world)) == whole
    assert [path for path in tmp_path.iterdir() if path.name.endswith(".unfinished")] == []


def test_rows_that_no_form_can_say_are_counted(world: Path, tmp_path: Path, capsys: Capture) -> None:
    rows = triplets("stage1", 6, 2)
    rows[0]["prompt"] = "what is a <video>?"
    rows[1]["rejected"] = rows[1]["chosen"]
    rows[2]["context"][0]["video"] = "videos/no.mp4"
    dataset = write_dataset(tmp_path / "triplets", stage1=Dataset.from_list(rows, features=features("stage1")))
    facts = export(str(dataset), "ms-swift", tmp_path / "out", videos={"drawn": world, "stories": world})
    assert facts["rows"] == len(read_rows(tmp_path / "out")) == 3
    assert facts["left_out"] == {
        "chosen equals rejected": 1,
        module.TAGGED: 1,
        module.UNREADABLE: 1,
    }
    assert "no such video: videos/no.mp4" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "export.json").read_text()) == facts


@pytest.mark.parametrize("form", ["ms-swift", "trl"])
def test_a_video_that_is_there_now_is_exported_by_the_same_command(
    form: Any, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    rows = triplets("stage1", 3, 1)
    videos = tmp_path / "mine"
    names = {clip["video"] for row in rows for clip in row["context"]}
    dataset = write_dataset(tmp_path / "triplets", stage1=Dataset.from_list(rows, features=features("stage1")))
    missing = rows[0]["context"][0]["video"]
    for name in names:
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(world / name, videos / name)
    (videos / missing).unlink()
    folders = {"drawn": videos, "stories": videos}
    first = export(str(dataset), form, tmp_path / "out", videos=folders)
    assert export(str(dataset), form, tmp_path / "out", videos=folders) == first, "nothing has changed"
    shutil.copy2(world / missing, videos / missing)
    capsys.readouterr()
    second = export(str(dataset), form, tmp_path / "out", videos=folders)
    assert (first["rows"], second["rows"], second["left_out"]) == (2, 3, {})
    assert len(read_rows(tmp_path / "out")) == 3
    said = capsys.readouterr().err
    assert "lacks what could not be read" in said
    assert "resumed: " in said
    whole = export(str(dataset), form, tmp_path / "whole", videos=folders)
    assert files(tmp_path / "whole") == files(tmp_path / "out")
    assert whole == second
    (videos / missing).write_bytes((world / rows[1]["context"][0]["video"]).read_bytes())
    with pytest.raises(LongVPOError, match="other input"):
        export(str(dataset), form, tmp_path / "out", videos=folders)


def test_an_interrupted_export_says_what_is_kept(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    exported("ms-swift", tmp_path, world)
    write, done = Media.write, []

    def one(self: Media, context: Any) -> Any:
        if done:
            raise KeyboardInterrupt
        done.append(context)
        return write(self, context)

    monkeypatch.setattr(Media, "write", one)
    named = ["--videos", f"drawn={world}", "--videos", f"stories={world}"]
    command = ["export", tmp_path / "triplets", "--to", "ms-swift", *named, "--output", tmp_path / "out"]
    run(monkeypatch, *command)
    assert f"interrupted: videos in {tmp_path / 'out.unfinished' / 'videos'}" in capsys.readouterr().err
    monkeypatch.setattr(Media, "write", write)
    assert run(monkeypatch, *command) == 0
    assert "resumed: 1 file" in capsys.readouterr().err


def test_pairs_of_others_are_exported_too(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that lies here is not asked for on the Hub: its name would leave this machine."""
    path = write_rows(tmp_path / "pairs.jsonl", rows_of_shape("LongVPO"))
    asked: list[str] = []
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda name, *_, **__: asked.append(name))
    facts = export(str(path), "llama-factory", tmp_path / "out", videos={"mine": world}, fps=2)
    assert (facts["rows"], facts["fps"], facts["media"]["files"]) == (2, 2, 2)
    assert not asked


def test_a_folder_of_videos_that_is_missing_is_one_clear_line(tmp_path: Path) -> None:
    dataset = write_dataset(
        tmp_path / "triplets", stage1=Dataset.from_list(triplets("stage1", 2, 2), features=features("stage1"))
    )
    with pytest.raises(LongVPOError) as error:
        export(str(dataset), "trl", tmp_path / "out")
    assert "no folder is given for the videos of source" in str(error.value)
    assert "give --videos " in str(error.value)
    with pytest.raises(LongVPOError, match="no video can be read, the first: no such video"):
        export(str(dataset), "trl", tmp_path / "out", videos={"drawn": tmp_path, "stories": tmp_path})
    assert not (tmp_path / "out").exists()


def test_the_command(world: Path, tmp_path: Path) -> None:
    dataset = write_dataset(
        tmp_path / "triplets", stage1=Dataset.from_list(triplets("stage1", 2, 2), features=features("stage1"))
    )
    named = ["--videos", f"drawn={world}", "--videos", f"stories={world}"]
    words = ["export", str(dataset), "--to", "verl-grpo", *named, "--output", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["rows"] == 2
    for wrong, said in (
        (["--to", "axolotl"], "--to axolotl: give one of trl, ms-swift, llama-factory or verl-grpo"),
        (["--to", "ms-swift", "--lossless"], "--lossless is for frames"),
        (["--to", "ms-swift", "--videos", "clips"], "write it as NAME=FOLDER"),
    ):
        failed = CliRunner().invoke(app, ["export", str(dataset), *wrong])
        assert said in str(failed.exception)
