"""What a model said: read in one place, kept only where it is a whole answer, and no key in what is printed."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from support.endpoints import PLAIN, QUESTION, ask, writer_for
from support.servers import GOOD, serve

from longvpo.clips.rows import Dropped, Refusal, unanswered
from longvpo.dataset.replies import parse_question
from longvpo.errors import LongVPOError
from longvpo.models.journal import Journal, request_key
from longvpo.models.load import load_processor
from longvpo.models.local import local_reply
from longvpo.models.replies import read_reply
from longvpo.models.text import find_json
from longvpo.models.writer import Answer, NoAnswersError, Request
from longvpo.recipe.sections import ModelSection

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
    reply = read_reply(said)
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
    assert read_reply(f"  {said}\n").text == said


def test_a_turn_ends_after_braces_too() -> None:
    assert read_reply("set {1,2}<|im_end|>\n<|im_start|>user\nmore").text == "set {1,2}"
    assert read_reply('{"a": "b<|im_end|>"}</s>').text == '{"a": "b<|im_end|>"}'
    assert find_json('{"a": "what is </s> for?"}') == {"a": "what is </s> for?"}


def test_thinking_without_an_end_is_no_answer() -> None:
    for said in (f"<think>{DRAFT}", f"red <think>{DRAFT}", f"<|channel|>analysis<|message|>{DRAFT}", "analysisWe"):
        assert read_reply(said).text == ""
        assert "thinking" in read_reply(said).error
        cut = read_reply(said, whole=False, limit=64)
        assert (cut.text, cut.whole) == ("", False)
        assert "max_new_tokens (64)" in cut.error
        assert "thinking off" in cut.error


def test_halves_of_a_character() -> None:
    assert read_reply("a \ud83d\ude00 b").text == "a 😀 b", "two halves make one"
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
    "cut": (message("length", content=ANSWER), "cut", r"truncated at max_new_tokens \(64\): 'a red ring"),
    "cut by another word": (message("MAX_TOKENS", content=ANSWER), "cut", "truncated at"),
    "cut, with the class": (message("FinishReason.MAX_TOKENS", content=ANSWER), "cut", "truncated at"),
    "truncated": (message("truncated", content=ANSWER), "cut", "truncated at"),
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
        ({"choices": ["half"]}, "not an answer of the chat protocol", 3),
    ],
)
def test_an_error_in_a_good_status(sent: dict[str, Any], said: str, made: int, tmp_path: Path) -> None:
    with serve("ok") as server:
        server.sends = lambda good: sent
        with pytest.raises(LongVPOError, match=said):
            Journal(tmp_path).ask(writer_for(server.url), [PLAIN], "")
        assert len(server.bodies) == made
    assert not Journal(tmp_path)._answers


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
        with pytest.raises(NoAnswersError, match=r"gives no answer that can be used: it was truncated at max"):
            ask(writer_for(server.url), *[PLAIN] * 9)


def test_a_build_without_answers_says_what_the_models_did() -> None:
    silent = [Dropped(str(n), "cut", "it was cut", 0.0, {"prompt": "?"}) for n in range(3)]
    others = [Dropped(str(n), "equal", "", 1.0, {"prompt": "?"}) for n in range(4)]
    assert unanswered([*silent, Dropped("v", "video", "truncated")]).endswith("3 times of 3, most often: it was cut")
    assert unanswered([*silent, *others]) == ""
    assert unanswered([]) == ""


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


def test_a_truncated_line_takes_no_answer_with_it(tmp_path: Path) -> None:
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


def test_an_answer_says_what_it_is() -> None:
    assert [one.flaw for one in (Answer("a"), Answer(" "), Answer("a", error="no"), Answer("a", whole=False))] == [
        "", "empty", "writer", "cut",
    ]  # fmt: skip
