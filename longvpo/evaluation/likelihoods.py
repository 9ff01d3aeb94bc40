"""How likely models find given answers, kept at once, so that nothing is computed twice.

The rule is that of models/journal.py: a likelihood is found by all that decides it, and the first one stands. Of a
request whose frames cannot be read nothing is kept. What is not a number is an error, and is not kept either.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from longvpo.errors import VideoError
from longvpo.evaluation.ask import Asked
from longvpo.io.files import text_hash
from longvpo.io.lines import append_lines, read_lines
from longvpo.models.journal import request_key
from longvpo.models.likelihood import answer_log_probs, check_numbers, letter_log_probs
from longvpo.models.local import LocalWriter
from longvpo.models.writer import Answer, Request
from longvpo.recipe.evaluation import LETTERS

Pair = tuple[Request, str]  # what is asked, and an answer to it, or the letters among which it is


class Likelihoods:
    """Those of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / f"{os.uname().nodename}-{os.getpid()}.jsonl"
        self._known: dict[str, list[float]] = {}
        for line in read_lines(folder):
            if not isinstance(line, list) or len(line) < 2:
                continue  # not ours
            if all(isinstance(one, float) and np.isfinite(one) for one in line[1:]):
                self._known.setdefault(line[0], line[1:])

    def __len__(self) -> int:
        return len(self._known)

    def of(self, writer: LocalWriter, pairs: list[Pair], progress: str) -> list[float]:
        """Of each request's answer, the log-probability of all its tokens, in nats; NaN where its frames cannot be
        read."""

        def sums(*asked: Any) -> list[list[float]]:
            return [[one] for one in answer_log_probs(writer.model, writer.processor, *asked)[0].tolist()]

        found = self._found(writer, pairs, "", sums, progress)
        return [float("nan") if isinstance(one, VideoError) else one[0] for one in found]

    def of_letters(self, writer: LocalWriter, pairs: list[Pair], progress: str) -> list[list[float]]:
        """Of each of a request's letters, the log-probability that it is the answer, in nats. Raises VideoError where
        its frames cannot be read."""
        letters = partial(letter_log_probs, writer.model, writer.processor)
        found = self._found(writer, pairs, "letters ", letters, progress)
        for one in found:
            if isinstance(one, VideoError):
                raise one
        return [one for one in found if not isinstance(one, VideoError)]

    def _found(
        self,
        writer: LocalWriter,
        pairs: list[Pair],
        kind: str,
        compute: Callable[[list[Request], list[str], int], list[list[float]]],
        progress: str,
    ) -> list[list[float] | VideoError]:
        """The numbers of all pairs, in order, or why a pair has none; a batch of which one's are missing is computed
        as a whole. Raises LongVPOError when the model computes what is not a number."""
        faults: dict[str, VideoError] = {}
        keys = [text_hash(f"{request_key(writer, request)} {kind}{answer}") for request, answer in pairs]
        batches = writer.batches([request for request, _ in pairs])
        missing = [batch for batch in batches if any(keys[place] not in self._known for place in batch)]
        with ThreadPoolExecutor(1, thread_name_prefix="frames") as ahead:  # decodes for the next batch meanwhile
            coming = [_decoded(ahead, [pairs[place] for place in batch]) for batch in missing[:1]]
            for batch, after in zip(tqdm(missing, progress, leave=False), [*missing[1:], None], strict=False):
                some = coming.pop()()
                if after:
                    coming.append(_decoded(ahead, [pairs[place] for place in after]))
                read: list[tuple[int, Pair]] = []
                for place, one in zip(batch, some, strict=True):
                    if isinstance(one, VideoError):
                        faults[keys[place]] = one
                    else:
                        read.append((place, one))
                if read:
                    numbers = compute([pair[0] for _, pair in read], [pair[1] for _, pair in read], len(read))
                    check_numbers(writer.name, numbers)
                    self._add({keys[place]: one for (place, _), one in zip(read, numbers, strict=True)})
        return [faults.get(key) or self._known[key] for key in keys]

    def _add(self, found: dict[str, list[float]]) -> None:
        new = {key: one for key, one in found.items() if key not in self._known}
        append_lines(self._file, ([key, *one] for key, one in new.items()))
        self._known |= new


def likeliest(writer: LocalWriter, known: Likelihoods, asked: list[Asked], name: str) -> list[Answer]:
    """The letter that a model finds most likely after each question; among equal ones, the first."""
    pairs = [(one.request, LETTERS[: len(one.exam.options)]) for one in asked]
    found = known.of_letters(writer, pairs, f"letters, {name}")
    return [Answer(letters[int(np.argmax(numbers))]) for (_, letters), numbers in zip(pairs, found, strict=True)]


def _decoded(ahead: ThreadPoolExecutor, pairs: list[Pair]) -> Callable[[], list[Pair | VideoError]]:
    """What gives the same pairs, their frames read: once, where several are about the same. Or why they cannot be."""
    reading: dict[int, Future[np.ndarray]] = {
        id(request.frames): ahead.submit(request.frames) for request, _ in pairs if request.frames
    }

    def wait() -> list[Pair | VideoError]:
        frames = {name: future.exception() or future.result() for name, future in reading.items()}
        return [_given(pair, frames) for pair in pairs]

    return wait


def _given(pair: Pair, frames: dict[int, np.ndarray | BaseException]) -> Pair | VideoError:
    request, answer = pair
    if not request.frames:
        return pair
    found = frames[id(request.frames)]
    if isinstance(found, VideoError):
        return found
    if isinstance(found, BaseException):
        raise found
    return replace(request, frames=lambda: found), answer
