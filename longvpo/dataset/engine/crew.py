"""The workers of a build on Ray: who is free, who was lost, and who takes over what a lost one was at.

The rule: Ray places workers, and says when one is gone. A worker is then replaced by a new one, wherever there is room
for it. Its work goes to a free worker: a build waits for no machine as long as there is another. Ray's own retries,
which keep a call with the worker that lost it, are not used.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import ray
from ray.exceptions import RayError, RayTaskError

from longvpo.dataset.engine.worker import no_memory
from longvpo.errors import LongVPOError, first_line, say

TRIES = 4  # workers that one piece of work may end
PATIENCE = 60.0  # seconds without a worker, before a word on it

Kind = Literal["models", "files"]


@dataclass(eq=False)
class Hand:
    """A worker that is there."""

    actor: Any
    busy: Counter[Kind] = field(default_factory=Counter)  # calls of each kind


class Crew:
    """Workers of one kind, who take calls from any thread.

    Args:
        start: starts a worker, and does not wait for it.
        number: how many there should be.
        files: calls about files that a worker takes at once. It takes two calls about models: it reads frames for one
            while the models work on the other.
    """

    def __init__(self, start: Callable[[], Any], number: int, files: int) -> None:
        self._start, self.number = start, number
        self.at_once: dict[Kind, int] = {"models": 2, "files": files}
        self._hands: list[Hand] = []
        self._starting: list[Any] = []
        self._changed = threading.Condition()
        self._failure: LongVPOError | None = None
        self._failed = 0  # starts, since one went well
        self._closed = False
        for _ in range(number):
            self._add()

    def close(self) -> None:
        """End all workers, and with them the calls that are under way."""
        with self._changed:
            self._closed = True
            actors = [*self._starting, *(hand.actor for hand in self._hands)]
            self._changed.notify_all()
        for actor in actors:
            with suppress(Exception):
                ray.kill(actor)

    def call(self, method: str, *arguments: Any, what: str = "a request", kind: Kind = "models") -> Any:
        """What a method of some worker returns. A worker that is lost meanwhile is replaced, and another one asked.

        Args:
            what: names the work in an error.

        Raises:
            LongVPOError: the work ends every worker that is given it.
        """
        for tried in range(1, TRIES + 1):
            hand = self._take(kind)
            try:
                return ray.get(getattr(hand.actor, method).remote(*arguments))
            except RayTaskError as error:
                if not no_memory(error.cause):
                    raise error.cause from None
                lost: BaseException = error.cause
            except RayError as error:
                lost = error
            finally:
                self._give(hand, kind)
            self._replace(hand)
            if self._closed:
                break
            if tried < TRIES:
                say(f"warning: a worker was lost at {what} ({_reason(lost)}); another one takes it")
        raise LongVPOError(
            f"{what} ended {tried} workers, the last by: {_reason(lost)}. All answers that came are kept. Look into "
            "Ray's logs, or give workers more memory by a smaller writer.batch_size or video.cache_gb, and run the "
            "same command again"
        )

    @contextmanager
    def threads(self, kind: Kind) -> Iterator[ThreadPoolExecutor]:
        """As many threads as calls of a kind may be under way."""
        pool = ThreadPoolExecutor(self.at_once[kind] * self.number, thread_name_prefix="ray")
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # who stops a build waits for nobody

    def over(self, calls: Iterable[Callable[[], Any]], kind: Kind) -> Generator[Any, None, None]:
        """The results of calls, in order; not many more are begun than are asked for."""
        with self.threads(kind) as pool:
            begun: deque[Future[Any]] = deque()
            for call in calls:
                begun.append(pool.submit(call))
                if len(begun) > 2 * self.at_once[kind] * self.number:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()

    def of_each(self, method: str) -> list[Any]:
        """What a method of every worker returns, except for workers that are lost."""
        with self._changed:
            self._wait(lambda: bool(self._hands))
            actors = [hand.actor for hand in self._hands]
        found = []
        for answer in [getattr(actor, method).remote() for actor in actors]:
            try:
                found.append(ray.get(answer))
            except RayTaskError as error:
                raise error.cause from None
            except RayError:  # it is replaced when it is given something
                pass
        return found

    def _add(self) -> None:
        actor = self._start()
        self._starting.append(actor)
        threading.Thread(target=self._welcome, args=(actor,), daemon=True).start()

    def _welcome(self, actor: Any) -> None:
        """Wait until a worker is there."""
        failure: LongVPOError | None = None
        try:
            ray.get(actor.ready.remote())
            there = True
        except RayTaskError as error:
            there, failure = False, _as_ours(error.cause)
        except Exception as error:
            there = False
            if self._failed + 1 >= TRIES:
                failure = LongVPOError(
                    f"{TRIES} workers ended before they were at work, the last by: {_reason(error)}; look into "
                    "Ray's logs"
                )
        with self._changed:
            if actor in self._starting:
                self._starting.remove(actor)
            if self._closed:
                return
            if there:
                self._failed = 0
                self._hands.append(Hand(actor))
            else:
                self._failed += 1
                self._failure = self._failure or failure
                if failure is None:
                    self._add()
            self._changed.notify_all()

    def _take(self, kind: Kind) -> Hand:
        """The worker that has the least to do, when one is free."""

        def free() -> list[Hand]:
            return [hand for hand in self._hands if hand.busy[kind] < self.at_once[kind]]

        with self._changed:
            self._wait(lambda: bool(free()))
            hand = min(free(), key=lambda one: one.busy.total())
            hand.busy[kind] += 1
            return hand

    def _wait(self, there: Callable[[], bool]) -> None:
        """Wait, with the lock, until that is so. Raises LongVPOError where workers cannot start."""
        begin, told = time.monotonic(), False
        while not there():
            if self._failure:
                raise self._failure
            if self._closed:
                raise LongVPOError("the build has ended")
            if not self._hands and not told and time.monotonic() - begin > PATIENCE:
                told = True
                say(f"none of {self.number} workers is there yet: Ray waits for a machine with room (`ray status`)")
            self._changed.wait(1)

    def _give(self, hand: Hand, kind: Kind) -> None:
        with self._changed:
            hand.busy[kind] -= 1
            self._changed.notify_all()

    def _replace(self, hand: Hand) -> None:
        with self._changed:
            if hand not in self._hands:
                return
            self._hands.remove(hand)
            with suppress(Exception):  # one without memory may still be there
                ray.kill(hand.actor)
            if not self._closed:
                self._add()


def _as_ours(error: Exception) -> LongVPOError:
    return error if isinstance(error, LongVPOError) else LongVPOError(f"a worker cannot start: {first_line(error)}")


def _reason(error: BaseException) -> str:
    """What Ray or a library says of it, in one line: what a traceback ends with, or else how the text begins."""
    lines = [line.strip() for line in re.sub(r"\x1b\[\d*m", "", str(error)).splitlines() if line.strip()]
    traced = any(line.startswith("Traceback") or "creation task" in line for line in lines)
    return (lines or [type(error).__name__])[-1 if traced else 0][:200]
