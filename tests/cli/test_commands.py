"""The command line as a user meets it: what a mistake says, and that it leaves nothing behind."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Capture, check_mistake, run
from typer.testing import CliRunner

from longvpo.cli.main import app
from longvpo.tiny.world import write_world


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Four clips in a folder that a test may spoil."""
    folder = tmp_path / "clips"
    write_world(folder, clips=4, seed=1, split="test")
    return folder


def spoil_nothing(clips: Path) -> None: ...


@pytest.mark.parametrize(
    ("overrides", "texts"),
    [
        (["data.dataset=/no/where"], ["cannot load /no/where"]),
        (["data.config=stage9"], ["cannot load", "stage9"]),
        (["data.config=clips"], ["holds no triplets"]),
        (["data.videos={}"], ["data.videos.drawn"]),
        (["data.videos.drawn=/no/where"], ["no such video", "Set data.videos.drawn"]),
        (["training.learning_rat=1"], ["does not know training.learning_rat (did you mean learning_rate?)"]),
        (["training.output_dir=x"], ["training.output_dir is set by longvpo"]),
        (["lora.target_modules=.*vision.*fc1"], ["set vision_cache_gb=0"]),
        (["base.model=/no/where"], ["cannot load /no/where"]),
    ],
)
def test_bad_input_to_train(
    dataset: Path,
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    overrides: list[str],
    texts: list[str],
) -> None:
    arguments = [f"data.dataset={dataset}", f"data.videos.drawn={world}", "training.max_steps=1", *overrides]
    code = run(monkeypatch, "train", "tiny/stage1", *arguments, "--output", tmp_path / "out")
    check_mistake(code, capsys, texts)
    assert list(tmp_path.iterdir()) == []


def test_a_corrupt_video_is_found_before_training(
    dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    copy = tmp_path / "clips"
    shutil.copytree(world, copy)
    (copy / "videos" / "00003.mp4").write_bytes(b"not a video")
    arguments = [f"data.dataset={dataset}", f"data.videos.drawn={copy}"]
    code = run(monkeypatch, "train", "tiny/stage1", *arguments, "--output", tmp_path / "out")
    check_mistake(code, capsys, ["1 of ", "cannot read 00003.mp4"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips"]


def adapter_of_another_base(folder: Path) -> None:
    (folder / "adapter_model.safetensors").touch()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/else"}))


@pytest.mark.parametrize(
    ("make", "overrides", "texts"),
    [
        (adapter_of_another_base, [], ["was trained on someone/else, not on tiny", "choose an adapter of tiny"]),
        (spoil_nothing, [], ["holds no adapter", "adapter_config.json"]),
    ],
)
def test_bad_input_to_evaluate(
    test_world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    make: Callable[[Path], None],
    overrides: list[str],
    texts: list[str],
) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    make(adapter)
    arguments = [f"source.folder={test_world}", "grid.clips=[1]", "grid.questions=1", *overrides]
    output = tmp_path / "out"
    code = run(monkeypatch, "evaluate", "tiny/evaluate", *arguments, "--adapter", adapter, "--output", output)
    check_mistake(code, capsys, texts)
    assert not output.exists()


def test_a_grid_needs_enough_clips(
    test_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    arguments = [f"source.folder={test_world}", "grid.clips=[100]", "multi=null", "--output", tmp_path / "out"]
    code = run(monkeypatch, "evaluate", "tiny/evaluate", *arguments)
    check_mistake(code, capsys, ["60 readable clips", "lower grid.clips"])
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_holds_something_is_left_alone(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    arguments = [f"sources.0.folder={clips}", "stage2=null", "--output", tmp_path / "out"]
    code = run(monkeypatch, "build-dataset", "tiny/dataset", *arguments)
    check_mistake(code, capsys, ["is not empty", "--output"])
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_unknown_recipe_and_usage(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    check_mistake(run(monkeypatch, "build-dataset", "tiny/dataste"), capsys, ["did you mean tiny/dataset?"])
    assert run(monkeypatch, "train") == 2
    assert run(monkeypatch, "recipes", "tiny/stage1") == 0
    assert "tiny/stage1" in capsys.readouterr().out


def test_build_dataset_from_the_command_line(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    # one video of five is missing: it is data, dropped with its name and the reason
    with (clips / "metadata.jsonl").open("a") as table:
        table.write('{"file_name": "videos/gone.mp4", "caption": "a red disc moves up in the fog"}\n')
    arguments = [f"sources.0.folder={clips}", "context.clips=[1, 2]", "stage1.triplets=3", "stage2=null"]
    output = tmp_path / "out"
    monkeypatch.setattr("longvpo.dataset.facts.warnings", lambda stage, found: ["a rule tells"])
    assert run(monkeypatch, "build-dataset", "tiny/dataset", *arguments, "--output", output, "--json") == 0
    printed = capsys.readouterr()
    stage1 = json.loads(printed.out)["stage1"]
    assert printed.err.count("warning: a rule tells\n") == 1
    assert (stage1["triplets"], stage1["clips"], stage1["dropped"]["video"]) == (3, 4, 1)
    from datasets import load_dataset

    dropped = load_dataset(str(output), "dropped", split="train").to_list()
    row = next(row for row in dropped if row["filter"] == "video")
    assert row["id"] == "drawn/videos/gone.mp4"
    assert "no such video" in row["reason"]


def test_ctrl_c_ends_cleanly_and_the_same_command_resumes(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    small = [f"sources.0.folder={world}", "stage1.triplets=60", "context.clips=[2, 4]", "stage2=null"]
    command = ["build-dataset", "tiny/dataset", *small, "--output", tmp_path / "out"]
    started = [sys.executable, "-m", "longvpo", *command]
    with subprocess.Popen(started, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        read = ""
        while "blocks=" not in read:  # the build is under way
            assert process.poll() is None, read
            read += process.stderr.read(1)
        process.send_signal(signal.SIGINT)
        output, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert "Traceback" not in read + error
    assert f"interrupted: answers and finished blocks in {tmp_path}/out/work\n" in error
    assert f"resume:  {shlex.join(['longvpo', *map(str, command)])}\n" in error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["work"]
    blocks = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "work" / "blocks").iterdir()}

    assert run(monkeypatch, *command, "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["stage1"]["triplets"] == 60
    assert re.search(
        rf"resumed: \d+ answers and {len(blocks)} finished blocks are in {tmp_path}/out/work\n", printed.err
    )
    assert {path: path.stat().st_mtime_ns for path in blocks} == blocks, "what was done is kept"
    assert len(blocks) < len(list((tmp_path / "out" / "work" / "blocks").iterdir()))


def test_score_says_what_it_scored_and_what_comes_next(
    dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    overrides = [f"data.dataset={dataset}", f"data.videos.drawn={world}"]
    scored = tmp_path / "scored"
    assert run(monkeypatch, "score", "tiny/stage1", *overrides, "--output", scored, "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["triplets"] == {"stage1": 40}
    assert f"data.dataset={scored} reference_log_probs=dataset" in captured.err
    assert run(monkeypatch, "score", "tiny/stage1", "data.dataset=someone/triplets", *overrides[1:]) == 1
    check_mistake(1, capsys, ["someone/triplets is not a folder", "hf download"])
    assert run(monkeypatch, "score", "tiny/stage1", *overrides, "--output", scored) == 1
    check_mistake(1, capsys, ["is not empty"])


def test_help_says_what_is_taken_where_an_option_is_left_out() -> None:
    shown = {name: CliRunner().invoke(app, [name, "--help"]).output for name in ("push", "merge")}
    help = {name: " ".join(text.split()) for name, text in shown.items()}
    assert "you/the recipe's name" in help["push"]
    assert "a new repository is private" in help["push"]
    assert "ADAPTER-merged" in help["merge"]


def test_a_model_is_merged_beside_the_folder_that_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    asked: list[Path] = []

    def merge(adapter: Path, output: Path) -> dict[str, str]:
        asked.append(output)
        return {"name": "it"}

    monkeypatch.setattr("longvpo.training.merge.merge", merge)
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    for adapter in (".", "../mine", tmp_path / "mine"):
        assert run(monkeypatch, "merge", adapter) == 0
    beside = tmp_path / "mine-merged"
    assert asked == [beside, Path("../mine-merged"), beside]
