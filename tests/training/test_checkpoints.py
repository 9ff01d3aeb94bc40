"""Checkpoints: which are whole, which are the last, and room for them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.trainers import checkpoint

from longvpo.errors import LongVPOError
from longvpo.io import disk
from longvpo.io.files import whole_checkpoints
from longvpo.training.arguments import training_arguments
from longvpo.training.checkpoints import KEY, check_disk, kept_if_whole, last_checkpoint, mark_whole


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
