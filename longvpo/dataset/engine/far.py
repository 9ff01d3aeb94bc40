"""Writers and an embedder that are elsewhere: with the workers of a build. What is asked here, they answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, as_completed
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from longvpo.clips.request import FramesOfClips
from longvpo.dataset.engine.worker import About
from longvpo.models.journal import Journal
from longvpo.models.writer import Answer, Ask, Keep, Pairs, Request, Writer

if TYPE_CHECKING:
    import numpy as np

    from longvpo.dataset.engine.crew import Crew


class FarJournal(Journal):
    """What workers are answered, they write down; here it is only known."""

    def _keep(self, writer: Writer, answers: dict[str, Answer]) -> None:
        pass


class FarEmbedder:
    """Embeds texts as the workers do."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew

    def texts(self, texts: list[str]) -> np.ndarray:
        """Unit vectors, float32 of shape (n, dimension)."""
        vectors: np.ndarray = self.crew.call("texts", texts, what="texts to embed")
        return vectors


class FarWriter:
    """A writer that every worker has; batches go to whoever is free."""

    def __init__(self, crew: Crew, role: str, about: About) -> None:
        self.crew, self.role, self.about = crew, role, about
        self.name, self.settings = about.name, about.settings

    def batches(self, requests: list[Request]) -> list[list[int]]:
        found: list[list[int]] = self.crew.call(
            "batches", self.role, self.name, [replace(one, frames=None) for one in requests]
        )
        return found

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        with self.crew.threads("models") as pool:
            sent: dict[Future[list[list[Answer]]], range] = {}
            for places in self._together(len(batches)):
                some = [[sendable(request) for request in batches[place]] for place in places]
                named = f"a batch of requests to the {self.role.replace('_', ' ')}"
                sent[pool.submit(self.crew.call, "answer", self.role, self.name, some, what=named)] = places
            for done in as_completed(sent):
                for place, answers in zip(sent[done], done.result(), strict=True):
                    keep(place, answers)

    def _together(self, number: int) -> Iterator[range]:
        """The batches of each call: all workers get some."""
        size = max(1, min(self.about.together, -(-number // self.crew.number)))
        for start in range(0, number, size):
            yield range(start, min(start + size, number))


class FarChooser(FarWriter):
    """One that prefers one of two answers."""

    def __init__(self, crew: Crew, role: str, about: About) -> None:
        super().__init__(crew, role, about)
        self.choosing = about.choosing or ""

    def prefers(self, pairs: Pairs, ask: Ask, seed: int) -> list[float | None]:
        found: list[float | None] = self.crew.call(
            "prefers", self.role, self.name, pairs, seed, what="the text-only baseline"
        )
        return found


def far(crew: Crew, role: str, about: dict[str, About]) -> Any:
    """The writer of a role; None where a build has none."""
    one = about.get(role)
    return one and (FarWriter if one.choosing is None else FarChooser)(crew, role, one)


def sendable(request: Request) -> Request:
    """A request without this process's frames: who answers it reads them."""
    frames = request.frames
    if not isinstance(frames, FramesOfClips):
        return request
    return replace(request, frames=replace(frames, frames_of=None))  # type: ignore[arg-type]
