"""Several processes give what one gives; a run that is killed gives what one that was not gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.commands import launch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import is_deepspeed_available
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env
from safetensors.torch import load_file
from support.forge import Forge, forge
from support.triplets import rows_of, write_dataset
from support.world import TESTS

from longvpo.errors import LongVPOError
from longvpo.io import disk
from longvpo.io.files import shipped
from longvpo.recipe.file import builtin_recipes, find_recipe
from longvpo.training.arguments import training_arguments
from longvpo.training.checkpoints import KEY, check_disk, kept_if_whole, last_checkpoint, mark_whole, whole_checkpoints
from longvpo.training.processes import check_processes

CONFIGS = sorted(shipped("recipes").glob("accelerate/*.yaml"))
CLOCK = {"tokens_per_second", "memory_gb"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven triplets, contexts of one to eight clips: an odd number, so that two processes cannot share them all."""
    return write_dataset(tmp_path_factory.mktemp("data") / "triplets", stage1=rows_of("stage1", 11, 8))


@pytest.fixture(scope="module")
def forged() -> Iterator[Forge]:
    with forge() as started:
        yield started


def command(data: Path, world: Path, output: Path, *training: str) -> list[str]:
    """Two triplets a step: of one process, or with `each` of two."""
    section = ["gradient_accumulation_steps=1", "warmup_steps=0", "logging_steps=1", *training]
    return [
        *("train", "tiny/stage1", f"data.dataset={data}", f"data.videos={{drawn: {world}, stories: {world}}}"),
        *(f"training.{item}" for item in section),
        *("--output", str(output)),
    ]


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


def logged(adapter: Path) -> list[dict[str, float]]:
    history = json.loads((adapter / "trainer_state.json").read_text())["log_history"]
    return [
        {name: value for name, value in entry.items() if name not in CLOCK} for entry in history if "loss" in entry
    ]


def facts_of(adapter: Path) -> dict[str, Any]:
    return json.loads((adapter / "facts.json").read_text())


def apart(one: Path, other: Path) -> float:
    """Length of the difference of two adapters, relative to the length of one."""
    weights = [load_file(folder / "adapter_model.safetensors") for folder in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    flat = [torch.cat([value.float().flatten() for _, value in sorted(part.items())]) for part in weights]
    assert flat[0].norm() > 1
    return ((flat[0] - flat[1]).norm() / flat[0].norm()).item()


def check_equal(one: Path, other: Path) -> None:
    """Float32 sums in another order: a few 1e-7 in the first losses, and a few 1e-6 after ten steps at a rate of 2e-3.

    AdamW divides a gradient by its size, so the rounding of one that is almost nothing counts for more.
    """
    for step, (entry, expected) in enumerate(zip(logged(other), logged(one), strict=True)):
        assert entry.keys() == expected.keys()
        close = 1e-6 if step < 3 else 1e-5
        for name in ("loss", "nll_loss", "reference/margins"):
            assert entry[name] == pytest.approx(expected[name], rel=close), (step, name)
        assert entry == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert apart(one, other) < 1e-5


@pytest.fixture(scope="module")
def one(data: Path, world: Path, forged: Forge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, two triplets a step, two epochs; NF4, as the recipe has it."""
    output = tmp_path_factory.mktemp("one") / "adapter"
    section = ("per_device_train_batch_size=2", "num_train_epochs=2", "dataloader_drop_last=true")
    assert forged(command(data, world, output, *section), output.with_name("log"))["codes"] == [0]
    facts = facts_of(output)
    assert (facts["processes"], facts["triplets_a_step"], facts["steps"]) == (1, 2, 10)
    return output


EACH = ("per_device_train_batch_size=1", "num_train_epochs=2", "dataloader_drop_last=true")


def test_two_processes_of_accelerate_launch_train_the_adapter_that_one_trains(
    data: Path, world: Path, one: Path, tmp_path: Path
) -> None:
    output = tmp_path / "two"
    done = launch_two(*command(data, world, output, *EACH), "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)  # the first process alone prints
    assert facts == facts_of(output)
    assert (facts["processes"], facts["triplets_a_step"], facts["steps"]) == (2, 2, 10)
    assert done.stderr.count("adapter: ") == 1
    check_equal(one, output)
    assert "| optimiser steps | 10 of 2 triplets, in 2 processes |" in (output / "README.md").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["two"], "checkpoints and unfinished folders are gone"


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


def launched(config: Path) -> dict[str, str]:
    """What `accelerate launch --config_file` sets for the processes that it starts."""
    arguments = launch.launch_command_parser().parse_args(["--config_file", str(config), "longvpo"])
    arguments, defaults, _ = launch._validate_launch_command(arguments)
    if arguments.use_deepspeed:
        arguments.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
        _, environment = prepare_deepspeed_cmd_env(arguments)
    else:
        environment = prepare_multi_gpu_env(arguments)
    return {name: value for name, value in environment.items() if os.environ.get(name) != value}


def test_two_processes_score_the_reference_beforehand(
    data: Path, world: Path, one: Path, forged: Forge, tmp_path: Path
) -> None:
    arguments = [*command(data, world, tmp_path / "two", *EACH), "reference_log_probs=precomputed"]
    made = forged(arguments, tmp_path / "log", processes=2)
    assert made["codes"] == [0, 0], (tmp_path / "log.0.err").read_text()
    check_equal(one, tmp_path / "two")


def test_triplets_that_two_processes_cannot_share_evenly(
    data: Path, world: Path, forged: Forge, tmp_path: Path
) -> None:
    """The last of eleven: one process takes a step with it alone, two add one from the epoch's start."""
    losses = {}
    for processes in (1, 2):
        output = tmp_path / str(processes)
        section = (f"per_device_train_batch_size={2 // processes}", "num_train_epochs=1")
        made = forged(command(data, world, output, *section), tmp_path / "log", processes=processes)
        assert made["codes"] == [0] * processes
        assert facts_of(output)["steps"] == 6
        losses[processes] = [entry["loss"] for entry in logged(output)]
    assert losses[2][:5] == pytest.approx(losses[1][:5], rel=1e-6)
    assert losses[2][5] != pytest.approx(losses[1][5], rel=1e-3)


@pytest.mark.parametrize(("processes", "kills"), [(1, 6), (2, 4)])
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(
    processes: int, kills: int, data: Path, world: Path, forged: Forge, tmp_path: Path
) -> None:
    """SIGKILL to all processes at random moments, half of them while a checkpoint is written."""
    section = [
        *("per_device_train_batch_size=1", "max_steps=12", "save_strategy=steps", "save_steps=1"),
        *("save_total_limit=2", "disable_dropout=false"),  # of the adapter: its random numbers must go on, too
    ]
    made, options = {}, {"processes": processes, "patch": str(TESTS / "support/patches/slow_saves.py")}
    for name in ("whole", "killed"):
        arguments = [*command(data, world, tmp_path / name, *section), "lora.lora_dropout=0.1"]
        if name == "killed":
            options |= {"output": str(tmp_path / name), "kills": kills, "seconds": made["whole"]["seconds"]}
        made[name] = forged(arguments, tmp_path / "log", **options)
        assert made[name]["codes"] == [0] * processes, (tmp_path / "log.0.err").read_text()
    assert made["killed"]["half"] >= kills // 4, made["killed"]
    assert max(made["killed"]["whole"]) == 2, "it went on from one, and older ones are deleted"
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]
    curves = [
        [[entry[key] for key in ("step", "loss", "rewards/margins", "reference/margins")] for entry in logged(folder)]
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


def test_a_mistake_is_said_once_and_ends_both(tmp_path: Path) -> None:
    done = launch_two("train", "tiny/stage1", "trainin.beta=1", "--output", str(tmp_path / "x"))
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert said == ["error: recipe tiny/stage1: unknown key trainin (did you mean training?)"]
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_fails_alone_says_so_and_ends_both(
    data: Path, world: Path, forged: Forge, tmp_path: Path
) -> None:
    made = forged(
        command(data, world, tmp_path / "adapter", "per_device_train_batch_size=1"),
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


# --- configs, and what is refused


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_config_of_accelerate_is_one_and_says_what_it_is(config: Path) -> None:
    loaded = load_config_from_file(str(config))  # unknown keys are an error
    known = vars(launch.launch_command_parser().parse_args(["longvpo"]))
    for section, prefix in ((loaded.fsdp_config, "fsdp_"), (loaded.deepspeed_config, "")):
        for key in section:  # accelerate does not look at these
            assert key in known, key
            assert key.startswith(prefix)
    comment = " ".join(line.strip("# ") for line in config.read_text().splitlines() if line.startswith("#"))
    assert f"accelerate launch --config_file recipes/accelerate/{config.name}" in comment
    assert "Hardware:" in comment
    assert "Not run on a GPU" in comment
    assert config.name in config.with_name("README.md").read_text()
    assert f"accelerate/{config.stem}" not in builtin_recipes()
    assert find_recipe(f"accelerate/{config.stem}") == config, "`longvpo recipes` prints it"
    if loaded.distributed_type != "DEEPSPEED" or is_deepspeed_available():
        assert training_environment(launched(config)) is None


def training_environment(environment: dict[str, str]) -> str | None:
    """Why a run in this environment is refused."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        arguments = training_arguments({}, Path("unused"))
        try:
            check_processes(arguments)
        except LongVPOError as error:
            return str(error)
    return None


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PARALLELISM_CONFIG_CP_SIZE": "2"}, "cp_size above 1 cuts a row into parts"),
        ({"PARALLELISM_CONFIG_SP_SIZE": "2"}, "sp_size above 1 cuts a row into parts"),
        ({"PARALLELISM_CONFIG_TP_SIZE": "2"}, "tp_size above 1"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"}, "set fsdp_version: 2"),
    ],
)
def test_what_would_be_silently_wrong_is_refused(environment: dict[str, str], message: str) -> None:
    assert message in (training_environment(environment) or "")


def test_one_process_that_sees_several_gpus_is_refused() -> None:
    arguments = training_arguments({}, Path("unused"))
    arguments._n_gpu = 2
    with pytest.raises(LongVPOError, match="start it with `accelerate launch --config_file"):
        check_processes(arguments)


def test_zero_3_is_refused() -> None:
    arguments = training_arguments({}, Path("unused"))
    arguments.deepspeed_plugin = type("Plugin", (), {"zero_stage": 3})
    with pytest.raises(LongVPOError, match="set zero_stage to 2"):
        check_processes(arguments)


@pytest.mark.parametrize("key", ["deepspeed", "fsdp", "fsdp_config", "parallelism_config"])
def test_how_processes_share_the_work_is_not_the_recipes_to_say(key: str) -> None:
    with pytest.raises(LongVPOError, match=rf"training\.{key} is not the recipe's to set: give `accelerate launch`"):
        training_arguments({key: {}}, Path("unused"))


# --- checkpoints


def checkpoint(folder: Path, step: int, whole: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "trainer_state.json").write_text("{}")
    if whole:
        mark_whole(path)
    return path


def test_a_half_written_checkpoint_is_not_the_last_one(tmp_path: Path) -> None:
    processes = training_arguments({}, tmp_path).distributed_state
    for step in (2, 10):
        checkpoint(tmp_path, step)
    checkpoint(tmp_path, 12, whole=False)
    (tmp_path / KEY).write_text("this")
    assert [path.name for path in whole_checkpoints(tmp_path)] == ["checkpoint-2", "checkpoint-10"]
    assert last_checkpoint(tmp_path, "this", processes) == tmp_path / "checkpoint-10"
    assert not (tmp_path / "checkpoint-12").exists()
    with pytest.raises(LongVPOError, match="or starting adapter, or one in another number of processes"):
        last_checkpoint(tmp_path, "other", processes)


def test_what_another_run_left_before_its_first_checkpoint_is_in_nobodys_way(tmp_path: Path) -> None:
    processes = training_arguments({}, tmp_path).distributed_state
    checkpoint(tmp_path, 1, whole=False)
    (tmp_path / KEY).write_text("other")
    assert last_checkpoint(tmp_path, "this", processes) is None
    assert [path.name for path in tmp_path.iterdir()] == [KEY]
    assert (tmp_path / KEY).read_text() == "this"


def test_checkpoints_of_another_program_are_left_alone(tmp_path: Path) -> None:
    processes = training_arguments({}, tmp_path).distributed_state
    theirs = checkpoint(tmp_path, 1, whole=False)
    with pytest.raises(LongVPOError, match="not longvpo's"), kept_if_whole(tmp_path, processes):
        last_checkpoint(tmp_path, "this", processes)
    assert theirs.is_dir()


@pytest.mark.parametrize("harm", ["cut short", "changed", "gone", "no mark", "an empty mark"])
def test_a_damaged_checkpoint_is_passed_over(harm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    processes = training_arguments({}, tmp_path).distributed_state
    for step in (2, 10):
        (checkpoint(tmp_path, step, whole=False) / "optimizer.pt").write_bytes(b"12345678")
        mark_whole(tmp_path / f"checkpoint-{step}")
    (tmp_path / KEY).write_text("this")
    last = tmp_path / "checkpoint-10"
    name = "optimizer.pt" if "mark" not in harm else "whole"
    contents = {"cut short": b"1234", "changed": b"12345679", "no mark": b"[]", "an empty mark": b""}
    if harm == "gone":
        (last / name).unlink()
    else:
        (last / name).write_bytes(contents[harm])
    assert last_checkpoint(tmp_path, "this", processes) == tmp_path / "checkpoint-2"
    assert f"checkpoint-10 is damaged, in {name}: training resumes from checkpoint-2\n" in capsys.readouterr().err
    assert not last.exists()
    (tmp_path / "checkpoint-2" / "optimizer.pt").unlink()
    assert last_checkpoint(tmp_path, "this", processes) is None
    assert "checkpoint-2 is damaged, in optimizer.pt: training starts anew\n" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [KEY]


def test_a_run_needs_room_for_its_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torch.nn.Linear(1000, 1, bias=False)  # 4,000 bytes
    trainer = SimpleNamespace(model=weights, processing_class=None)
    for section, needed in [
        ({"save_strategy": "no"}, 4000),
        ({"save_strategy": "steps"}, 4000 + 2 * 12000),
        ({"save_strategy": "steps", "optim": "sgd"}, 4000 + 2 * 4000),
    ]:
        trainer.args = training_arguments(section, tmp_path)
        monkeypatch.setattr(disk, "_free", lambda folder, needed=needed: needed)
        check_disk(trainer, tmp_path, limit=1)
        monkeypatch.setattr(disk, "_free", lambda folder, needed=needed: needed - 1)
        with pytest.raises(LongVPOError, match="of free space, and training writes at least"):
            check_disk(trainer, tmp_path, limit=1)
