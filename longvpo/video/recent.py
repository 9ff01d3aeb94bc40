"""What was made lately, kept in memory as long as it fits; the least recently used leaves first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by their keys. Threads may share them.

    Args:
        limit: bytes that all values may have together.
        size: the bytes of a value.
        least: values that stay even where they are larger than the limit.
    """

    def __init__(self, limit: float, size: Callable[[Value], int], least: int = 0) -> None:
        self.limit, self.size, self.least = limit, size, least
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def shared_by(self, number: int) -> None:
        """Leave every one of so many processes, each with values of its own, its part of the limit."""
        self.limit /= number

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        with self._lock:
            if key in self._values:  # another thread was quicker
                return
            self._values[key] = value
            self._bytes += self.size(value)
            while self._bytes > self.limit and len(self._values) > self.least:
                self._bytes -= self.size(self._values.popitem(last=False)[1])
