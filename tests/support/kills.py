"""Builds in processes of their own, forked from one that has loaded everything, and killed."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import tqdm

tqdm.tqdm.monitor_interval = 0  # its thread's lock must not be taken while a process is forked
tqdm.tqdm.set_lock(threading.RLock())  # its own is shared with forked processes, and stays locked when one is killed


def killed(build: Callable[[], object], output: Path, asked: Path, kills: int, at_the_end: int) -> dict[str, int]:
    """Start the build again and again, kill it after random numbers of answers, and let the last one end.

    Args:
        asked: a file that gains a line with every request.
        at_the_end: of the kills, those that come when finished files are on their way into their places.

    Returns:
        kills; states: how many different sets of files they left; code: the exit status of the last build.
    """
    draw, states = random.Random(0), []

    def start() -> int:
        child = os.fork()
        if child == 0:
            build()
            os._exit(0)
        return child

    def alive(child: int) -> bool:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def lines() -> int:
        return asked.read_text().count("\n") if asked.is_file() else 0

    while len(states) < kills:
        last = len(states) >= kills - at_the_end
        target = lines() + draw.randint(0, 8)
        child = start()
        while alive(child) and not ((output / "work" / "final").is_dir() if last else lines() >= target):
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.05))
        if not alive(child):
            break
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        states.append(sorted(str(path.relative_to(output)) for path in output.rglob("*")))
    code = os.waitpid(start(), 0)[1]
    return {"kills": len(states), "states": len(set(map(str, states))), "code": code}
