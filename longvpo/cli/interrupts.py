"""Ctrl-C is heard wherever it falls."""

from __future__ import annotations

import sys
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

SECONDS = 0.05  # the destructor has ended by then


@contextmanager
def interrupts_heard() -> Iterator[None]:
    """Raise an interrupt again that fell into a destructor. Python only prints it there, and the work continues."""
    before = sys.unraisablehook

    def hook(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            return before(dropped)
        again = Timer(SECONDS, interrupt_main)
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
