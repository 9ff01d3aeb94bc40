"""What a model said: read in one place, kept only where it is a whole answer, and no key in what is printed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support.endpoints import KEY, PLAIN, QUESTION, ask, film, writer_for
from support.servers import GOOD, images, serve

from longvpo.clips.filters import Refusal, unanswered
from longvpo.clips.rows import Dropped
from longvpo.dataset.replies import parse_question
from longvpo.errors import LongVPOError, hide, sendable
from longvpo.models.address import address_of, cleaned, http_client
from longvpo.models.journal import Journal, request_key
from longvpo.models.load import load_processor
from longvpo.models.local import local_reply
from longvpo.models.replies import read_text
from longvpo.models.text import find_json
from longvpo.models.writer import Answer, NoAnswersError, Request
from longvpo.recipe.sections import EndpointSection, ModelSection

assert "a fixture of all tests here"
ANSWER = "a red ring, I think"
DRAFT = '{"question": "what is it?", "answer": "a square, perhaps"}'


@pytest.mark.parametrize(
    "said",
    [
        ANSWER,
        f"<think>\nHm. {DRAFT}\n</think>\n\n{ANSWER}",
        f"The user wants {DRAFT}.\n</think>\n\n{ANSWER}",
        f"<thinking>x</thinking> {ANSWER}",
        f"<THINK>x</THINK>{ANSWER}",
        f"<seed:think>x</seed:think>{ANSWER}",
        f"[THINK]x[/THINK]{ANSWER}",
        f"◁think▷x◁/think▷{ANSWER}",
        f"<think>I must end with </think> and then say it</think>{ANSWER}",
        f"<think>a <think>b</think> c</think>{ANSWER}",
        f"<think>a</think>{ANSWER[:5]}<think>b</think>{ANSWER[5:]}",
        f"<think></think><answer>{ANSWER}</answer>",
        f"<think>x</think><|begin_of_box|>{ANSWER}<|end_of_box|>",
        f"<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
        f"<|channel|>final <|constrain|>text<|message|>{ANSWER}",
        f"analysisThe user wants it.assistantfinal{ANSWER}",
        f"<|channel>thought\nx\n<channel|>{ANSWER}<turn|>",
        f"{ANSWER}<|im_end|>\n<|im_start|>user\nand?",
        f"{ANSWER}</s>",
        f"<s> {ANSWER}<|eot_id|>",
        f"<|im_start|>assistant\n{ANSWER}<｜end▁of▁sentence｜>",
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{ANSWER}",
        f"assistant\n\n{ANSWER}",
        f"{ANSWER}\x00\ud83d",
        f"The user asks. It is red.</think>{ANSWER}",
        f"hm\nhm</think>{ANSWER}",
        f"hm hm </think>\n{ANSWER}",
        f"<s><think>The tag </think> is red. Is it?</think> {ANSWER}",
        f"<antThinking>x</antThinking\n>{ANSWER}",
        f"Here is my thought process: x\nHere is my response: {ANSWER}",
        f"{ANSWER}</s><s>[INST] more",
        f"[/INST] {ANSWER}<pad><pad>",
        f"{ANSWER}<end_of_turn>\n<start_of_turn>user\nmore",
    ],
)
def test_thinking_and_control_tokens_are_no_part_of_an_answer(said: str) -> None:
    reply = read_text(said)
    assert (reply.text, reply.error, reply.whole) == (ANSWER, "", True)


@pytest.mark.parametrize(
    "said",
    [
        "analysis of a <b>ring</b> | a < b > c",
        "<output>a</output> or <output>b</output>",
        "a [thought] <image> <video>",
        'it says {"a": 1}',
        "1 <2|> 3",
        "The code on the slide ends with </think> in red letters.",
        'He wears a shirt that says "<think>".',
        "The slide says <think> and </think> in green",
        "One line.\nThe tag </think> is red.",
        '{"question": "Which tag follows <think> on it?", "answer": "</think>\nand <|im_end|>"}',
        "https://example.org/?d=<think>e",
        "The screen shows [INST] in red",
        "<s>5$</s> 3$",
        '{"question": "what does </s> mean?", "answer": "an end"}',
    ],
)
def test_what_is_no_control_token_stays(said: str) -> None:
    assert read_text(f"  {said}\n").text == said


def test_a_turn_ends_after_braces_too() -> None:
    assert read_text("set {1,2}<|im_end|>\n<|im_start|>user\nmore").text == "set {1,2}"
    assert read_text('{"a": "b<|im_end|>"}</s>').text == '{"a": "b<|im_end|>"}'
    assert find_json('{"a": "what is </s> for?"}') == {"a": "what is </s> for?"}


def test_thinking_without_an_end_is_no_answer() -> None:
    for said in (f"<think>{DRAFT}", f"red <think>{DRAFT}", f"<|channel|>analysis<|message|>{DRAFT}", "analysisWe"):
        assert read_text(said).text == ""
        assert "thinking" in read_text(said).error
        cut = read_text(said, whole=False, limit=64)
        assert (cut.text, cut.whole) == ("", False)
        assert "max_new_tokens (64)" in cut.error
        assert "thinking off" in cut.error


def test_halves_of_a_character() -> None:
    assert read_text("a \ud83d\ude00 b").text == "a 😀 b", "two halves make one"
    found = find_json('{"question": "a \\ud83d b", "answer": ["\\ud83d\\ude00", {"x": "y<|im_end|>"}]}')
    assert found == {"question": "a  b", "answer": ["😀", {"x": "y"}]}
    json.dumps(found, ensure_ascii=False).encode()


def test_the_form_of_a_question_is_no_question() -> None:
    assert isinstance(parse_question('{"question": "...", "answer": "..."}'), Refusal)


# what a server sends in place of a good reply, and flaw and error of the answer
def message(finish: str | None = "stop", **parts: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", **parts}, "finish_reason": finish}


REPLIES: dict[str, tuple[dict[str, Any], str, str]] = {
    "one part": (message(content=[{"type": "text", "text": ANSWER}]), "", ""),
    "parts": (
        message(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, *(
            {"type": "text", "text": part} for part in (ANSWER[:5], ANSWER[5:])
        )]),
        "",
        "",
    ),
    "reasoning beside it": (message(content=ANSWER, reasoning_content="hm"), "", ""),
    "no end named": (message(None, content=ANSWER), "", ""),
    "cut": (message("length", content=ANSWER), "cut", r"cut at max_new_tokens \(64\): 'a red ring"),
    "cut by another word": (message("MAX_TOKENS", content=ANSWER), "cut", "cut at"),
    "cut, with the class": (message("FinishReason.MAX_TOKENS", content=ANSWER), "cut", "cut at"),
    "truncated": (message("truncated", content=ANSWER), "cut", "cut at"),
    "guarded": (message("guardrail_intervened", content="a"), "writer", "the model refused: .*guardrail"),
    "a thought": (message(content=[{"text": "hm", "thought": True}, {"text": ANSWER}]), "", ""),
    "cut in reasoning": (message("length", content=None, reasoning_content="hm"), "cut", "went into thinking"),
    "cut in thinking": (message("length", content="<think>hm"), "cut", "went into thinking"),
    "reasoning alone": (message(content=None, reasoning="hm"), "writer", "reasoning holds all"),
    "filtered": (message("content_filter", content="a red"), "writer", "the model refused: .*content_filter"),
    "refused": (message(content=None, refusal="I can't\nhelp."), "writer", r"the model refused: I can't help\."),
    "refused in parts": (message(content=[{"type": "refusal", "refusal": "No."}]), "writer", "refused: No"),
    "a tool": (message("tool_calls", content=None, tool_calls=[]), "writer", "called a tool"),
    "nothing": (message(content=" \n"), "empty", ""),
    "null": (message(content=None), "empty", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", REPLIES)
def test_what_a_server_sends(name: str, tmp_path: Path) -> None:
    choice, flaw, error = REPLIES[name]
    with serve("ok") as server:
        server.sends = lambda good: good | {"choices": [{"index": 0, **choice}]}
        journal = Journal(tmp_path)
        (answer,) = journal.ask(writer_for(server.url), [PLAIN], "")
        (again,) = journal.ask(writer_for(server.url), [PLAIN], "")
        assert len(server.bodies) == 1, "within a run it is data, and not asked again"
    assert answer == again
    assert answer.flaw == flaw
    if flaw:
        assert re.search(error, answer.error)
    else:
        assert (answer.text, answer.error) == (ANSWER, "")
    with serve("ok") as server:
        server.says = lambda body: ANSWER
        later = Journal(tmp_path)
        assert later.ask(writer_for(server.url), [PLAIN], "")[0].text == ANSWER
        assert later.asked == len(server.bodies) == (1 if flaw else 0), "a later run asks again for what has no answer"


@pytest.mark.parametrize(
    ("sent", "said", "made"),
    [
        ({"error": {"message": "requires more credits", "code": 402}}, "asks for payment .402: requires more", 1),
        ({"error": {"message": "overloaded", "code": 503}}, "failed 3 times: 503: overloaded", 3),
        ({"error": "it broke"}, "failed 3 times: it broke", 3),
        ({"detail": "come back later"}, "failed 3 times: come back later", 3),
        ({"object": "error", "message": "no such key", "code": 401}, "does not let us in .401: no such key", 1),
        ({"choices": [{"finish_reason": "error", **message("error", content="")}]}, "failed 3 times: .*error", 3),
        ({"choices": [message(content="") | {"error": {"code": 502, "message": "Provider broke"}}]}, "502: Prov", 3),
        ({"error": {"code": 502}, "choices": [message(content=ANSWER)]}, "failed 3 times: 502", 3),
        ({"choices": [message(content=ANSWER)], "usage": {"prompt_tokens": float("nan")}}, "not an answer of the", 3),
        ({"choices": ["half"]}, "not an answer of the chat protocol", 3),
    ],
)
def test_an_error_in_a_good_status(sent: dict[str, Any], said: str, made: int, tmp_path: Path) -> None:
    with serve("ok") as server:
        server.sends = lambda good: sent
        with pytest.raises(LongVPOError, match=said):
            Journal(tmp_path).ask(writer_for(server.url), [PLAIN], "")
        assert len(server.bodies) == made
    assert Journal(tmp_path).tokens() == (0, 0)


def test_a_draft_inside_thinking_is_never_taken() -> None:
    with serve("ok") as server:
        server.says = lambda body: f"<think>{DRAFT} or {DRAFT}</think>{GOOD}"
        (answer,) = ask(writer_for(server.url), QUESTION)
    assert (answer.text, answer.form) == (GOOD, "schema")


def test_a_server_that_gives_nothing_is_named_across_batches() -> None:
    with serve("ok") as server:
        server.sends = lambda good: good | {"choices": [message(content=None, refusal="I will not.")]}
        writer = writer_for(server.url)
        answers = ask(writer, *[PLAIN] * 6)
        assert [answer.flaw for answer in answers] == ["writer"] * 6
        with pytest.raises(NoAnswersError, match=r"refuses every request: the model refused: I will not\.; 0 answers"):
            ask(writer, *[PLAIN] * 6)
        server.sends = lambda good: good | {"choices": [message("length", content="it")]}
        with pytest.raises(NoAnswersError, match=r"gives no answer that can be used: it was cut at max_new_tokens"):
            ask(writer_for(server.url), *[PLAIN] * 9)


def test_a_build_without_answers_says_what_the_models_did() -> None:
    silent = [Dropped(str(n), "cut", "it was cut", 0.0, {"prompt": "?"}) for n in range(3)]
    others = [Dropped(str(n), "equal", "", 1.0, {"prompt": "?"}) for n in range(4)]
    assert unanswered([*silent, Dropped("v", "video", "torn")]).endswith("3 times of 3, most often: it was cut")
    assert unanswered([*silent, *others]) == ""
    assert unanswered([]) == ""


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


def test_an_old_journal_is_read_as_replies_of_today(tmp_path: Path) -> None:
    with serve("ok") as server:
        writer = writer_for(server.url)
        requests = [Request(str(number)) for number in range(6)]
        old = [
            {"text": "", "error": "400: too long"},
            {"text": ""},
            {"text": f"<think>x</think>{ANSWER}"},
            {"text": "<think>x"},
            {"text": "a \ud83d b"},
            {"text": f" {ANSWER}"},
        ]
        lines = [
            json.dumps({"key": request_key(writer, request), "answer": answer})
            for request, answer in zip(requests, old, strict=True)
        ]
        (tmp_path / "old.jsonl").write_text("\n".join(lines))
        journal = Journal(tmp_path)
        answers = journal.ask(writer, requests, "")
        assert [answer.text for answer in answers] == [GOOD, GOOD, ANSWER, GOOD, "a  b", f" {ANSWER}"]
        assert journal.asked == 3


def test_a_torn_line_takes_no_answer_with_it(tmp_path: Path) -> None:
    (tmp_path / f"{os.uname().nodename}-{os.getpid()}.jsonl").write_text('{"key": "abc", "answer": {"text": "cut he')
    with serve("ok") as server:
        writer = writer_for(server.url)
        Journal(tmp_path).ask(writer, [PLAIN, QUESTION], "")
        later = Journal(tmp_path)
        later.ask(writer, [PLAIN, QUESTION], "")
    assert later.asked == 0


def test_what_is_no_line_of_a_journal_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    good = {"key": "k", "answer": {"text": ANSWER}}
    lines = [
        json.dumps(good),
        json.dumps(good | {"key": ["k"]}),
        json.dumps({"key": "l", "answer": {"text": ANSWER, "prompt_tokens": "5"}}),
        json.dumps({"key": "l", "answer": {"text": 5}}),
        "[" * 100_000,
        "[]",
    ]
    (tmp_path / "old.jsonl").write_text("\n".join(lines))
    journal = Journal(tmp_path)
    assert journal.tokens() == (0, 0)
    assert set(journal._answers) == {"k"}


def test_a_model_on_this_machine_is_read_alike() -> None:
    tokenizer = load_processor(ModelSection(model="tiny", dtype="float32")).tokenizer
    end, pad, video = tokenizer.convert_tokens_to_ids(["<|end|>", "<pad>", "<video>"])
    red = tokenizer("red ring", add_special_tokens=False)["input_ids"]
    assert local_reply(tokenizer, [*red, end, pad, pad], end, 5).text == "red ring"
    assert local_reply(tokenizer, [*red, end], [7, end], len(red) + 1).whole
    cut = local_reply(tokenizer, red, end, len(red))
    assert (cut.text, cut.whole) == ("red ring", False)
    assert local_reply(tokenizer, [*red, video, *red, end], end, 9).text == "red ring", "a control token ends it"


def test_no_key_is_printed_in_any_form() -> None:
    key = "sk-very'se cret/+==\n\u200bsecond-line"
    for said in (
        repr(key), repr(key.encode()), json.dumps(key), ascii(key), quote(key, safe=""),
        "second-line", f"Bearer {key}", key.encode("unicode_escape").decode(),
    ):  # fmt: skip
        hidden = hide(f"the server said: {said}", key)
        assert "second" not in hidden
        assert "very" not in hidden
        assert "cret" not in hidden
    assert hide("a text", None) == hide("a text", "") == "a text"


@pytest.mark.parametrize("around", ["{}\n", " {}\r\n", "\ufeff{}", "{}\u200b", "\t{} "])
def test_what_stands_around_a_key_is_no_part_of_it(around: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", around.format(KEY))
    with serve("ok") as server:
        ask(writer_for(server.url, api_key_env="TEST_KEY"), PLAIN)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("key", [f"{KEY}\nsk-second", f"sk-12\u200b{KEY}", f"{KEY}é", "\u200b", f"{KEY}\x00"])
def test_a_key_that_cannot_be_sent(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, "TEST_KEY": key})
    with serve("ok") as server, pytest.raises(LongVPOError) as failure:
        writer_for(server.url, api_key_env="TEST_KEY")
    assert "TEST_KEY (endpoint.api_key_env)" in str(failure.value)
    assert "secret" not in str(failure.value)
    assert "\n" not in str(failure.value)
    assert not server.bodies
    with pytest.raises(LongVPOError, match="the token"):
        sendable(key, "the token")


def test_a_server_cannot_show_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve("ok") as server:
        long = "x" * 290
        server.refuses = lambda body: f"{long} {KEY} and hf_of_the_user"
        (answer,) = ask(writer_for(server.url, api_key_env="TEST_KEY"), PLAIN)
        server.sends, server.refuses = lambda good: {"error": f"no {KEY}"}, lambda body: ""
        with pytest.raises(LongVPOError) as failure:
            ask(writer_for(server.url.replace("//", "//user:pass-word@"), api_key_env="TEST_KEY"), PLAIN)
    for said in (answer.error, str(failure.value)):
        assert "sk-" not in said
        assert "hf_" not in said
        assert "pass-word" not in said


def test_a_key_in_an_address_is_hidden_part_by_part() -> None:
    section = EndpointSection(url="http://us%40er-name:pass%2Fword@h/v1?key=AIza%2BSECRET0099&v=1")
    for said in ("AIza%2BSECRET0099", "AIza+SECRET0099", "pass/word", "pass%2Fword", "us@er-name"):
        assert cleaned(f"not valid: {said}.", section, None) == "not valid: ***."
    assert cleaned("v=1 of 1", section, None) == "v=1 of 1"


def test_a_scheme_in_capitals_is_no_model_on_the_hub() -> None:
    assert address_of(EndpointSection(url="HTTP://Host/V1")) == "http://Host/V1"


def test_certificates_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(LongVPOError, match=r"SSL_CERT_FILE \(.*none\.pem\)"):
        http_client()


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:PORT/v1", "http://localhost:99999/v1", "http://localhost:0/v1", "http://[::1/v1",
        "http://local host/v1", "http://\u200blocalhost/v1", "http://localhost:-1/v1", "localhost:8000",
    ],
)  # fmt: skip
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(
        LongVPOError, match=r"endpoint\.url is not the address of a server: it must be such as http://"
    ):
        writer_for(url)


SOCKS = pytest.param(
    "socks5://127.0.0.1:9",
    marks=pytest.mark.skipif(importlib.util.find_spec("socksio") is not None, reason="SOCKS proxies work here"),
)


@pytest.mark.parametrize(
    "proxy", [SOCKS, "foo://user:pass-word@bar", "http://127.0.0.1:bad", "http://127.0.0.1:99999"]
)
def test_a_proxy_that_cannot_be_used(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(LongVPOError, match="the environment variable ALL_PROXY") as failure:
        ask(writer_for("http://example.invalid/v1"), PLAIN)
    assert "pass-word" not in str(failure.value)
    assert "\n" not in str(failure.value)


def test_an_answer_says_what_it_is() -> None:
    assert [one.flaw for one in (Answer("a"), Answer(" "), Answer("a", error="no"), Answer("a", whole=False))] == [
        "", "empty", "writer", "cut",
    ]  # fmt: skip
