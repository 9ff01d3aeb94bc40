"""The models that write and judge: frames and a text in, a text out.

A writer answers batches of requests and hands every batch over as soon as it is done; journal.py keeps it. Equal
requests get equal answers: each carries the seed from which its tokens are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from longvpo.errors import LongVPOError
from longvpo.models.replies import Reply
from longvpo.models.text import Expected
from longvpo.video.joined import Shown


@dataclass(frozen=True)
class Request:
    """What a writer is asked.

    The frames are fetched when their batch comes: those of all requests would not fit in memory.
    """

    text: str
    seed: int = 0
    temperature: float = 0.0  # 0 is greedy
    expects: type[Expected] | None = None  # the object that the answer must hold
    times: tuple[float, ...] = ()  # seconds of the frames, from the start of what is shown; none: only text
    seconds: float = 0.0  # how long that is
    media: str = ""  # names what the frames show: the video's hash, the span and the size
    frames: Callable[[], np.ndarray] | None = field(default=None, compare=False)  # uint8 RGB (times, height, width, 3)

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema of the answer; a server can be held to it."""
        return self.expects.as_schema() if self.expects else None

    @property
    def shown(self) -> Shown:
        """When its frames are on screen."""
        return Shown(self.times, self.seconds)

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.times)


@dataclass(frozen=True)
class Answer:
    """What a writer said, and how it came about."""

    text: str
    form: str = "text"  # schema: the server was held to it; json: it was asked for JSON; repaired: at the second try
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str = ""  # why it cannot be used; then `text` is only what there is of it
    whole: bool = True  # not truncated at max_new_tokens

    @property
    def flaw(self) -> str:
        """The filter that drops it: `cut`, `writer` (its server refused or failed) or `empty`; none for an answer."""
        if not self.whole:
            return "cut"
        if self.error:
            return "writer"
        return "" if self.text.strip() else "empty"


class NoAnswersError(LongVPOError):
    """A server answers, and nothing that it says can be used."""


def answered(reply: Reply, request: Request, form: str = "text") -> Answer:
    """A reply as the answer to its request: one in JSON is whole when its object is, whatever follows that."""
    whole, error = reply.whole, reply.error
    if not whole and request.expects is not None and request.expects.stands_in(reply.text):
        whole, error = True, ""
    return Answer(reply.text, form, reply.prompt_tokens, reply.completion_tokens, error, whole)


Keep = Callable[[int, list[Answer]], None]  # index of the batch, its answers in order


class Writer(Protocol):
    """`name` is model@revision, `settings` all else that decides an answer beside the request.

    `times` is among the settings where the answer depends on how long a video is, beside its frames and their times.
    """

    name: str
    settings: dict[str, Any]

    def batches(self, requests: list[Request]) -> list[list[int]]:
        """The indices of all requests in groups that are answered together; decided only by the requests."""

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        """Answer the batches, in any order, and hand each over when it is done."""


Pairs = list[tuple[str, str, str]]  # a question and two answers
Ask = Callable[[list[Request]], list[Answer]]


@runtime_checkable
class Chooser(Writer, Protocol):
    """A writer that prefers one of two answers, of which `choosing` says how.

    A model on this machine prefers the answer whose tokens are likelier, on average, after the question. A server does
    not say how likely a text is: it is asked which of the two answers is right, their order drawn at random.
    """

    choosing: str

    def prefers(self, pairs: Pairs, ask: Ask, seed: int) -> list[float | None]:
        """For each pair 1 for its first answer, 0 for its second, a half for both; None where it cannot be read."""
