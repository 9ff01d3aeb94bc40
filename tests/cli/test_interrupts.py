"""Ctrl-C that falls into a destructor, or into a generator that nobody asks any more, still ends the work."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from longvpo.cli.interrupts import interrupts_heard
from longvpo.dataset.engine import local
from longvpo.dataset.material import BlockPlan


class Last:
    def __init__(self, sent: signal.Signals | None) -> None:
        self.sent = sent

    def __del__(self) -> None:
        if self.sent is None:
            raise ValueError("another fault")
        signal.raise_signal(self.sent)


def test_an_interrupt_in_a_destructor_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    other: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", other.append)
    with interrupts_heard():
        Last(signal.SIGINT)
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            time.sleep(20)
    assert time.monotonic() - started < 10, "a call that waits is woken"
    with interrupts_heard():
        Last(None)
    assert [one.exc_type for one in other] == [ValueError], "what is no interrupt is told as before"
    assert sys.unraisablehook == other.append


def test_an_interrupt_while_the_threads_of_a_round_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The last block is made, and the threads that decoded for it are told to end."""

    def opened(*words: Any) -> Iterator[tuple[Any, ...]]:
        try:
            yield (None,)
        finally:
            raise KeyboardInterrupt

    monkeypatch.setattr(local, "opened", opened)
    monkeypatch.setattr(local, "write_block", MagicMock())
    monkeypatch.setattr(local, "Block", MagicMock())
    plan = BlockPlan(tmp_path / "00000.npz", {}, 0)
    nothing = MagicMock()
    with pytest.raises(KeyboardInterrupt):
        list(local.LOCAL.blocks([plan], set(), nothing, nothing, nothing))
