"""Rows that several processes compute together give what one process gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.families import FAMILIES
from support.forked import Forge
from support.trainings import check_equal, command, facts_of, launched
from support.triplets import add_validation, rows_of
from support.world import TESTS

from longvpo.recipe.builtin import find_recipe

EACH = ("num_train_epochs=2", "dataloader_drop_last=true")
CASES = ("plain", "checkpointing", "nf4", "nf4+checkpointing", "vision", "tiles", "adapter")


def compared(
    forged: Forge, log: Path, processes: int, asked: list[tuple[str, str, int]], **more: str
) -> list[list[Any]]:
    """What each process printed, a line each (support/patches/ulysses.py)."""
    environment = {"ASKED": json.dumps(asked), **more}
    patch = str(TESTS / "support/patches/ulysses.py")
    made = forged([], log, processes=processes, patch=patch, environment=environment)
    assert made["codes"] == [0] * processes, log.with_name(f"{log.name}.0.err").read_text()
    lines = [log.with_name(f"{log.name}.{rank}.out").read_text().splitlines() for rank in range(processes)]
    return [[json.loads(line) for line in some] for some in lines]


def check_close(found: list[list[Any]]) -> None:
    for line in (line for some in found for line in some):
        assert line["loss_off"] < 1e-6, line
        assert line["grad_off"] < 1e-5, line


def test_two_processes_compute_a_step_and_mistakes_are_told(forged: Forge, tmp_path: Path) -> None:
    """Positions of three kinds and stretched ones, features for later layers, checkpointing, NF4; the others: `make
    soak`."""
    asked = [("qwen3_vl", "nf4+checkpointing", 2), ("internvl", "stretched", 2)]
    found = compared(forged, tmp_path / "log", 2, asked, WRONG=str(tmp_path))
    check_close([lines[:2] for lines in found])
    for _, _, different, uncut in found:
        assert different.startswith("sequence_parallel: the 2 processes that compute a row together were given")
        assert uncut.endswith("because its answers change when they share one over several processes: set it to 1")


@pytest.mark.soak
@pytest.mark.parametrize(("processes", "together"), [(2, 2), (4, 4), (4, 2)])
def test_every_family_in_every_case(processes: int, together: int, forged: Forge, tmp_path: Path) -> None:
    asked = [(name, case, together) for name in FAMILIES for case in CASES] + [("internvl", "stretched", together)]
    found = compared(forged, tmp_path / "log", processes, asked)
    assert [len(lines) for lines in found] == [len(asked)] * processes
    check_close(found)


@pytest.mark.soak
def test_each_process_has_its_part_of_the_memory(forged: Forge, tmp_path: Path) -> None:
    """Up to a tenth off what `--dry-run` says, as in one process."""
    found = compared(forged, tmp_path / "log", 2, [], LIVE=str(tmp_path))
    assert [len(lines) for lines in found] == [3, 3]
    for name, peak, expected in (line for lines in found for line in lines):
        assert peak == pytest.approx(expected, rel=0.1), name


def test_two_processes_train_the_adapter_that_one_trains(
    data: Path, world: Path, one: Path, forged: Forge, tmp_path: Path
) -> None:
    output = tmp_path / "two"
    section = (*EACH, "per_device_train_batch_size=2")
    made = forged([*command(data, world, output, *section), "sequence_parallel=2"], tmp_path / "log", processes=2)
    assert made["codes"] == [0, 0], (tmp_path / "log.0.err").read_text()
    facts = facts_of(output)
    assert (facts["processes"], facts["sequence_parallel"], facts["triplets_a_step"]) == (2, 2, 2)
    assert facts["steps"] == 10
    check_equal(one, output)
    batch = "2 triplets per step: 2 per device, 1 accumulation steps, 2 processes, 2 of them per row"
    assert f"| batch | {batch} |" in (output / "README.md").read_text()


@pytest.mark.soak
@pytest.mark.parametrize("reference", ["each_step", "precomputed"])
def test_two_groups_of_two_train_the_adapter_that_one_trains(
    reference: str, data: Path, world: Path, one: Path, forged: Forge, tmp_path: Path
) -> None:
    output = tmp_path / "four"
    section = (*EACH, "per_device_train_batch_size=1", "gradient_checkpointing=true", "dataloader_num_workers=1")
    arguments = [*command(data, world, output, *section), "sequence_parallel=2", "mlp_tokens=64"]
    made = forged([*arguments, f"reference_log_probs={reference}"], tmp_path / "log", processes=4)
    assert made["codes"] == [0] * 4, (tmp_path / "log.0.err").read_text()
    assert (facts_of(output)["processes"], facts_of(output)["triplets_a_step"]) == (4, 2)
    check_equal(one, output)


@pytest.mark.soak
def test_beside_sharded_weights(data: Path, world: Path, one: Path, forged: Forge, tmp_path: Path) -> None:
    output = tmp_path / "two"
    made = forged(
        [
            *command(data, world, output, *EACH, "per_device_train_batch_size=2", "use_cpu=false"),
            "sequence_parallel=2",
        ],
        tmp_path / "log",
        processes=2,
        environment=launched(find_recipe("accelerate/fsdp")),
        patch=str(TESTS / "support/patches/as_gpus.py"),
    )
    assert made["codes"] == [0, 0], (tmp_path / "log.0.err").read_text()
    assert facts_of(output)["triplets_a_step"] == 2
    check_equal(one, output)


@pytest.mark.soak
def test_rows_that_are_not_shared_evenly_and_evaluations(
    data: Path, world: Path, forged: Forge, tmp_path: Path
) -> None:
    """Eleven triplets, two a step, and three to evaluate on: a group takes them as one process does."""
    shutil.copytree(data, tmp_path / "data")
    add_validation(tmp_path / "data", rows_of("stage1", 3, 4))
    section = ["num_train_epochs=1", "eval_strategy=steps", "eval_steps=3", "per_device_eval_batch_size=2"]
    for batch, plain, grouped in ((2, 1, 2), (1, 2, 4)):
        found = {}
        for processes in (plain, grouped):
            output, more = tmp_path / f"{batch}-{processes}", [f"per_device_train_batch_size={batch}"]
            asked = [*command(tmp_path / "data", world, output, *section, *more), "data.eval=validation"]
            asked += ["sequence_parallel=2"] if processes == grouped else []
            made = forged(asked, tmp_path / "log", processes=processes)
            assert made["codes"] == [0] * processes, (tmp_path / "log.0.err").read_text()
            assert facts_of(output)["steps"] == 6
            history = json.loads((output / "trainer_state.json").read_text())["log_history"]
            found[processes] = [
                [value for name, value in entry.items() if name.endswith(("loss", "margins", "accuracies"))]
                for entry in history
            ]
        for one, other in zip(found[plain], found[grouped], strict=True):
            assert other == pytest.approx(one, rel=1e-4, abs=1e-6)
