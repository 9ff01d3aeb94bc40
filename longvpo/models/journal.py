"""What was asked and what was answered, kept at once, so that nothing is asked twice and no answer is lost.

The rule: an answer is found by the content of its question, never by its place in a build. The content is the model,
settings, text, schema, frames with their times, temperature and seed. The first answer to a question stands. A build
keeps only whole, usable answers: what has a flaw is data for the run that got it, and a later run asks again. An
evaluation keeps cut and empty ones too: they count. What an earlier version kept is read as a reply of today.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from longvpo.errors import LongVPOError
from longvpo.io.lines import append_lines, read_lines
from longvpo.models.replies import read_reply
from longvpo.models.revision import identity
from longvpo.models.writer import Answer, Request, Writer

KEPT = ("text", "form", "prompt_tokens", "completion_tokens")  # the fields of an answer without a flaw


class Journal:
    """The answers of a folder. `asked` counts those that this run had to ask for.

    Args:
        flaws: an answer with one of them is kept as well.
        mark: ends the name of the file that it writes, where the machine and the process do not tell writers apart.
    """

    def __init__(self, folder: Path, flaws: tuple[str, ...] = (), mark: str = "") -> None:
        if folder.exists() and not folder.is_dir():
            raise LongVPOError(f"the journal {folder} is a file: give --journal a folder, there or not")
        self.folder, self._flaws = folder, ("", *flaws)
        self.asked = 0
        self._answers: dict[str, Answer] = {}
        self._writers: set[str] = set()  # by their names
        self._file = folder / f"{os.uname().nodename}-{os.getpid()}{mark}.jsonl"
        self._read: dict[Path, int] = {}
        self.read_on()

    def read_on(self) -> None:
        """Read what other processes have written by now."""
        for record in read_lines(self.folder, self._read):
            key, answer = _read(record)
            if answer is not None and answer.flaw in self._flaws:
                self._answers.setdefault(key, answer)
                self._writers.add(str(record.get("writer", "")))

    def __len__(self) -> int:
        return len(self._answers)

    def ask(self, writer: Writer, requests: list[Request], progress: str) -> list[Answer]:
        """Answers in the order of the requests; only those that no run had before are asked for.

        A batch with a missing answer is asked again as a whole, because a model's answers depend a little on the rest
        of the batch.

        Args:
            progress: name of a bar; empty for none.
        """
        return self.ask_batches(writer, requests, writer.batches(requests), progress)

    def ask_batches(
        self, writer: Writer, requests: list[Request], batches: list[list[int]], progress: str
    ) -> list[Answer]:
        """As `ask`, where it is known which requests go together.

        Args:
            batches: the indices of all requests.
        """
        keys = [self._key(writer, request) for request in requests]
        missing = [batch for batch in batches if any(keys[index] not in self._answers for index in batch)]
        with tqdm(total=sum(map(len, missing)), desc=progress, disable=not (missing and progress), leave=False) as bar:

            def keep(number: int, answers: list[Answer]) -> None:
                self._append(writer, {keys[i]: answer for i, answer in zip(missing[number], answers, strict=True)})
                bar.update(len(answers))

            if missing:
                writer.write([[requests[index] for index in batch] for batch in missing], keep)
        return [self._answers[key] for key in keys]

    def has(self, writer: Writer, request: Request) -> bool:
        """Whether it was answered before."""
        return self._key(writer, request) in self._answers

    def _key(self, writer: Writer, request: Request) -> str:
        """The request's key; that of the same model under another folder's name, where that one answered it."""
        key = request_key(writer, request)
        if key not in self._answers:
            same = identity(writer.name)
            for name in self._writers - {writer.name}:
                other = request_key(writer, request, name) if identity(name) == same else key
                if other in self._answers:
                    return other
        return key

    def _append(self, writer: Writer, answers: dict[str, Answer]) -> None:
        new = {key: answer for key, answer in answers.items() if not self._stands(key)}
        self._keep(writer, {key: answer for key, answer in new.items() if answer.flaw in self._flaws})
        self._answers |= new
        self.asked += len(answers)

    def _keep(self, writer: Writer, answers: dict[str, Answer]) -> None:
        lines = ({"key": key, "writer": writer.name, "answer": _kept(answer)} for key, answer in answers.items())
        append_lines(self._file, lines)

    def _stands(self, key: str) -> bool:
        """Whether there is an answer that is kept; any other gives way to the next."""
        known = self._answers.get(key)
        return known is not None and known.flaw in self._flaws


def _kept(answer: Answer) -> dict[str, Any]:
    """The fields of an answer that a line has."""
    return {name: getattr(answer, name) for name in (*KEPT, *(("error", "whole") if answer.flaw else ()))}


def _read(record: Any) -> tuple[str, Answer | None]:
    """Key and answer of a line; no answer where something else wrote it."""
    try:
        key, answer = record["key"], Answer(**record["answer"])
    except (TypeError, KeyError):
        return "", None
    counts = (answer.prompt_tokens, answer.completion_tokens)
    texts = (key, answer.text, answer.form, answer.error)
    if not all(isinstance(one, str) for one in texts) or not all(one is None or type(one) is int for one in counts):
        return "", None
    if not isinstance(answer.whole, bool):
        return "", None
    read = read_reply(answer.text).text
    return key, answer if read == answer.text.strip() else replace(answer, text=read)


def request_key(writer: Writer, request: Request, name: str | None = None) -> str:
    """sha256 of all that decides the answer; `name` is the writer's, where it had another."""
    said = [
        name or writer.name,
        writer.settings,
        request.text,
        request.schema,
        request.media,
        list(request.times),
        request.temperature,
        request.seed,
    ]
    if "times" in writer.settings:
        said.append(request.seconds)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
