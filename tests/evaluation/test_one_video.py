"""One video, one question: a base beside its adapters, by the command line too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.commands import Capture, check_mistake, run
from support.world import GOLDEN, TINY

from longvpo.errors import LongVPOError
from longvpo.evaluation.benchmark_recipe import read_as_trained
from longvpo.evaluation.one_video import ask
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.models.local import LocalWriter
from longvpo.models.writer import Request
from longvpo.recipe.sections import WriterSection
from longvpo.video.frames import read_frames

QUESTION = "what color is the ring?"


@pytest.fixture(scope="module")
def stage1(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that answers otherwise than its base: its weights are random."""
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("strong") / "stage1"))
    draw = torch.Generator().manual_seed(0)
    before = load_file(folder / ADAPTER_WEIGHTS)
    weights = {name: torch.randn(value.shape, generator=draw) for name, value in before.items()}
    save_file(weights, folder / ADAPTER_WEIGHTS, {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def clip(world: Path) -> Path:
    return world / "videos" / "00000.mp4"


def test_base_and_adapter_answer_as_they_do_alone(stage1: Path, clip: Path, capsys: Capture) -> None:
    pieces: dict[str, str] = {}
    told = ask(clip, QUESTION, [stage1], hear=lambda name, piece: pieces.update({name: pieces.get(name, "") + piece}))
    times = [0.5, 1.5, 2.5, 3.5]
    assert (told["video"], told["question"], told["frames"]) == ("00000.mp4", QUESTION, times)
    assert "frames:  4, at 0.5, 1.5, 2.5, 3.5 s" in capsys.readouterr().err
    assert told["answers"] == pieces
    frames = read_frames(clip, np.array(times), 96)
    request = Request(QUESTION, times=tuple(times), seconds=4.0, frames=lambda: frames)
    for name, adapter in (("base", None), ("stage1", str(stage1))):
        section = WriterSection(**TINY.model_dump() | {"quantization": "nf4"}, adapter=adapter)
        LocalWriter(section).write([[request]], lambda _, answers, name=name: pieces.update({name: answers[0].text}))
    assert told["answers"] == pieces
    assert pieces["base"] != pieces["stage1"], "the adapter was off for one of them"


def test_base_and_frames_are_those_of_the_adapters_training(stage1: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(stage1, tmp_path / "other"))
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("frame_budget: null", "frame_budget: 2"))
    found = read_as_trained(str(folder), None, "", ["video.fps=2"])
    assert (found.base.model, found.base.quantization) == ("tiny", "nf4")
    assert (found.video.max_frames, found.video.fps, found.video.short_side) == (2, 2, 96)
    assert read_as_trained(str(folder), None, "tiny/stage1", []).video.max_frames == 64, "another is named"
    recipe.unlink()  # of another trainer: its base is known all the same
    assert read_as_trained(str(folder), None, "", []).base.model == "tiny"


def test_a_span_and_many_frames(stories: Path, capsys: Capture) -> None:
    film = sorted((stories / "videos").iterdir())[0]
    told = ask(film, QUESTION, base="tiny", start=2, end=14, max_new_tokens=1)
    assert "frames:  12, one every 1 s from 2.5 to 13.5 s" in capsys.readouterr().err
    assert told["frames"] == [2.5 + second for second in range(12)]
    assert (told["base"].split("@")[0], told["cut"]) == ("tiny", ["base"])


def test_the_command(stage1: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    command = ["ask", clip, QUESTION, "--base", "tiny", "--adapter", stage1]
    assert run(monkeypatch, *command, "--json") == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert run(monkeypatch, *command) == 0
    assert capsys.readouterr().out == f"base: {answers['base']}\nstage1: {answers['stage1']}\n"


def test_mistakes_are_one_line(
    clip: Path, stage1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for arguments, said in (
        ([clip, QUESTION], "no base is named: give --base MODEL, --adapter FOLDER_OR_ID, or --recipe RECIPE"),
        ([clip, " ", "--base", "tiny"], "the question is empty"),
        ([tmp_path / "none.mp4", QUESTION, "--base", "tiny"], "no such video"),
        ([clip, QUESTION, "--base", "tiny", "--start", "9"], "00000.mp4 has no span from 9 to 4 s"),
        (
            [clip, QUESTION, "--base", "tiny", "--end", "99"],
            "the end, 99 s, is after that of 00000.mp4, which lasts 4",
        ),
        (
            [clip, QUESTION, "--adapter", GOLDEN / "dataset"],
            "dataset is not an adapter: it has no adapter_config.json",
        ),
        (
            [clip, QUESTION, "--adapter", stage1, "--base", "someone/other"],
            "was trained on tiny, not on",
        ),
    ):
        check_mistake(run(monkeypatch, "ask", *arguments), capsys, [said])
    with pytest.raises(LongVPOError, match="two adapters go by the name of stage1"):
        ask(clip, QUESTION, [stage1, stage1])
