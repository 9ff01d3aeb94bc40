"""Where the time of a step goes: wall seconds by phase, while a run is being profiled.

The rule: the time of a phase inside another one is subtracted from it. On a GPU each begins and ends when the work
before it is done. So a profiled step is a little slower than others, and what it says of itself adds up.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch

WHOLE = "backward"  # what happens inside is not taken out of it: checkpointing computes everything again there


class Phases:
    """Seconds by phase, since the start."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    def enter(self, name: str) -> None:
        self._charge()
        self._open.append(WHOLE if WHOLE in self._open else name)

    def leave(self) -> None:
        self._charge()
        self._open.pop()

    def _charge(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


_recorded: list[Phases] = []  # the one that records, if any


@contextmanager
def recording() -> Iterator[Phases]:
    """The phases of all that is computed inside."""
    phases = Phases()
    _recorded.append(phases)
    try:
        yield phases
    finally:
        _recorded.remove(phases)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """A part of a step; it costs nothing where nobody records."""
    if not _recorded:
        yield
        return
    phases = _recorded[-1]
    phases.enter(name)
    try:
        yield
    finally:
        phases.leave()
