"""What a run says of itself: figures in the log that are right and change nothing, curves of them, Trackio."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.trainers import make_trainer
from trl import DPOTrainer

from longvpo.errors import LongVPOError
from longvpo.recipe.file import load_recipe
from longvpo.recipe.training import TrainRecipe
from longvpo.release.figures import CURVES, curves
from longvpo.training.arguments import training_arguments
from longvpo.training.run import train
from longvpo.training.step import watching
from longvpo.training.step.watching import WatchedDPOTrainer, peak_memory


@pytest.fixture(scope="module")
def batch(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Three triplets with contexts and answers of several lengths."""
    chosen = [
        next(row for row in rows if len(row["context"]) == length) | {"reference": "anchor"} for length in (8, 2, 4)
    ]
    chosen[1]["rejected"] = "in the sea and in the fog"
    return chosen


@pytest.mark.parametrize("packed", [True, False])
def test_tokens_are_those_that_the_policy_computes(
    packed: bool, batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    trainer = make_trainer("internvl", batch, world, tmp_path)
    trainer.packed = packed
    computed = []

    def count(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if torch.is_grad_enabled():  # not the reference
            computed.append(kwargs["input_ids"].numel() if packed else int(kwargs["attention_mask"].sum()))

    trainer.model.get_base_model().base_model.register_forward_pre_hook(count, with_kwargs=True)
    trainer.model.train()
    for _ in range(2):
        trainer.compute_loss(trainer.model, trainer.data_collator(batch))
    assert len(computed) == 2
    assert int(trainer._tokens) == sum(computed)
    trainer.model.eval()
    with torch.no_grad():
        trainer.compute_loss(trainer.model, trainer.data_collator(batch))
    assert int(trainer._tokens) == sum(computed), "evaluation is not training"


def test_reference_margins_are_the_references_preference(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    trainer = make_trainer("internvl", batch, world, tmp_path)
    trainer.model.train()
    made = trainer.data_collator(batch)
    trainer.compute_loss(trainer.model, made)
    chosen, rejected = trainer.compute_ref_log_probs(trainer.model, trainer.with_features(made["reference"]))
    metrics = trainer._metrics["train"]["reference/margins"]
    assert metrics == [pytest.approx((chosen - rejected).mean().item(), rel=1e-6)]
    assert abs(metrics[0]) > 1e-3
    scored = {"ref_chosen_logps": torch.tensor([-1.0, -2.0, -3.0]), "ref_rejected_logps": torch.tensor([-4.0] * 3)}
    trainer.compute_loss(trainer.model, made | scored)
    assert metrics[1] == 2.0, "of log-probabilities that the batch brings"


def test_an_entry_counts_since_the_one_before(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer("internvl", batch, world, tmp_path)
    trainer.model.train()
    now = 1000.0
    monkeypatch.setattr(watching.time, "time", lambda: now)
    trainer._tokens = torch.tensor(500)
    trainer.log({"loss": 1.0}, start_time=995.0)
    now = 1002.0
    trainer._tokens = torch.tensor(300)
    trainer.log({"loss": 1.0}, start_time=995.0)
    trainer.log({"train_runtime": 7.0})
    entries = trainer.state.log_history
    assert [entry.get("tokens_per_second") for entry in entries] == [100.0, 150.0, None]
    assert entries[0]["memory_gb"] == pytest.approx(peak_memory(), rel=0.05)
    assert 0.2 < entries[0]["memory_gb"] < 20
    assert "memory_gb" not in entries[2]


# --- runs


def run(dataset: Path, world: Path, output: Path, *section: str) -> Path:
    overrides = [f"data.dataset={dataset}", f"data.videos.drawn={world}", "training.per_device_train_batch_size=2"]
    train(load_recipe(TrainRecipe, "tiny/stage1", [*overrides, *(f"training.{item}" for item in section)]), output)
    return output


@pytest.fixture(scope="module")
def watched(dataset: Path, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps that logs each."""
    return run(dataset, world, tmp_path_factory.mktemp("watched") / "adapter", "max_steps=3", "logging_steps=1")


def history(adapter: Path) -> list[dict[str, float]]:
    return json.loads((adapter / "trainer_state.json").read_text())["log_history"]


def test_every_entry_of_a_run_has_the_figures(watched: Path) -> None:
    entries = [entry for entry in history(watched) if "loss" in entry]
    assert len(entries) == 3
    assert all(set(CURVES) <= entry.keys() for entry in entries)
    assert all(entry["tokens_per_second"] > 0 for entry in entries)
    assert all("rewards/margins" in entry for entry in entries), "TRL's stay"


def test_curves_are_drawn_from_the_trainers_state(watched: Path, tmp_path: Path) -> None:
    drawn = (watched / "curves.png").read_bytes()
    assert "![What was logged at each step](curves.png)" in (watched / "README.md").read_text()
    entries = history(watched)
    assert curves(tmp_path / "again.png", entries)
    assert (tmp_path / "again.png").read_bytes() == drawn
    for name in CURVES:
        entries[1][name] += 0.1
        curves(tmp_path / "other.png", entries)
        assert (tmp_path / "other.png").read_bytes() != drawn, name
        entries[1][name] -= 0.1


def test_watching_changes_nothing_and_one_entry_is_enough_for_curves(
    dataset: Path, world: Path, watched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WatchedDPOTrainer, "watch", lambda *args: None)
    monkeypatch.setattr(WatchedDPOTrainer, "log", DPOTrainer.log)
    alone = run(dataset, world, tmp_path / "adapter", "max_steps=3", "logging_steps=3")
    weights = [load_file(folder / "adapter_model.safetensors") for folder in (watched, alone)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert len([entry for entry in history(alone) if "loss" in entry]) == 1
    assert (alone / "curves.png").stat().st_size > 1000


def test_a_run_that_logs_nothing_has_no_curves(dataset: Path, world: Path, tmp_path: Path) -> None:
    short = run(dataset, world, tmp_path / "adapter", "max_steps=1")
    assert not (short / "curves.png").exists()
    assert "curves.png" not in (short / "README.md").read_text()


# --- trackers


@pytest.mark.parametrize(
    ("name", "message"),
    [("trackio", "requires trackio to be installed. Run `pip install trackio`"), ("diary", "diary is not supported")],
)
def test_a_tracker_that_is_not_there(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.integrations.integration_utils.is_trackio_available", lambda: False)
    with pytest.raises(LongVPOError, match=message):
        training_arguments({"report_to": name}, Path("unused"))


LOCAL = """
import socket, sys
connect = socket.socket.connect

def local(self, address):
    assert self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "localhost"), address
    return connect(self, address)

socket.socket.connect = local
from longvpo.cli.main import main
main()
"""


def test_trackio_keeps_a_run_in_a_local_folder(dataset: Path, world: Path, tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    section = ("max_steps=2", "logging_steps=1", "report_to=trackio")
    arguments = [f"data.dataset={dataset}", f"data.videos.drawn={world}", *(f"training.{item}" for item in section)]
    done = subprocess.run(
        [sys.executable, "-c", LOCAL, "train", "tiny/stage1", *arguments, "--json", "--output", tmp_path / "first"],
        capture_output=True,
        text=True,
        env=os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio")},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 2, "what Trackio prints is not a result"
    with sqlite3.connect(tmp_path / "trackio" / "longvpo.db") as database:
        kept = database.execute("select run_name, metrics from metrics order by id").fetchall()
    logged = [json.loads(metrics) for name, metrics in kept if name == "first"]
    expected = [entry["loss"] for entry in history(tmp_path / "first") if "loss" in entry]
    assert [entry["train/loss"] for entry in logged if "train/loss" in entry] == expected
    assert all({"train/reference/margins", "train/memory_gb"} <= entry.keys() for entry in logged[:2])
