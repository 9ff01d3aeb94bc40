"""How many processes read videos, and that none of it changes an adapter."""

from __future__ import annotations

import multiprocessing.connection
from contextlib import nullcontext
from multiprocessing.process import current_process
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.trainers import make_trainer

from longvpo.errors import LongVPOError, VideoError
from longvpo.models.counting import RowLength
from longvpo.training import workers
from longvpo.training.arguments import training_arguments
from longvpo.training.workers import reading, set_workers, workers_of

ROW = RowLength(128, (796, 448), 128 * 3 * 448 * 448, 32_000, 33_000)


def trained(batch: list[dict[str, Any]], world: Path, folder: Path, later: bool, **section: Any) -> dict[str, Any]:
    # a collator's random numbers must not reach the trainer's
    trainer = make_trainer("internvl", batch, world, folder, max_steps=3, learning_rate=1e-2, **section)
    trainer.data_collator.later = later
    trainer.train()
    return {name: one.detach().clone() for name, one in trainer.model.named_parameters() if one.requires_grad}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes:UserWarning")
def test_an_adapter_is_the_same_whoever_reads_and_wherever_pixels_are_made(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    alone = trained(batch, world, tmp_path, later=False, dataloader_num_workers=0)
    for later in (False, True):
        others = trained(batch, world, tmp_path, later, dataloader_num_workers=4, dataloader_persistent_workers=True)
        assert all(torch.equal(value, others[name]) for name, value in alone.items())


def test_workers_share_the_memory_for_frames(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer("internvl", batch, world, tmp_path)
    collate, limit = trainer.data_collator, 2e9
    assert collate.frames_of._clips.limit == limit
    collate(batch[:1])
    assert collate.frames_of._clips.limit == limit, "it is no worker; those that are started later are"
    monkeypatch.setattr("torch.utils.data.get_worker_info", lambda: SimpleNamespace(num_workers=4))
    for collate_fn in (collate.reference, collate, collate):  # one pass scores the reference, another one trains
        collate_fn(batch[:1])
    assert collate.frames_of._clips.limit == limit / 4


def test_every_core_but_one_reads_where_a_gpu_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(section: dict[str, Any], cpu: bool, **variables: str) -> tuple[int, bool]:
        arguments = training_arguments({"bf16": False, **section}, tmp_path)
        arguments.use_cpu = cpu
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        set_workers(arguments, section, ROW)
        return arguments.dataloader_num_workers, arguments.dataloader_persistent_workers

    monkeypatch.setattr(workers, "cores", lambda: 16)
    monkeypatch.setattr(workers.shutil, "disk_usage", lambda path: SimpleNamespace(free=64e9))
    assert found({}, cpu=False) == (15, True)
    assert found({"per_device_train_batch_size": 64}, cpu=False) == (2, True), "each hands whole micro-batches over"
    assert found({"dataloader_num_workers": 3}, cpu=False) == (3, True)
    assert found({"dataloader_num_workers": 3, "dataloader_persistent_workers": False}, cpu=False) == (3, False)
    assert found({}, cpu=True) == (0, False), "the cores are the device"
    assert found({}, cpu=False, LOCAL_WORLD_SIZE="8") == (1, True)
    assert found({}, cpu=False, LOCAL_WORLD_SIZE="32") == (0, False)


def test_workers_need_room_to_hand_rows_over(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    row = 128 * 448 * 796 * 3
    monkeypatch.setattr(workers.os.path, "isdir", lambda path: True)
    for free, expected in ((64 << 20, 0), (2e9, 4), (64e9, 15)):
        monkeypatch.setattr(workers.shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        assert workers_of(15, row) == expected
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith("warning: 0 processes read videos where 15 could: /dev/shm has room for 0.1 GB")


def test_what_a_worker_met_is_one_line() -> None:
    said = "Caught VideoError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File x\n"
    for error, told in (
        (VideoError(said + "longvpo.errors.VideoError: no such video: videos/1.mp4\n"), "no such video: videos/1.mp4"),
        (VideoError("no such video: videos/1.mp4"), "no such video: videos/1.mp4"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
            "a process that reads videos was ended",
        ),
    ):
        with pytest.raises(LongVPOError, match=f"^{told}") as found, reading():
            raise error
        assert "\n" not in str(found.value)
    with pytest.raises(RuntimeError, match="CUDA"), reading():
        raise RuntimeError("CUDA error")


@pytest.mark.parametrize("long", [False, True])
def test_sockets_of_workers_lie_in_a_folder_that_the_next_run_removes(
    long: bool, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path_factory.mktemp("s" * (80 if long else 1))
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.delitem(current_process()._config, "tempdir", raising=False)  # of a test before this one
    with reading():
        (own,) = place.iterdir()
        with multiprocessing.connection.Listener(family="AF_UNIX") if not long else nullcontext() as listener:
            assert long or Path(listener.address).parent == own
        assert (current_process()._config.get("tempdir") == str(own)) is not long, "names of sockets have a bound"
    assert [*place.iterdir()] == []
    assert current_process()._config.get("tempdir") is None
