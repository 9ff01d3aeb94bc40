"""The process that decodes for another one: see longvpo.video.children.

The rule: it begins in an instant, so it imports no torch, no pydantic and no recipe. Whatever a file does to it, it
answers or ends.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.errors import LongVPOError, VideoError
from longvpo.video import decoders, probe
from longvpo.video.container import reason
from longvpo.video.messages import Message, receive, send

LIFELINE = 0  # standard input, which ends with the process that asks
F_SETSIG = 10  # Linux: the signal that comes when a file can be read


def main() -> None:
    """Answer messages until nobody asks any more.

    The command line has the number of a socket, and the bytes of memory that may be taken.
    """
    number, memory = map(int, sys.argv[1:3])
    parent = socket.socket(fileno=number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    _end_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError, OSError):  # macOS
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    with suppress(OSError):  # where the machine is out of memory, this process goes before the one that asks
        Path("/proc/self/oom_score_adj").write_bytes(b"1000")
    try:
        send(parent, {"used": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss})
        while True:
            parent.settimeout(None)
            question = receive(parent, float("inf"))
            said: dict[str, Any] = {}
            coming = answers(question)
            while not {"end", "fault"} & said.keys():
                try:
                    said, arrays = next(coming, ({"end": True}, ()))
                except Exception as error:
                    said, arrays = fault(error, Path(question["path"])), ()
                send(parent, said, *arrays)
    except (OSError, EOFError):  # nobody asks any more
        return


def answers(question: Message) -> Iterator[tuple[dict[str, Any], tuple[np.ndarray, ...]]]:
    """The answers to a question. Raises LongVPOError, and whatever a hostile file leads to."""
    path, what = Path(question["path"]), question["what"]
    if what == "probe":
        head, arrays = probe.packed(probe.look_into(path))
        yield head | {"end": True}, arrays
        return
    file = probe.unpacked(question["file"], question.arrays)
    if what == "frames":
        yield (
            {"end": True},
            (decoders.read(path, file, question.arrays[2], tuple(question["size"]), question["backend"]),),
        )
    else:
        for times, pictures in decoders.passing(path, file, tuple(question["size"]), question["colors"]):
            yield {}, (times, pictures)


def fault(error: Exception, path: Path) -> dict[str, Any]:
    """What is wrong, in one line: with the file (`video`), or with this machine; `memory`: too little was allowed."""
    chain, memory = error, False
    while chain is not None:
        memory |= isinstance(chain, MemoryError)
        chain = chain.__cause__ or chain.__context__  # type: ignore[assignment]
    known = isinstance(error, LongVPOError)
    text = str(error) if known else f"cannot read {path.name}: {reason(error, path)} ({type(error).__name__})"
    return {"fault": text[:1000], "video": not known or isinstance(error, VideoError), "memory": memory}


def _end_with_parent() -> None:
    """The system ends this process as soon as nothing holds the other end, whatever a decoder is busy with."""
    if sys.platform != "linux":
        return
    fcntl.fcntl(LIFELINE, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(LIFELINE, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(LIFELINE, fcntl.F_SETFL, fcntl.fcntl(LIFELINE, fcntl.F_GETFL) | os.O_ASYNC)
    waiting = select.poll()
    waiting.register(LIFELINE, select.POLLIN)
    if waiting.poll(0):  # it ended before
        os._exit(1)


if __name__ == "__main__":
    main()
