"""A page as files: nothing of this machine in it, made once, resumed after a kill, and of datasets of the Hub too."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.commands import Capture, check_mistake, run
from support.hostile import hostile_dataset, value_of
from support.hub.looks import ALICE
from support.hub.pushes import Pushes
from support.world import GOLDEN

from longvpo.clips.stored import load_rows
from longvpo.errors import LongVPOError
from longvpo.viewer import sprites
from longvpo.viewer.run import PAGE, view


@pytest.fixture(scope="module")
def page(dataset: Path, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a built dataset, with pictures of ten rows."""
    folder = tmp_path_factory.mktemp("viewed") / "page"
    made = view(str(dataset), folder, {"drawn": world}, rows=10)
    assert made["triplets"] == 40
    assert 10 <= made["pictured"] < 40
    assert made["page"] == str(folder / "index.html")
    return folder


def part(page: Path, name: str) -> Any:
    return value_of((page / "data" / f"{name}.js").read_text(encoding="utf-8"))[1]


def test_rows_and_clips_are_those_of_the_dataset(page: Path, dataset: Path, rows: list[dict[str, Any]]) -> None:
    index, items = part(page, "triplets"), part(page, "triplets-0000")
    clips = part(page, "clips-0000")
    assert index["id"] == [row["id"] for row in rows]
    for row, item in zip(rows, items, strict=True):
        for name in ("context", "rejected_clips"):
            shown = [(clips[n]["video"], clips[n]["start"], clips[n]["end"]) for n in item[name]]
            assert shown == [(clip["video"], clip["start"], clip["end"]) for clip in row[name]]
        assert (item["chosen"], item["rejected"], item["anchors"]) == (row["chosen"], row["rejected"], row["anchors"])
        assert item["similarity"] == pytest.approx(row["similarity"], abs=1e-4)
    assert all(clip["caption"] for clip in clips)
    strips = {clip["strip"][0] for clip in clips if "strip" in clip}
    assert {path.relative_to(page / "frames").with_suffix("").as_posix() for path in page.rglob("*.jpg")} == strips
    assert part(page, "about")["counts"]["clips"] == len(strips)
    assert part(page, "dropped")["id"], "what the filters refused"
    assert part(page, "numbers")["stage1"]["shortcuts"]


def test_nothing_of_this_machine_is_in_it(page: Path, dataset: Path, world: Path) -> None:
    for path in page.rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            for private in (dataset, world, dataset.parent, Path.home()):
                assert str(private).encode() not in text, path


def test_it_is_a_static_space(page: Path) -> None:
    front = yaml.safe_load((page / "README.md").read_text().split("---\n")[1])
    assert (front["sdk"], front["app_file"]) == ("static", "index.html")
    assert (page / front["app_file"]).is_file()
    assert not any((page / name).exists() for name in ("work", "lock", "key.json"))


def test_the_page_asks_no_network_and_makes_no_html_of_texts() -> None:
    text = "\n".join(path.read_text() for path in sorted(PAGE.iterdir()))
    assert (
        re.findall(
            r"https?:|\bfetch\(|XMLHttp|import\(|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text
        )
        == []
    )
    assert "default-src 'none'" in text
    assert all(len(path.read_text().splitlines()) <= 300 for path in PAGE.iterdir())


def test_the_same_command_again_does_nothing_and_another_is_refused(
    page: Path, dataset: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    before = {path: path.stat().st_mtime_ns for path in page.rglob("*")}
    again = ["view", dataset, "--output", page, "--videos", f"drawn={world}", "--rows"]
    assert run(monkeypatch, *again, 10) == 0
    assert "finished already" in capsys.readouterr().err
    check_mistake(run(monkeypatch, *again, 11), capsys, ["holds the result", "give another --output"])
    assert {path: path.stat().st_mtime_ns for path in page.rglob("*")} == before


def test_the_right_folder_after_a_wrong_one_makes_the_pictures(
    dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "wrong").mkdir()
    page = tmp_path / "page"
    command = ["view", dataset, "--output", page, "--rows", 1, "--videos"]
    for folder, pictures in ((tmp_path / "wrong", False), (world, True)):
        assert run(monkeypatch, *command, f"drawn={folder}") == 0
        assert bool(list(page.rglob("*.jpg"))) == pictures
    assert "lacks what could not be read" in capsys.readouterr().err
    assert run(monkeypatch, *command, f"drawn={world}") == 0
    assert "finished already" in capsys.readouterr().err
    assert not (page / "work").exists()
    check_mistake(run(monkeypatch, *command, f"drawn={tmp_path / 'wrong'}"), capsys, ["holds the result"])
    assert list(page.rglob("*.jpg"))


def test_a_config_whose_files_are_gone(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "mine"))
    for shard in (copy / "stage1").iterdir():
        shard.unlink()
    code = run(monkeypatch, "view", copy)
    check_mistake(code, capsys, [f"cannot load {copy}: stage1/train-00000", "is named by its card and is not there"])
    with pytest.raises(LongVPOError, match="is named by its card and is not there"):
        load_rows(str(copy), "stage1", "train", None)


def test_a_killed_run_is_resumed(
    dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "mine"))
    made, small = [], sprites._small

    def kill(frame: Any) -> Any:
        if len(made) == 20:
            raise KeyboardInterrupt
        made.append(frame)
        return small(frame)

    monkeypatch.setattr(sprites, "_small", kill)
    monkeypatch.setattr(sprites, "AT_ONCE", 1)
    command = ["view", copy, "--videos", f"drawn={world}"]
    with pytest.raises(KeyboardInterrupt):
        view(str(copy), tmp_path / "mine-view", {"drawn": world})
    assert not (tmp_path / "mine-view").exists()
    whole = list((tmp_path / "mine-view.unfinished").rglob("*.jpg"))
    assert len(whole) == 5  # of four frames each
    times = {path.name: path.stat().st_mtime_ns for path in whole}
    monkeypatch.setattr(sprites, "_small", small)
    assert run(monkeypatch, *command) == 0
    said = capsys.readouterr().err
    assert "resumed: pictures of 5 clips are there" in said
    assert f"open:    {tmp_path / 'mine-view' / 'index.html'}" in said
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "mine-view").rglob("*.jpg")}
    assert times.items() <= kept.items()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "mine-view"]


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--videos", "drawm=."], ["no clip is of a source of that name (did you mean drawn?)"]),
        (["--videos", "drawn=/no/where"], ["there is no folder /no/where"]),
        (["--videos", "drawn"], ["give it as SOURCE=FOLDER"]),
    ],
)
def test_mistakes(
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    options: list[str],
    texts: list[str],
) -> None:
    code = run(monkeypatch, "view", dataset, "--output", tmp_path / "out", *options)
    check_mistake(code, capsys, texts)
    assert list(tmp_path.iterdir()) == []


def test_frames_that_nobody_may_publish_are_warned_of(
    dataset: Path, world: Path, tmp_path: Path, capsys: Capture
) -> None:
    hostile = hostile_dataset(tmp_path / "hostile", dataset, rows=20)
    view(str(hostile), tmp_path / "page", {"drawn": world}, rows=1)
    assert "nobody said that frames of source drawn may be published" in capsys.readouterr().err
    assert part(tmp_path / "page", "dropped")["score"] == [1.0, None, None]
    view(str(hostile), tmp_path / "none")
    assert "no pictures of source drawn" in capsys.readouterr().err
    assert part(tmp_path / "none", "about")["closed"] == []


def test_results_and_datasets_of_the_hub(pushes: Pushes, dataset: Path, tmp_path: Path) -> None:
    name, folder = "alice/looked-at", shutil.copytree(dataset, tmp_path / "dataset")
    assert pushes.run("push", folder, "--repo-id", name, token=ALICE + "view")[0] == 0
    code, said = pushes.run("view", f"{name}@v0.1.0", "--output", tmp_path / "page", token=ALICE + "view")
    assert code == 0, said
    assert part(tmp_path / "page", "about")["counts"]["triplets"] == 40
    code, said = pushes.run("view", "alice/nothing-there", token=ALICE + "view")
    assert code == 1
    assert "the Hub has no dataset of longvpo and no adapter with results of that name there" in said


def test_results_are_a_page_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "view", GOLDEN / "adapter", "--output", tmp_path / "page") == 0
    about = part(tmp_path / "page", "about")
    assert about["kind"] == "results"
    assert part(tmp_path / "page", "results")["quoted"]
    assert part(tmp_path / "page", "answers")["text"]
