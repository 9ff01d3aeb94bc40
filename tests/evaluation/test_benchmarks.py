"""`longvpo evaluate --benchmarks`: whole commands, which a shell and lmms-eval read as they are meant."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from support.commands import Capture, check_mistake, run
from support.world import ROOT

from longvpo.evaluation.benchmark_recipe import read_benchmark_recipe

SIX = "lvbench,longvideobench_val_v,mlvu_dev,videomme,videomme_w_subtitle,mvbench"


def options_of(line: str) -> dict[str, str]:
    """The options of a command of lmms-eval, as a shell hands them over."""
    program, *words = shlex.split(line)
    assert [program, *words[:2]] == ["python", "-m", "lmms_eval"]
    assert "--log_samples" in words
    words.remove("--log_samples")
    return dict(zip(words[2::2], words[3::2], strict=True))


def test_the_commands_are_complete_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here" / "stage 1").mkdir(parents=True)
    adapters = ["--adapter", "here/stage 1", "--adapter", "alice/stage2@v0.1.0"]
    code = run(monkeypatch, "evaluate", "internvl3-8b/stage1", "--benchmarks", "all", *adapters)
    printed = capsys.readouterr()
    assert code == 0, printed.err
    first, second, *lines, last = printed.out.splitlines()
    assert first == "pip install lmms-eval==0.7.3 'filelock<4'"
    assert shlex.split(second) == ["pip", "install", str(ROOT)]
    results = "internvl3-8b-stage1-benchmarks"
    assert shlex.split(last) == ["longvpo", "push", "here/stage 1", "--results", results], (
        "what is on the Hub is there"
    )
    recipe, journal = "recipe=internvl3-8b/stage1", "journal=internvl3-8b-stage1-benchmarks/journal"
    hub = "alice/stage2@v0.1.0"
    wanted = {"base": "", "stage 1": "adapter=here/stage 1,", hub: "adapter=alice/stage2,adapter_revision=v0.1.0,"}
    assert [options_of(line) for line in lines] == [
        {
            "--model": "longvpo",
            "--model_args": f"{recipe},{said}{journal}",
            "--batch_size": "1",
            "--tasks": SIX,
            "--timezone": "UTC",
            "--output_path": f"internvl3-8b-stage1-benchmarks/{name}",
        }
        for name, said in wanted.items()
    ]
    assert list(tmp_path.iterdir()) == [tmp_path / "here"]


def test_values_of_base_and_frames_are_passed_on(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    said = ["base.dtype=bfloat16", "video.max_frames=512", "source.folder=clips", "--output", "found", "--json"]
    assert run(monkeypatch, "evaluate", "tiny", "--benchmarks", "mvbench, lvbench", *said) == 0
    _, (line,), _ = json.loads(capsys.readouterr().out).values()
    found = options_of(line)
    assert found["--model_args"] == "recipe=tiny,base.dtype=bfloat16,video.max_frames=512,journal=found/journal"
    assert (found["--tasks"], found["--batch_size"], found["--output_path"]) == ("mvbench,lvbench", "20", "found/base")


def test_a_budget_for_contexts_is_one_for_videos(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert run(monkeypatch, "evaluate", "internvl3-8b/stage1", "frame_budget=256", "--benchmarks", "mvbench") == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert ",video.max_frames=256,journal=" in options_of(line)["--model_args"]


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        (["base={model: OpenGVLab/InternVL3-2B-hf}"], {"base.model=OpenGVLab/InternVL3-2B-hf", "base.dtype=bfloat16"}),
        (["video={fps: 2, max_frames: 32}"], {"video.fps=2.0", "video.max_frames=32"}),
        (["video={fps: 2}"], {"video.fps=2.0"}),
        (["frame_budget=null"], {"video.max_frames=64"}),
        (["base.quantization=null"], {"base.quantization=null"}),
        (["base.attention={language: eager}"], {"base.attention.language=eager"}),
        (["license=mit", "training.seed=3"], set()),
    ],
)
def test_however_a_value_is_said_it_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, said: list[str], passed: set[str]
) -> None:
    recipe = "internvl3-8b/stage1"
    assert run(monkeypatch, "evaluate", recipe, *said, "--benchmarks", "mvbench") == 0
    found = options_of(capsys.readouterr().out.splitlines()[-1])["--model_args"].split(",")[1:-1]
    assert passed <= set(found)
    assert bool(found) == bool(passed)
    asked, plain = read_benchmark_recipe(recipe, found), read_benchmark_recipe(recipe, [])
    assert ((asked.base, asked.video) == (plain.base, plain.video)) == (not passed)
    assert asked.video.max_frames == (
        128 if said in (["video={fps: 2}"], ["base.quantization=null"]) else asked.video.max_frames
    )


def test_another_batch_size_is_passed_on(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert run(monkeypatch, "evaluate", "internvl3-8b/evaluate", "batch_size=4", "--benchmarks", "mvbench") == 0
    assert options_of(capsys.readouterr().out.splitlines()[-1])["--batch_size"] == "4"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--benchmarks", "lvbench,mlvu"],
            "no benchmark mlvu (did you mean mlvu_dev?): give all, or some of lvbench,",
        ),
        (["--benchmarks", "all", "--adapter", "a,b"], "lmms-eval cuts its model arguments at commas and quotes, and"),
        (["--benchmarks", "all", "--adapter", "2024"], "lmms-eval reads adapter=2024 as a number: give that folder"),
        (["--benchmarks", "all", "--adapter", "a/b@1.10"], "lmms-eval reads adapter_revision=1.10 as a number"),
        (
            ["--benchmarks", "all", "base.revision=12e4567"],
            "lmms-eval reads base.revision=12e4567 as a number: write it",
        ),
        (["--benchmarks", "all", "--adapter", "base"], "an adapter cannot go by the name of base: rename its folder"),
        (["--benchmarks", "all", "--adapter", "./nosuch"], "no such folder: ./nosuch"),
        (["--benchmarks", " ,"], "--benchmarks names none: give all, or some of lvbench,"),
        (["--benchmarks", ""], "--benchmarks names none: give all, or some of lvbench,"),
        (["--benchmarks", "all", "vido.fps=2"], "unknown key vido (did you mean video?)"),
        (["--benchmarks", "all", "video.fpss=2"], "unknown key video.fpss (did you mean fps?)"),
    ],
)
def test_a_mistake_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: list[str], says: str
) -> None:
    code = run(monkeypatch, "evaluate", "tiny", *arguments)
    check_mistake(code, capsys, [says])
