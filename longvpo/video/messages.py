"""What a process and one that decodes for it send each other: a head of JSON, then arrays as they lie in memory.

The rule: neither is trusted with more than it was asked for. Nothing is executed on arrival, as unpickling would, and
no memory is taken beyond what the asker names.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

LENGTH = struct.Struct("<I")
MOST_HEAD = 1 << 20  # bytes
STEP = 0.5  # seconds that count at most where this process is stopped: by Ctrl-Z, or by what shares a cluster
TOGETHER = 1 << 16  # bytes of an array
KINDS = {"<i8", "<f8", "|u1"}  # types of arrays


@dataclass
class Left:
    """How long a message may still take, and what is done meanwhile."""

    seconds: float
    look: Callable[[], None]


class Message(dict[str, Any]):
    """A head, and the arrays that follow it."""

    arrays: tuple[np.ndarray, ...] = ()


def send(to: socket.socket, head: dict[str, Any], *arrays: np.ndarray) -> None:
    """Send a message. Raises OSError where nobody takes it any more."""
    said = json.dumps(head | {"arrays": [[array.dtype.str, array.shape] for array in arrays]}).encode()
    waiting = LENGTH.pack(len(said)) + said  # small parts go together: each one wakes the other process
    for array in arrays:
        if array.nbytes < TOGETHER:
            waiting += array.tobytes()
        else:
            to.sendall(waiting)
            to.sendall(np.ascontiguousarray(array).data.cast("B"))
            waiting = b""
    to.sendall(waiting)


def receive(
    source: socket.socket, most: float, seconds: float | None = None, look: Callable[[], None] = lambda: None
) -> Message:
    """The next message.

    Args:
        most: bytes that its arrays may have together.
        seconds: in which it must be here; None: it may take any time.
        look: called again and again while it is not here.

    Raises:
        TimeoutError: it is late.
        EOFError: nobody sends any more.
        OSError: likewise.
        ValueError: it is none, or larger than it may be.
    """
    left = None if seconds is None else Left(seconds, look)
    (length,) = LENGTH.unpack(_filled(source, bytearray(LENGTH.size), left))
    if length > MOST_HEAD:
        raise ValueError("a head is too long")
    message = Message(json.loads(_filled(source, bytearray(length), left)))
    arrays = []
    for kind, shape in message.pop("arrays"):
        size = math.prod(shape)
        if kind not in KINDS or min(shape, default=0) < 0 or size * np.dtype(kind).itemsize > most:
            raise ValueError("an array is larger than what was asked for")
        arrays.append(np.empty(shape, kind))
        most -= arrays[-1].nbytes
        if size:
            _filled(source, arrays[-1].data.cast("B"), left)
    message.arrays = tuple(arrays)
    return message


def _filled(source: socket.socket, room: Any, left: Left | None) -> Any:
    """The room, filled with the bytes that come next; the seconds that are left grow fewer."""
    view, filled = memoryview(room), 0
    while filled < len(view):
        got = source.recv_into(view[filled:]) if left is None else _got(source, view[filled:], left)
        if not got:
            raise EOFError
        filled += got
    return room


def _got(source: socket.socket, room: memoryview, left: Left) -> int:
    while left.seconds > 0:
        step, began = min(left.seconds, STEP), time.monotonic()
        source.settimeout(step)
        try:
            return source.recv_into(room)
        except TimeoutError:
            left.look()
        finally:
            left.seconds -= min(time.monotonic() - began, STEP)
    raise TimeoutError
