"""What a server takes, and what it does not take."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.endpoints import PLAIN, QUESTION, ask, film, writer_for
from support.servers import images, serve

from longvpo.errors import LongVPOError
from longvpo.models.journal import request_key
from longvpo.recipe.sections import EndpointSection


# a server's refusal of a body, and which names it is asked by afterwards
def least_16(body: dict[str, Any]) -> str:
    return "Invalid 'max_tokens': integer below minimum value" if body.get("max_tokens", 16) < 16 else ""


REFUSALS: dict[str, tuple[Any, set[str], set[str]]] = {
    "max_tokens": (
        lambda body: "Unsupported: 'max_tokens'. Use 'max_completion_tokens' instead." * ("max_tokens" in body),
        {"max_completion_tokens", "temperature", "seed"},
        {"max_tokens"},
    ),
    "temperature": (
        lambda body: "'temperature' does not support 0.0, only the default (1)." * ("temperature" in body),
        {"max_tokens", "seed"},
        {"temperature"},
    ),
    "seed": (lambda body: "extra fields not permitted: seed" * ("seed" in body), {"max_tokens"}, {"seed"}),
    "at least 16 tokens": (least_16, {"max_tokens", "temperature", "seed"}, set()),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_a_parameter_that_a_server_does_not_take(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    refuses, there, gone = REFUSALS[name]
    with serve("ok") as server:
        server.refuses = refuses
        answers = ask(writer_for(server.url, concurrency=4), *[film(8)] * 6)
        assert not any(answer.flaw for answer in answers)
        last = server.bodies[-1]
    assert there <= set(last)
    assert not gone & set(last)
    assert capfd.readouterr().err.count("from now on") == len(gone)


def test_parameters_of_the_recipe() -> None:
    more = {"reasoning_effort": "low", "seed": None, "chat_template_kwargs": {"enable_thinking": False}}
    with serve("ok") as server:
        writer = writer_for(server.url, parameters=more)
        ask(writer, QUESTION)
    assert server.bodies[0]["reasoning_effort"] == "low"
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert "seed" not in server.bodies[0]
    assert request_key(writer, PLAIN) != request_key(writer_for(server.url), PLAIN), "they decide the answer"
    with pytest.raises(ValueError, match="parameters may not hold model, stream"):
        EndpointSection(url=server.url, parameters={"stream": True, "model": "m"})


@pytest.mark.parametrize(
    ("refuses", "said"),
    [
        (
            lambda body: "no image input here" * (images(body) > 0),
            r"takes no images in the form images .400: no image",
        ),
        (lambda body: "two images at most" * (images(body) > 1), "refuses 2 frames .400: two images.*limit-mm-per"),
        (lambda body: "I am closed", r"refuses every request .400: I am closed"),
    ],
)
def test_what_a_refusal_of_frames_means(refuses: Any, said: str) -> None:
    with serve("ok") as server:
        server.refuses = refuses
        with pytest.raises(LongVPOError, match=said) as failure:
            ask(writer_for(server.url), film(8))
    assert ("max_frames" in str(failure.value)) == ("limit" in said)


@pytest.mark.parametrize("status", [500, 404])
def test_a_status_that_will_never_pass(status: int) -> None:
    """As llama.cpp and a router say it of images where the model has no vision side."""
    with serve("ok") as server:
        server.refuses, server.refuses_with = lambda body: "image input is not supported" * (images(body) > 0), status
        with pytest.raises(
            LongVPOError, match=rf"takes no images in the form images .{status}: image input is not supported"
        ):
            ask(writer_for(server.url), film(8))
        assert len(server.bodies) == 3, "two frames, none and one, each once"


def test_a_count_that_is_not_a_number_spoils_no_answer() -> None:
    with serve("ok") as server:
        server.sends = lambda good: good | {"usage": {"prompt_tokens": math.nan, "completion_tokens": 3}}
        (answer,) = ask(writer_for(server.url), PLAIN)
    assert (answer.text != "", answer.prompt_tokens, answer.completion_tokens) == (True, None, 3)
