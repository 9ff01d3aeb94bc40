"""Checkpoints of a run that may be killed at any moment: only one that was written whole is gone on from.

Trainer writes a checkpoint into its place, file by file and process by process, and takes the highest number for the
last. So a checkpoint gets a mark when all of it is written, and loses the mark before it is deleted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback

from longvpo.errors import LongVPOError
from longvpo.folder import whole_file

KEY, WHOLE = "key", "whole"


class Checkpoints(TrainerCallback):
    """Marks every checkpoint, and deletes older ones.

    Args:
        limit: how many are kept; None: all. Trainer's own limit would delete before the new one has its mark.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        args.distributed_state.wait_for_everyone()
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir)
        (folder / f"checkpoint-{state.global_step}" / WHOLE).touch()
        for old in whole_checkpoints(folder)[: -self.limit] if self.limit else []:
            (old / WHOLE).unlink()
            shutil.rmtree(old)


def whole_checkpoints(folder: Path) -> list[Path]:
    """In the order of their steps."""
    marks = folder.glob(f"checkpoint-*/{WHOLE}")
    return sorted((mark.parent for mark in marks), key=lambda path: int(path.name.rpartition("-")[2]))


def last_checkpoint(folder: Path, key: str, processes: PartialState) -> Path | None:
    """The one to go on from. What a kill left half-written is deleted, and the folder is made this run's.

    Args:
        key: changes with everything that decides the result.

    Raises:
        LongVPOError: the folder holds checkpoints of another run.
    """
    mark, whole = folder / KEY, whole_checkpoints(folder)
    if mark.is_file() and mark.read_text(encoding="utf-8") != key and whole:
        raise LongVPOError(
            f"{folder} holds a run of another recipe, dataset or starting adapter, or one in another number of "
            "processes: delete it, or give another --output"
        )
    if not mark.is_file() and any(folder.glob("checkpoint-*")):
        raise LongVPOError(f"{folder} holds checkpoints that are not longvpo's: give another --output, or move them")
    processes.wait_for_everyone()  # until all have looked
    if processes.is_main_process:
        for path in set(folder.glob("checkpoint-*")) - set(whole):
            shutil.rmtree(path)
        with whole_file(mark) as file:
            file.write(key.encode())
    processes.wait_for_everyone()
    return whole[-1] if whole else None


@contextmanager
def kept_if_whole(folder: Path, processes: PartialState) -> Iterator[None]:
    """A run that fails before its first checkpoint leaves no folder behind: there is nothing to go on from."""
    try:
        yield
    except BaseException:
        ours = (folder / KEY).is_file() or (folder.is_dir() and not any(folder.iterdir()))
        if processes.is_main_process and ours and not whole_checkpoints(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def delete(folder: Path, key: str) -> None:
    """Of a finished run, when they are its own."""
    if (folder / KEY).is_file() and (folder / KEY).read_text(encoding="utf-8") == key:
        shutil.rmtree(folder, ignore_errors=True)
