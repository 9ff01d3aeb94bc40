"""A process that decodes, whose decoder is hostile where the name of a video says so, as `frames-segfault.mp4` does.

It stands in for a file that makes a real decoder do the same: none is at hand that all versions fall for.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.video import child, decoders, probe


def leak() -> None:
    """50 GB, in parts."""
    taken = [np.empty(2**28, np.uint8) for _ in range(200)]
    raise AssertionError(f"{len(taken)} parts were given")


HOSTILE: dict[str, Callable[[], Any]] = {
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit": lambda: os._exit(3),
    "hang": lambda: ctypes.PyDLL(None).sleep(1000),  # no other thread of its interpreter runs
    "leak": leak,
    "fault": lambda: 1 / 0,
    "ended": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "taking": lambda: (time.sleep(1), os.kill(os.getpid(), signal.SIGKILL)),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "lies": lambda: os.write(int(sys.argv[1]), b"\xff" * 64),
}


def spoiled(step: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def reads(path: Path, *rest: Any) -> Any:
        at, _, how = path.stem.partition("-")
        if at == step and how in HOSTILE:
            HOSTILE[how]()
        return real(path, *rest)

    return reads


if __name__ == "__main__":
    probe.look_into = spoiled("probe", probe.look_into)
    decoders.read = spoiled("frames", decoders.read)
    decoders.passing = spoiled("cuts", decoders.passing)
    child.main()
