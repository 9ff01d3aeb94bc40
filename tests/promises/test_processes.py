"""Several processes give what one gives; a run that is killed gives what one that was not gives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.forked import Forge
from support.trainings import check_equal, command, facts_of, launched, logged
from support.triplets import add_validation, rows_of
from support.world import TESTS

from longvpo.recipe.builtin import find_recipe


def launch_two(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Two processes on the CPU, by the config for DDP."""
    config = find_recipe("accelerate/ddp")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*launcher, "--main_process_port", "0", "-m", "longvpo", *arguments],
        capture_output=True,
        text=True,
        env=environment,
    )


EACH = ("per_device_train_batch_size=1", "num_train_epochs=2", "dataloader_drop_last=true")


def test_two_processes_of_accelerate_launch_train_the_adapter_that_one_trains(
    data: Path, world: Path, one: Path, tmp_path: Path
) -> None:
    output = tmp_path / "two"
    done = launch_two(*command(data, world, output, *EACH), "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)  # only the first process prints
    assert facts == facts_of(output)
    assert (facts["processes"], facts["triplets_a_step"], facts["steps"]) == (2, 2, 10)
    assert done.stderr.count("adapter: ") == 1
    check_equal(one, output)
    card = (output / "README.md").read_text()
    assert "| batch | 2 triplets per step: 1 per device, 1 accumulation steps, 2 processes |" in card
    assert [path.name for path in tmp_path.iterdir()] == ["two"], "checkpoints and unfinished folders are gone"


@pytest.mark.soak
@pytest.mark.parametrize("name", ["fsdp", "deepspeed_zero2"])
def test_the_configs_train_the_adapter_that_one_process_trains(
    name: str, data: Path, world: Path, one: Path, forged: Forge, tmp_path: Path
) -> None:
    """DDP's is in the test above."""
    if name == "deepspeed_zero2":
        pytest.importorskip("deepspeed")
    output = tmp_path / "two"
    made = forged(
        command(data, world, output, *EACH, "use_cpu=false"),
        tmp_path / "log",
        processes=2,
        environment=launched(find_recipe(f"accelerate/{name}")) | {"DS_ACCELERATOR": "cpu"},
        patch=str(TESTS / "support/patches/as_gpus.py"),
    )
    assert made["codes"] == [0, 0], (tmp_path / "log.0.err").read_text()
    assert facts_of(output)["processes"] == 2
    check_equal(one, output)


def test_two_processes_score_the_reference_beforehand(
    data: Path, world: Path, one: Path, forged: Forge, tmp_path: Path
) -> None:
    """On two machines that share no folder: in the end each has kept all."""
    arguments = [*command(data, world, tmp_path / "two", *EACH), "reference_log_probs=precomputed"]
    patch, caches = str(TESTS / "support/patches/own_cache.py"), tmp_path / "caches"
    made = forged(arguments, tmp_path / "log", processes=2, patch=patch, environment={"CACHES": str(caches)})
    assert made["codes"] == [0, 0], (tmp_path / "log.0.err").read_text()
    check_equal(one, tmp_path / "two")
    kept = [sorted((caches / rank).glob("**/reference/**/*.jsonl"))[0].read_text().splitlines() for rank in "01"]
    assert len(kept[0]) == 11
    assert sorted(kept[0]) == sorted(kept[1])


@pytest.mark.soak
def test_triplets_that_two_processes_cannot_share_evenly(
    data: Path, world: Path, forged: Forge, tmp_path: Path
) -> None:
    """The last of eleven: one process takes a step with only it, two add one from the epoch's start.

    Only the first looks at the videos and counts tokens.
    """
    patch = str(TESTS / "support/patches/first_looks.py")
    shutil.copytree(data, tmp_path / "data")
    add_validation(tmp_path / "data", rows_of("stage1", 3, 4))
    losses, evaluated = {}, {}
    for processes in (1, 2):
        output = tmp_path / str(processes)
        section = [f"per_device_train_batch_size={2 // processes}", "num_train_epochs=1", "eval_strategy=steps"]
        section += ["eval_steps=5", "per_device_eval_batch_size=1"]
        asked = [*command(tmp_path / "data", world, output, *section), "data.eval=validation"]
        made = forged(asked, tmp_path / "log", processes=processes, patch=patch)
        assert made["codes"] == [0] * processes
        assert facts_of(output)["steps"] == 6
        losses[processes] = [entry["loss"] for entry in logged(output)]
        history = json.loads((output / "trainer_state.json").read_text())["log_history"]
        evaluated[processes] = next(entry for entry in history if "eval_loss" in entry)
    assert losses[2][:5] == pytest.approx(losses[1][:5], rel=1e-6)
    assert losses[2][5] != pytest.approx(losses[1][5], rel=1e-3)
    # three triplets to evaluate on: the one that fills up the last batch counts once
    for name in ("eval_loss", "eval_nll_loss", "eval_rewards/margins", "eval_reference/margins"):
        assert evaluated[2][name] == pytest.approx(evaluated[1][name], rel=1e-4), name


def test_a_video_that_is_missing_ends_both(data: Path, forged: Forge, tmp_path: Path) -> None:
    """It is the first process that looks."""
    arguments = command(data, tmp_path, tmp_path / "adapter", *EACH)
    made = forged(arguments, tmp_path / "log", processes=2, patch=str(TESTS / "support/patches/first_looks.py"))
    assert made["codes"] == [1, 1]
    first, second = ((tmp_path / f"log.{rank}.err").read_text().splitlines()[-1] for rank in (0, 1))
    assert "error: 11 of 11 triplets need videos that cannot be used" in first
    assert first == second


def test_a_mistake_is_said_once_and_ends_both(tmp_path: Path) -> None:
    done = launch_two("train", "tiny/stage1", "trainin.beta=1", "--output", str(tmp_path / "x"))
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert said == ["error: recipe tiny/stage1: unknown key trainin (did you mean training?)"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("together", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_a_process_that_fails_alone_says_so_and_ends_both(
    together: int, data: Path, world: Path, forged: Forge, tmp_path: Path
) -> None:
    arguments = command(data, world, tmp_path / "adapter", "per_device_train_batch_size=1")
    made = forged(
        [*arguments, f"sequence_parallel={together}"],
        tmp_path / "log",
        processes=2,
        patch=str(TESTS / "support/patches/one_fails.py"),
    )
    assert made["codes"] == [1, 1]
    first, second = ((tmp_path / f"log.{rank}.err").read_text() for rank in (0, 1))
    assert second == "error: clip 7 cannot be read: mount the videos\n"
    assert first.splitlines()[-1] == "error: another process of this run ended before this one: see what it said"
    assert "Traceback" not in first
    assert not any(path.is_dir() for path in tmp_path.iterdir())
