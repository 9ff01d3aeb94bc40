"""Builds and trainings in processes of their own, forked from one that has loaded everything, and killed if asked to.

A forked run does not load torch again, which takes ten seconds. The forge itself must not have trained: autograd does
not survive a fork.
"""

from __future__ import annotations

import json
import os
import random
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tqdm

if __name__ == "__main__":  # as a program it finds the other helpers by itself
    sys.path.insert(0, str(Path(__file__).parents[1]))
from support.leftovers import adopt, left_running

tqdm.tqdm.monitor_interval = 0  # its thread's lock must not be taken while a process is forked
tqdm.tqdm.set_lock(threading.RLock())  # its own is shared with forked processes, and stays locked when one is killed


class Forge:
    """Asks the forge, which is a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def __call__(self, arguments: list[str], log: Path, **options: Any) -> dict[str, Any]:
        """Runs `longvpo` with these arguments; see `run` and `kill_and_run`."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"arguments": arguments, "log": str(log)} | options) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the forge has ended"
        return json.loads(answer)


@contextmanager
def forge() -> Iterator[Forge]:
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Forge(process)
        process.stdin.close()


def start(
    arguments: list[str], log: str, processes: int = 1, environment: dict[str, str] | None = None, patch: str = ""
) -> list[int]:
    """Process ids; the first is also their group's.

    Args:
        log: gets what process N writes to `log`.N.out and `log`.N.err.
        environment: of the run, in addition.
        patch: a file that is run first, for a machine or a failure that is not at hand.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children: list[int] = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            os.setpgid(0, children[0] if children else 0)
            if processes > 1:
                os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
                os.environ |= {
                    "LOCAL_WORLD_SIZE": str(processes),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                }
            os.environ |= environment or {}
            _run(arguments, f"{log}.{rank}", patch)
        os.setpgid(child, children[0] if children else child)  # whoever is first
        children.append(child)
    return children


def _run(arguments: list[str], log: str, patch: str) -> None:
    """What the child does, and never returns from."""
    code = 70
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{log}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        if patch:
            runpy.run_path(patch)
        from longvpo.cli.main import main

        sys.argv = ["longvpo", *arguments]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def wait(children: list[int]) -> list[int]:
    """Exit codes; a signal's are negative."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def run(**options: Any) -> dict[str, Any]:
    started = time.monotonic()
    codes = wait(start(**options))
    return {"codes": codes, "seconds": time.monotonic() - started, "left": left_running(set())}


def kill_and_run(output: str, kills: int, seconds: float, **options: Any) -> dict[str, Any]:
    """Start the same run again and again, kill all its processes at a random moment, and let the last one end.

    Every second kill is aimed at a checkpoint that is being written.

    Args:
        output: the run's folder, which is deleted when a run ended before it was killed.
        seconds: that an uninterrupted run takes.

    Returns:
        codes: of the last run; half: how many kills left a checkpoint half-written; whole: how many whole ones lay
        there after each kill.
    """
    draw, folder = random.Random(0), Path(output + ".checkpoints")
    whole: list[int] = []
    half = 0

    def unmarked() -> set[str]:
        try:
            names = [name for name in os.listdir(folder) if name.startswith("checkpoint-")]
        except FileNotFoundError:  # not there yet, or deleted at the end of the run that is watched
            return set()
        return {name for name in names if not (folder / name / "whole").is_file()}

    while len(whole) < kills:
        aimed = draw.randint(1, 4) if len(whole) % 2 else 0  # at the checkpoint of this number
        left, begun = unmarked(), set()
        children = start(**options)
        until = time.monotonic() + (60 if aimed else draw.uniform(0.2, 1) * seconds)
        while time.monotonic() < until and _alive(children[0]):
            left &= unmarked()  # what an earlier kill left is deleted before a new one begins
            begun |= unmarked() - left
            if aimed and len(begun) == aimed:
                time.sleep(draw.uniform(0, 0.01))
                break
            time.sleep(0.0005)
        if not _alive(children[0]):
            codes = wait(children)
            if any(codes):
                return {"codes": codes, "half": half, "whole": whole}
            shutil.rmtree(output)
            seconds *= 0.8
            continue
        os.killpg(children[0], signal.SIGKILL)
        wait(children)
        half += bool(unmarked())
        whole.append(len(list(folder.glob("checkpoint-*/whole"))))
    return {"codes": wait(start(**options)), "half": half, "whole": whole}


def kill_after(after: float, alone: bool = False, **options: Any) -> dict[str, Any]:
    """Start a run, and kill it after so many seconds, if it has not ended.

    Args:
        alone: kill only its first process, as a machine without memory does; else all of its group.

    Returns:
        codes; left: what it left running.
    """
    children = start(**options)
    until = time.monotonic() + after
    while time.monotonic() < until and _alive(children[0]):
        time.sleep(0.002)
    with suppress(ProcessLookupError):
        os.kill(children[0], signal.SIGKILL) if alone else os.killpg(children[0], signal.SIGKILL)
    return {"codes": wait(children), "left": left_running(set())}


def _alive(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


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

    def lines() -> int:
        return asked.read_text().count("\n") if asked.is_file() else 0

    while len(states) < kills:
        last = len(states) >= kills - at_the_end
        target = lines() + draw.randint(0, 8)
        child = start()
        while _alive(child) and not ((output / "work" / "final").is_dir() if last else lines() >= target):
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.05))
        if not _alive(child):
            break
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        states.append(sorted(str(path.relative_to(output)) for path in output.rglob("*")))
    code = os.waitpid(start(), 0)[1]
    return {"kills": len(states), "states": len(set(map(str, states))), "code": code}


def main() -> None:
    import datasets  # noqa: F401
    import matplotlib.pyplot  # noqa: F401

    import longvpo.training.run  # noqa: F401

    adopt()
    for line in sys.stdin:
        options = json.loads(line)
        what = kill_and_run if "kills" in options else kill_after if "after" in options else run
        print(json.dumps(what(**options)), flush=True)


if __name__ == "__main__":
    main()
