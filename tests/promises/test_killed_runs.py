"""A training that is killed resumes, and gives what one that was not killed gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.forked import Forge
from support.trainers import checkpoint
from support.trainings import command, facts_of, logged
from support.world import TESTS

from longvpo.training.checkpoints import KEY

CURVES = ("step", "loss", "rewards/margins", "reference/margins", "num_tokens")
MORE = [pytest.param(*case, marks=pytest.mark.soak) for case in ((1, 16, 12, 1), (2, 9, 12, 1), (2, 5, 8, 2))]


@pytest.mark.parametrize(("processes", "kills", "steps", "together"), [(1, 2, 5, 1), *MORE])
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(
    processes: int, kills: int, steps: int, together: int, data: Path, world: Path, forged: Forge, tmp_path: Path
) -> None:
    """SIGKILL to all processes at random moments, half of them while a checkpoint is written.

    Args:
        together: how many of the processes compute each row.
    """
    section = [
        *("per_device_train_batch_size=1", f"max_steps={steps}", "save_strategy=steps", "save_steps=1"),
        *("save_total_limit=2", "disable_dropout=false"),  # the adapter's: its random numbers must resume, too
    ]
    made, options = {}, {"processes": processes, "patch": str(TESTS / "support/patches/slow_saves.py")}
    for name in ("whole", "killed"):
        arguments = [*command(data, world, tmp_path / name, *section), "lora.lora_dropout=0.1"]
        arguments += [f"sequence_parallel={together}"]
        if processes == 2:  # with adapters on the vision side, too
            arguments += ["lora.vision=all", "vision_cache_gb=0"]
        if name == "killed":
            options |= {"output": str(tmp_path / name), "kills": kills, "seconds": made["whole"]["seconds"]}
        made[name] = forged(arguments, tmp_path / "log", **options)
        assert made[name]["codes"] == [0] * processes, (tmp_path / "log.0.err").read_text()
    assert made["killed"]["half"] >= (kills // 4 if kills > 4 else 0), made["killed"]
    most = max(made["killed"]["whole"])  # of two kills both may come before the first checkpoint, on a busy machine
    assert most == 2 or (kills < 5 and most < 2), "it resumed from one, and older ones are deleted"
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]
    curves = [
        [[entry[key] for key in CURVES] for entry in logged(folder)]
        for folder in (tmp_path / "whole", tmp_path / "killed")
    ]
    assert curves[0] == curves[1], "no gap, and nothing twice"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["killed", "whole"]
    other = 3 - processes
    again = forged(arguments, tmp_path / "again", processes=other)
    assert again["codes"] == [1] * other, "another number of processes would have made another adapter"


def test_checkpoints_that_a_kill_left_of_a_finished_run_go_away(
    data: Path, world: Path, one: Path, forged: Forge, tmp_path: Path
) -> None:
    section = ("per_device_train_batch_size=2", "num_train_epochs=2", "dataloader_drop_last=true")
    left = one.with_name("adapter.checkpoints")
    checkpoint(left, 10)
    (left / KEY).write_text(facts_of(one)["key"])
    assert forged(command(data, world, one, *section), tmp_path / "log")["codes"] == [0]
    assert "is finished already" in (tmp_path / "log.0.err").read_text()
    assert not left.exists()
