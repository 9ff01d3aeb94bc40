"""Processes that open the files of strangers for this one, so that a decoder's crash costs a file and not a run.

The rule: native code reads a video only in a child process. The child holds no key, lock or connection of this
process. It has limits of memory and time, and it ends when this process ends, in any way. A thread that asks is lent
one child, so there are as many as ever asked at once, and they wait for the next. A file whose decoder crashes, is
late or wants too much memory is refused with the reason, and is not tried again by this process. A child that opened
other files before is not held against the file: it is asked of a new one.

What bounds a machine is said in its environment, and not in a recipe, which may be a stranger's too.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn

import numpy as np

from longvpo.errors import LongVPOError, VideoError
from longvpo.video.messages import Message, receive, send

HERE = "LONGVPO_DECODE_HERE"  # 1: videos are decoded in this process
GIGABYTES = "LONGVPO_DECODE_GB"
SECONDS = "LONGVPO_DECODE_SECONDS"
GB, PATIENCE = 8.0, 60.0  # unless the environment says otherwise
HEAVY = 2e9  # bytes: where a child has less, the system ended it because others took the memory

OURS = str(Path(__file__).parents[2])
COMMAND = ("-P", "-m", "longvpo.video.child")  # no file of the working folder is taken for a module
STARTING = 120.0  # seconds
MOST_ASKED = 1000  # questions to a child: what a decoder leaks does not add up
KNOWN = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "TMPDIR", "LANG", "LC_ALL")  # what it is told
NOT_OF_THE_FILE = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def isolated() -> bool:
    """Whether videos are decoded in children."""
    return os.environ.get(HERE, "") in ("", "0")


def asked(
    path: Path, question: dict[str, Any], *arrays: np.ndarray, most: float, work: float
) -> Generator[Message, None, None]:
    """What a child answers about a video, message by message. Threads may ask at once.

    Args:
        most: bytes that the arrays of a message may have.
        work: how often the time for a small file may pass until the next message, see `work_of`.

    Raises:
        VideoError: what the child found wrong with the file; or its decoder crashed, was late or wanted too much.
        LongVPOError: a library is missing; or no child can be had, or is left in peace, on this machine.
    """
    facts = path.stat()
    key = (path, facts.st_size, facts.st_mtime_ns)
    if key in _refused:
        raise VideoError(_refused[key])
    seconds = _number(SECONDS, PATIENCE) * (1 + work)
    said, again = False, False
    while True:
        child = _Child() if again else _lent()
        used, whole = child.questions > 0, False
        try:
            child.ask(question | {"path": str(path.absolute())}, *arrays)
            while True:
                message = child.answer(most, seconds)
                whole = bool({"end", "fault"} & message.keys()) and not message.get("memory")
                if "fault" in message:
                    if message.get("memory"):
                        raise MemoryError
                    raise (VideoError if message["video"] else LongVPOError)(message["fault"])
                if message.arrays or not whole:
                    said = True
                    yield message
                if whole:
                    return
        except (TimeoutError, EOFError, MemoryError, ValueError, OSError) as error:
            child.end()
            again = used and not said and not isinstance(error, TimeoutError)
            if not again:
                _refused[key] = child.lost(path.name, error, seconds)
                raise VideoError(_refused[key]) from None
        finally:
            _give_back(child, whole)


def work_of(size: int, pixels: float = 0.0) -> float:
    """How many times longer than a small file this one may take, by its bytes to read and its pixels to decode."""
    return size / 600e6 + pixels / 6e9


class _Child:
    """One process, and the socket by which it is asked.

    Attributes:
        questions: that it was asked.
        used: bytes that it had at most, as far as it was seen.
    """

    def __init__(self) -> None:
        self.questions, self.used, self.began = 0, 0.0, 0
        memory = _number(GIGABYTES, GB) * 1e9
        with suppress(ValueError, OSError, AttributeError):  # macOS may not say
            memory = min(memory, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2)
        found = list(filter(None, sys.path))
        path = os.pathsep.join(found if OURS in found else [OURS, *found])  # a script found longvpo beside itself
        environment = {name: os.environ[name] for name in KNOWN if name in os.environ}
        environment |= {
            **{"PYTHONPATH": path, HERE: "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            # memory of one question is kept for the next: a new allocation costs as much as sending the frames
            **{"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**29)},
        }
        self.gigabytes = memory / 1e9
        with _lock:
            self.socket, theirs = socket.socketpair()
            with theirs:
                self.process = subprocess.Popen(
                    [sys.executable, *COMMAND, str(theirs.fileno()), str(int(memory))],
                    stdin=subprocess.PIPE,  # nothing is ever written: it ends with this process, and with it the child
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=environment,
                )
            _all.add(self)
        try:
            self.began = receive(self.socket, 0, STARTING)["used"]  # the system counts this process to what it forked
        except (OSError, EOFError, ValueError):
            self.end()
            command = " ".join([Path(sys.executable).name, *COMMAND])
            raise LongVPOError(
                f"the process that decodes videos does not start: see what `{command}` says, or set {HERE}=1, which "
                "decodes in this process and bounds nothing"
            ) from None
        except BaseException:
            self.end()
            raise

    def ask(self, question: dict[str, Any], *arrays: np.ndarray) -> None:
        self.questions += 1
        self.socket.settimeout(STARTING)
        send(self.socket, question, *arrays)

    def answer(self, most: float, seconds: float) -> Message:
        return receive(self.socket, most, seconds, self.look)

    def look(self) -> None:
        """See how much memory it has had until now."""
        with suppress(OSError, ValueError, IndexError):  # it has ended, or this is not Linux
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
            self.used = int(status.split("VmHWM:")[1].split()[0]) * 1024

    def end(self) -> None:
        """End the process, if it is there, and see how it ended."""
        with _lock:
            _all.discard(self)
        self.socket.close()
        assert self.process.stdin
        self.process.stdin.close()
        if self.process.returncode is None:
            self.process.returncode = 0
            with suppress(ChildProcessError, ProcessLookupError):  # another waited for all children of this process
                os.kill(self.process.pid, signal.SIGKILL)  # Popen's would ask how it ended, and lose what it used
                _, status, usage = os.wait4(self.process.pid, 0)
                self.process.returncode = os.waitstatus_to_exitcode(status)
                if usage.ru_maxrss > self.began:  # else it is what this process had
                    self.used = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    def lost(self, name: str, error: BaseException, seconds: float) -> str:
        """Why a file is refused whose child failed. Raises LongVPOError where the file is not at fault."""
        if isinstance(error, TimeoutError):
            return f"cannot read {name}: its decoder was not done after {seconds:.0f} s ({SECONDS})"
        if isinstance(error, MemoryError):
            return f"cannot read {name}: its decoder wants more than {self.gigabytes:.3g} GB ({GIGABYTES})"
        code = self.process.returncode or 0
        if isinstance(error, ValueError):
            return f"cannot read {name}: its decoder answered what was not asked"
        ended = signal.Signals(-code).name if code < 0 else f"code {code}"
        if -code == signal.SIGKILL:
            if self.used < HEAVY:
                _full(self.used)
            return f"cannot read {name}: its decoder took {self.used / 1e9:.1f} GB, and the system ended it"
        if -code in NOT_OF_THE_FILE:
            raise LongVPOError(f"the process that decodes videos was ended by {ended}; the same command resumes")
        return f"cannot read {name}: its decoder crashed ({ended})"


def _full(used: float) -> NoReturn:
    had = f", which had only {used / 1e9:.1f} GB" if used else ""
    raise LongVPOError(
        f"the system ended a process that decodes{had}: the memory of this machine is full; set "
        "video.workers or video.cache_gb lower, and the same command resumes"
    )


_refused: dict[tuple[Path, int, int], str] = {}  # why, by the state of a file
_idle: list[_Child] = []
_all: set[_Child] = set()
_lock = Lock()


def _lent() -> _Child:
    """The child that was asked last, or a new one."""
    with suppress(IndexError):  # another thread was quicker
        return _idle.pop()
    return _Child()


def _give_back(child: _Child, whole: bool) -> None:
    if whole and child.questions < MOST_ASKED:
        _idle.append(child)
    elif child in _all:
        child.end()


def _number(name: str, otherwise: float) -> float:
    try:
        number = float(os.environ.get(name) or otherwise)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise LongVPOError(f"the environment variable {name} must be a number above 0, not {os.environ[name]!r}")
    return number


def end_all() -> None:
    """End all children. The next question starts new ones."""
    _idle.clear()
    for child in list(_all):
        child.end()


def _forget() -> None:
    """In a process that was forked, such as one that loads batches: the children are its parent's."""
    _idle.clear()
    for child in _all:
        child.process.returncode = 0  # it is not waited for here
        child.socket.close()
        assert child.process.stdin
        child.process.stdin.close()
    _all.clear()
    _lock.release()


atexit.register(end_all)
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forget)
