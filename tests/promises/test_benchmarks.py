"""Benchmarks that take minutes run, in small: none of them breaks unseen."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.commands import Capture
from support.world import ROOT, TWO_SIZES

from longvpo.clips.stored import load_rows
from longvpo.tiny.stories import QUESTIONS, random_story, story_rng, write_stories

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Benchmarks import each other as scripts do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_a_step_on_a_gpu_runs_tiny_on_a_cpu(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    options = ["--tiny", "--frames", "16", "--steps", "1", "--no-nf4", "--sides", "stock", "full", "ours", "kept"]
    monkeypatch.setattr(sys, "argv", ["gpu_step.py", *options])
    runpy.run_path(str(BENCHMARKS / "gpu_step.py"), run_name="__main__")
    first, *lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert first["device"] == "cpu"
    found: dict[str, dict[str, Any]] = {line["side"]: line for line in lines}
    assert list(found) == ["stock", "full", "ours", "kept"]
    assert found["full"]["loss_off"] < 1e-4, "both compute the same"
    assert found["full"]["grad_off"] < 1e-3
    assert found["stock"]["tflop"] > found["full"]["tflop"] > found["ours"]["tflop"] > found["kept"]["tflop"]


@pytest.mark.soak
def test_rows_over_two_processes_of_a_gpu_run_tiny_on_a_cpu() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "ulysses_gpu.py"), "--tiny", "--frames", "16", "--seconds", "300"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    _, *lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["case"] for line in lines] == ["float32", "bf16-nf4"]
    for line in lines:
        assert line["loss_off"] < 1e-6
        assert line["grad_off"] < 1e-5


def test_the_table_of_rows_over_several_processes_is_that_of_its_results() -> None:
    from ulysses import table

    lines = (BENCHMARKS / "results" / "ulysses.jsonl").read_text().splitlines()
    assert table([json.loads(line) for line in lines]) in (BENCHMARKS / "rows.md").read_text()


@TWO_SIZES
def test_a_build_of_many_rows_and_what_is_projected_from_it(soak: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short form takes the costs that were measured when the results were written."""
    import scale
    import scale_build

    monkeypatch.setattr(scale_build, "SECONDS", 10)
    found = scale_build.measure(200 if soak else 40, "local", None)
    assert found["triplets"] == found["rows"]
    assert set(found["cpu_seconds_a_thousand_rows"]) == {"list", "blocks", "contexts", "facts", "files"}
    before = json.loads((BENCHMARKS / "results" / "scale.json").read_text())["costs"]
    measured = scale.read_costs() | (scale.measure() if soak else {})
    assert set(measured) <= set(before)
    costs = {name: value for name, (value, _) in (before | measured).items()}
    assert all(value > 0 for value in costs.values()), costs
    said = scale.parser().parse_args([])
    one, eight, more = (scale.project(rows, gpus, costs, said) for rows, gpus in ((1000, 1), (1000, 8), (10_000, 1)))
    assert one["hours"]["train"] == pytest.approx(8 * eight["hours"]["train"], rel=0.01)
    assert more["hours"]["train"] == pytest.approx(10 * one["hours"]["train"], rel=0.01)
    assert more["memory_gb"] > one["memory_gb"]
    assert scale.changes([scale.project(10**8, 1, costs, said)], said)


def test_a_step_against_stock_trl(tmp_path: Path) -> None:
    import dpo_step

    stock, full = (dpo_step.Side(name, 8, str(tmp_path)) for name in ("stock", "full"))
    assert full.step() == pytest.approx(stock.step(), rel=1e-5)
    assert full.flops() < stock.flops()


def test_what_jpeg_costs(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    for path in sorted((world / "videos").glob("*.mp4"))[:4]:
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.setattr(sys, "argv", ["jpeg.py", str(tmp_path), "--json"])
    runpy.run_path(str(BENCHMARKS / "jpeg.py"), run_name="__main__")
    assert json.loads(capsys.readouterr().out)["rows"] == 2


def test_what_decoding_in_children_costs(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "argv", ["children.py", "--small", "--json"])
    runpy.run_path(str(BENCHMARKS / "children.py"), run_name="__main__")
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["drawn, threads 1"]["files"] == 20
    assert found["drawn, threads 1"]["throughput"] > 0


def test_the_miniature_study_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import miniature
    import miniature_work
    from miniature_arms import SIZES
    from miniature_table import read_lines, table

    begun = []

    def note(name: str) -> None:
        real = getattr(miniature_work, name)

        def noted(*given: Any) -> Any:
            begun.append(name)
            if begun == ["train", "evaluate"]:
                raise KeyboardInterrupt
            return real(*given)

        monkeypatch.setattr(miniature_work, name, noted)

    for name in ("train", "evaluate"):
        note(name)
    with pytest.raises(KeyboardInterrupt):
        miniature.run(tmp_path, SIZES["smoke"], [0], [], processes=1)
    weights = tmp_path / "0/adapters/stage1/adapter_model.safetensors"
    before = weights.stat().st_mtime_ns
    for _ in range(2):
        assert miniature.run(tmp_path, SIZES["smoke"], [0], [], processes=1)
    assert begun == ["train", "evaluate", "train", "evaluate"], "what is kept is not made again"
    assert weights.stat().st_mtime_ns == before, "nor what was trained before the kill"

    kept = read_lines(path.read_text() for path in (tmp_path / "kept").iterdir())
    assert sorted(kept) == ["base", "stage1"]
    assert kept["stage1"][0]["cpu_seconds"] > 0
    assert table(kept).count("not run") < table({}).count("not run")
    with pytest.raises(SystemExit, match="another size"):
        miniature.run(tmp_path, SIZES["study"], [0], [])


def test_the_studys_anchors_are_put_first(dataset: Path, tmp_path: Path) -> None:
    from miniature_work import put_anchor_first

    put_anchor_first(dataset, tmp_path)
    rows, moved = (load_rows(str(folder), "stage1", "train", None).to_list() for folder in (dataset, tmp_path))
    for row, other in zip(rows, moved, strict=True):
        anchor = row["anchors"][0]
        assert other["anchors"] == [0]
        for name in ("context", "similarity", "specificity"):
            assert other[name] == [row[name][anchor], *row[name][:anchor], *row[name][anchor + 1 :]]
        same = set(row) - {"anchors", "context", "similarity", "specificity"}
        assert {name: row[name] for name in same} == {name: other[name] for name in same}


def test_the_studys_order_questions_are_right(tmp_path: Path) -> None:
    from miniature_work import ask_order

    write_stories(tmp_path / "drawn", [2, 6], seed=3, split="test")
    ask_order(tmp_path / "drawn", tmp_path / "asked")
    lines = [json.loads(line) for line in (tmp_path / "asked/metadata.jsonl").read_text().splitlines()]
    assert len(lines) == 2 + QUESTIONS
    for line in lines:
        story = random_story(line["scenes"], story_rng(3, "test", int(Path(line["file_name"]).stem)), "test")
        named = [thing.shape for thing in story if f"the {thing.shape}" in line["question"]]
        assert (len(named), named[0]) == (2, line["answer"])
        assert (tmp_path / "asked" / line["file_name"]).is_file()


def test_the_studys_table_is_of_its_results() -> None:
    """It is written by `--table`, never by hand."""
    from miniature_table import BEGIN, END, KEPT, PAGE, read_kept, table

    page = PAGE.read_text()
    assert page.partition(BEGIN)[2].partition(END)[0] == table(read_kept(KEPT))


def test_a_difference_is_bold_only_beyond_chance() -> None:
    from miniature_table import difference

    def runs(*shares: float) -> list[dict[str, Any]]:
        return [{"seed": n, "needle": {"32": share}, "questions": {"32": 100}} for n, share in enumerate(shares)]

    assert difference(runs(90, 92), runs(40, 41), "needle") == "**+50 (+50 to +51)**"
    assert difference(runs(50, 52), runs(48, 51), "needle") == "+2 (+1 to +2)", "within two standard errors"
    assert difference(runs(90, 30), runs(40, 41), "needle") == "+20 (-11 to +50)", "of two signs"
    assert difference(runs(90), [], "needle") == "not run"
