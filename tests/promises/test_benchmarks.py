"""Benchmarks that take minutes run, in small: none of them breaks unseen."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from support.commands import Capture
from support.world import ROOT

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
