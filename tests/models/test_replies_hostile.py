"""Replies of servers that mean harm: bounded in bytes and time, and each is an answer, a reason or one line."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from support.endpoints import PLAIN, ask, writer_for
from support.fuzz import examples, holds, texts, values
from support.servers import serve

from longvpo.dataset.replies import parse_question, parse_scenes_question, parse_verdict
from longvpo.errors import LongVPOError
from longvpo.models.chat import RefusedError, _TransientError
from longvpo.models.replies import LONGEST, NO_CHARACTER, Reply, read_reply

GOOD = "a red ring"


def answer(content: Any, **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}, "finish_reason": "stop"}], **more}


LINES: dict[str, tuple[str, Callable[[Any], Any] | None, str]] = {  # behaviour, body, what the one line says
    "a body without end": ("endless", None, "failed 2 times: it sent more than 32 MiB"),
    "a body that is packed": ("bomb", None, "failed 2 times: it sent more than 32 MiB"),
    "a deep body": ("ok", lambda good: b'{"choices": ' + b"[" * 300_000, "not an answer of the chat protocol"),
    "half a body of another kind": ("ok", lambda good: b"\xff\xfe{", "not an answer of the chat protocol"),
    "a list": ("ok", lambda good: [good], "not an answer of the chat protocol"),
    "a choice of another kind": ("ok", lambda good: good | {"choices": {"0": 1}}, "not an answer of|without a choice"),
    "a message of another kind": ("ok", lambda good: {"choices": [{"message": [GOOD]}]}, "without a choice"),
    "a long error": ("ok", lambda good: {"error": "e" * 10**6}, "failed 2 times: e{300};"),
}


@pytest.mark.parametrize("name", LINES)
def test_a_reply_that_cannot_be_read_is_one_line(name: str) -> None:
    behaviour, sends, says = LINES[name]
    with serve(behaviour) as server:
        server.sends = sends
        with pytest.raises(LongVPOError, match=says) as error:
            ask(writer_for(server.url, timeout=20, retries=1), PLAIN)
    assert len(str(error.value)) < 1000


# body, text of the answer, what its error says
ANSWERS: dict[str, tuple[Any, str, str]] = {
    "keys twice": (b'{"choices": [], "choices": [{"message": {"content": "a red ring"}}]}', GOOD, ""),
    "halves of characters": (answer("a red\ud800 ring"), GOOD, ""),
    "what steers a terminal": (answer("a \x1b[31mred\x07 ring"), "a [31mred ring", ""),
    "tokens without number": (answer(GOOD, usage={"prompt_tokens": 10**400, "completion_tokens": -5}), GOOD, ""),
    "tokens that are none": (b'{"usage": {"prompt_tokens": NaN}, ' + json.dumps(answer(GOOD)).encode()[1:], GOOD, ""),
    "a huge answer": (answer("a" * (LONGEST + 1)), "", "it sent 524,289 characters, and no answer has more"),
    "a number": (answer(5), "", ""),
    "parts of all kinds": (answer([1, None, {"text": 5}, [{"text": "b"}], GOOD]), GOOD, ""),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_reply_is_an_answer_or_has_a_reason(name: str) -> None:
    sent, text, error = ANSWERS[name]
    with serve("ok") as server:
        server.sends = lambda good: sent
        (found,) = ask(writer_for(server.url, price_in=1.0, price_out=1.0, max_cost=1.0), PLAIN)
    assert found.text == text
    assert error in found.error
    assert (found.prompt_tokens, found.completion_tokens) == (None, None)


@examples(60, 3000)
def test_any_json_is_a_reply_a_refusal_or_one_line(count: int) -> None:
    chat = writer_for("http://localhost:1").chat
    known = st.sampled_from(
        ["choices", "message", "content", "error", "code", "usage", "finish_reason", "text", "type"]
    )
    bodies = st.recursive(
        values | texts,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(known, inner, max_size=4),
        max_leaves=8,
    )
    shaped = st.builds(lambda content, more: answer(content) | {"usage": more}, bodies, bodies)

    def check(body: Any) -> None:
        async def send(*_: Any) -> Any:
            return body

        chat._send = send  # type: ignore[method-assign]
        try:
            found = asyncio.run(chat._try([], {}))
        except (RefusedError, _TransientError, LongVPOError):
            return
        assert isinstance(found, Reply)
        assert NO_CHARACTER.search(found.text) is None

    holds(count, check, bodies | shaped)


PARTS = (  # of texts that take long to read, where a pattern looks again and again
    *(
        "{",
        '{"a":',
        '{"a":[',
        "<think>",
        "</think>",
        '"',
        "<|im_end|>",
        "<s>",
        "<|",
        "<answer>",
        "<|channel|>analysis ",
    ),
    *(
        "<|channel|> x",
        "Here is my thought process:",
        "question: ",
        "question: a answer: ",
        "scene #1",
        " </s>",
        "> * ",
    ),
    *("[INST]", '{"a":"', "assistant\n", " \n", "1.", "\\"),
)


def test_no_text_takes_long_to_read() -> None:
    for part in PARTS:
        text = part * (30_000 // len(part))
        for read in (read_reply, parse_question, parse_verdict, lambda one: parse_scenes_question(one, 4, True)):
            started = time.process_time()
            read(text)
            assert time.process_time() - started < 2, (part, read)
