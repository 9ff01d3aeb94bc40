"""Processes that read and encode rows while the device computes: how many there are.

The rule: with a GPU, every core but one reads; on a CPU the cores are the device, and nothing would be gained. What
`training:` says of workers stays. A run's adapter does not depend on their number.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import current_process
from pathlib import Path
from typing import Any

from trl import DPOConfig

from longvpo.errors import LongVPOError, say
from longvpo.io.temporary import own_folder
from longvpo.models.counting import RowLength
from longvpo.video.extent import cores

MOST = 16  # workers of one process: a step takes a second or more, and they read some hundred frames in that time
AHEAD = 2  # micro-batches that each worker has ready; torch's own default
SOCKET = 80  # bytes of a folder's name, at most: a socket's whole name has some 107
SHARED = "/dev/shm"  # where processes on Linux hand tensors over


@contextmanager
def reading() -> Iterator[None]:
    """What becomes of a worker in one line: torch gives its whole traceback. A killed run's sockets go with the next.

    Raises:
        LongVPOError: a worker met it, or was ended.
    """
    try:
        with own_folder("workers") as folder, _meeting_in(folder):
            yield
    except LongVPOError as error:
        if not str(error).startswith("Caught "):
            raise
        raise LongVPOError(re.split(r"longvpo\.errors\.\w+: ", str(error))[-1].rstrip()) from None
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise LongVPOError(
            "a process that reads videos was ended, most often for want of memory: set video.cache_gb or "
            "training.dataloader_num_workers lower; the same command resumes"
        ) from error


@contextmanager
def _meeting_in(folder: Path) -> Iterator[None]:
    """Processes hand each other files through sockets in this folder: a kill would leave one of multiprocessing's."""
    config: dict[str, Any] = vars(current_process())["_config"]
    before = dict(config)
    if len(bytes(folder)) <= SOCKET:
        config["tempdir"] = str(folder)
    try:
        yield
    finally:
        config.clear()
        config.update(before)


def set_workers(arguments: DPOConfig, section: dict[str, Any], longest: RowLength) -> None:
    """Fill in what `training:` does not say of the workers that load batches.

    Args:
        longest: the longest row, whose frames pass from a worker to its trainer as uint8.
    """
    if "dataloader_num_workers" not in section and not arguments.use_cpu:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        arguments.dataloader_num_workers = workers_of(
            cores() // local - 1, frame_bytes(longest) * arguments.per_device_train_batch_size, local
        )
    if arguments.dataloader_num_workers:
        arguments.dataloader_persistent_workers = section.get("dataloader_persistent_workers", True)


def workers_of(free: int, batch: int, processes: int = 1) -> int:
    """How many of the free cores load batches: as many as have room to hand these over, where that is bounded.

    Args:
        batch: bytes of a micro-batch's frames.
        processes: those of this machine, which share that room.
    """
    wanted = min(max(free, 0), MOST)
    if not wanted or not os.path.isdir(SHARED):
        return wanted
    room = shutil.disk_usage(SHARED).free // processes
    fit = int(room // ((AHEAD + 1) * batch))
    if fit < wanted:
        say(
            f"warning: {fit} processes read videos where {wanted} could: {SHARED} has room for {room / 1e9:.1f} GB. "
            "Give it more (docker run --shm-size=16g), or set training.dataloader_num_workers yourself"
        )
    return min(fit, wanted)


def frame_bytes(length: RowLength) -> int:
    """Bytes of a row's frames, three colours a pixel."""
    return length.frames * length.size[0] * length.size[1] * 3
