"""Ctrl-C is heard wherever it falls."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer, main_thread
from typing import Any

SECONDS = 0.05  # the destructor has ended by then


@contextmanager
def interrupts_heard() -> Iterator[None]:
    """Raise an interrupt again that fell into a destructor. Python only prints it there, and the work continues."""
    before = sys.unraisablehook

    def hook(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            return before(dropped)
        again = Timer(SECONDS, signal.pthread_kill, (main_thread().ident, signal.SIGINT))  # wakes it, if it waits
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
