"""What processes send each other is here in time, by the clock of a process that runs."""

from __future__ import annotations

import socket
from typing import Any

import numpy as np
import pytest

from longvpo.video import messages
from longvpo.video.messages import receive, send


class Clock:
    """A socket that nobody writes to in time, and what its waiting does to the time."""

    def __init__(self, real: socket.socket, pauses: list[float]) -> None:
        self.real, self.pauses, self.now = real, pauses, 0.0
        self.settimeout = real.settimeout

    def recv_into(self, room: Any) -> int:
        if self.pauses:
            self.now += self.pauses.pop()
            raise TimeoutError
        return self.real.recv_into(room)


def test_a_process_that_is_stopped_for_an_hour_does_not_find_that_it_waited_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(theirs, {"all": "well"}, np.arange(3))
        clock: Any = Clock(ours, [3600.0, 3600.0])
        monkeypatch.setattr(messages.time, "monotonic", lambda: clock.now)
        found = receive(clock, 24, seconds=2)
        assert (found, found.arrays[0].tolist()) == ({"all": "well"}, [0, 1, 2])
        clock.pauses = [messages.STEP] * 5
        with pytest.raises(TimeoutError):
            receive(clock, 24, seconds=2)
