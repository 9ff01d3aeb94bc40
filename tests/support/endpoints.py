"""Writers behind a server, and what they are asked."""

from __future__ import annotations

from typing import Any

import numpy as np

from longvpo.dataset.replies import Question
from longvpo.models.endpoint import EndpointWriter
from longvpo.models.writer import Answer, Request
from longvpo.recipe.sections import EndpointSection, WriterSection

KEY = "sk-very-secret"


QUESTION = Request("Ask something.", seed=7, temperature=0.7, expects=Question)


PLAIN = Request("Say something.", seed=8)


def writer_for(url: str, model: str = "some/model", max_new_tokens: int = 64, **options: Any) -> EndpointWriter:
    options = {"timeout": 2.0, "retries": 2, **options}
    section = WriterSection(model=model, max_new_tokens=max_new_tokens, endpoint=EndpointSection(url=url, **options))
    assert section.endpoint is not None
    return EndpointWriter(section, section.endpoint)


def ask(writer: EndpointWriter, *requests: Request) -> list[Answer]:
    """Answers in order; the journal does this in a build."""
    answers: dict[int, Answer] = {}
    writer.write([[request] for request in requests], lambda number, batch: answers.update({number: batch[0]}))
    return [answers[number] for number in range(len(requests))]


def film(count: int, height: int = 48, width: int = 64) -> Request:
    """A request whose frames grow brighter."""
    frames = np.stack([np.full((height, width, 3), 3 * i, np.uint8) for i in range(count)])
    return Request("What is seen?", times=tuple(i + 0.5 for i in range(count)), seconds=count, frames=lambda: frames)
