"""The writer behind an endpoint: against a server that misbehaves, and against two real ones on this machine."""

from __future__ import annotations

import base64
import io
import math
import os
import re
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub.inference import _providers
from PIL import Image
from support.endpoints import KEY, PLAIN, QUESTION, ask, film, writer_for
from support.servers import GOOD, images, serve

from longvpo.dataset.replies import Question
from longvpo.errors import LongVPOError
from longvpo.models import chat
from longvpo.models.endpoint import EndpointWriter, content
from longvpo.models.journal import Journal
from longvpo.models.writer import Answer, Request
from longvpo.recipe.sections import EndpointSection, WriterSection
from longvpo.video.frames import duration, read_frames

# behaviours, request, form and error of the answer (None: the run ends with the error), requests that were made
TABLE: dict[str, tuple[list[str], Request, str | None, str, int]] = {
    "held": (["ok"], QUESTION, "schema", "", 1),
    "text": (["ok"], PLAIN, "text", "", 1),
    "429 and seconds": (["429", "ok"], QUESTION, "schema", "", 2),
    "429 and a date": (["429 date", "ok"], QUESTION, "schema", "", 2),
    "500": (["500", "ok"], QUESTION, "schema", "", 2),
    "503 twice": (["503", "503", "ok"], QUESTION, "schema", "", 3),
    "503 for ever": (["503"], QUESTION, None, r"failed 3 times: 503: 503, said the server", 3),
    "hangs once": (["hang", "ok"], QUESTION, "schema", "", 2),
    "hangs": (["hang"], QUESTION, None, r"failed 3 times: no answer within 0\.5 seconds", 3),
    "cut body": (["cut", "ok"], PLAIN, "text", "", 2),
    "cut bodies": (["cut"], PLAIN, None, r"failed 3 times: peer closed connection", 3),
    "no reply": (["drop", "ok"], PLAIN, "text", "", 2),
    "no JSON body": (["html", "ok"], PLAIN, "text", "", 2),
    "no choice": (["empty"], PLAIN, None, r"failed 3 times: it sent an answer without a choice", 3),
    "half a JSON": (["half", "ok"], QUESTION, "repaired", "", 2),
    "half JSONs": (["half"], QUESTION, "invalid", "", 2),
    "cut at max_tokens": (["length", "ok"], QUESTION, "repaired", "", 2),
    "no repair": (["half", "413"], QUESTION, "invalid", "", 2),
    "no schemas": (["no schema"], QUESTION, "json", "", 2),
    "too large": (["413"], PLAIN, "text", r"413: 413, said the server", 1),
    "refused": (["400"], QUESTION, "text", r"400: 400, said the server", 2),
    "no key": (["401"], QUESTION, None, r"401.*check the key in the environment variable TEST_KEY", 1),
    "no model": (["404"], QUESTION, None, r"knows no some/model \(404.*check the model and endpoint\.url", 1),
    "no usage": (["no usage"], QUESTION, "schema", "", 1),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_comes_of_a_server_that_misbehaves(name: str) -> None:
    behaviours, request, form, said, made = TABLE[name]
    with serve(*behaviours) as server:
        writer = writer_for(server.url, api_key_env="TEST_KEY", timeout=0.5)
        started = time.monotonic()
        if form is None:
            with pytest.raises(LongVPOError, match=said) as failure:
                ask(writer, request)
            assert "0 answers of this run are kept: run the same command again" in str(failure.value)
            assert server.url in str(failure.value)
            text = str(failure.value)
        else:
            (answer,) = ask(writer, request)
            assert answer.form == form
            assert re.match(said, answer.error) if said else not answer.error
            assert (answer.text == "") == bool(answer.error)
            if form in ("schema", "json", "repaired"):
                assert answer.text == GOOD
            if answer.prompt_tokens is not None:
                asked_twice = form in ("repaired", "invalid") and "413" not in behaviours
                assert (answer.prompt_tokens, answer.completion_tokens) == ((200, 20) if asked_twice else (100, 10))
            assert (answer.prompt_tokens is None) == (bool(said) or "no usage" in behaviours)
            text = answer.text + answer.error
        assert len(server.bodies) == made
        assert KEY not in text
        assert "\n" not in text
        if name.startswith("429"):
            assert time.monotonic() - started > 0.9, "Retry-After was not waited for"
    assert all(headers["authorization"] == f"Bearer {KEY}" for headers in server.headers)


def test_what_is_sent() -> None:
    with serve("ok") as server:
        ask(writer_for(server.url), QUESTION, film(3))
    asked, shown = sorted((body for body in server.bodies if body["max_tokens"] != 1), key=images)
    assert asked["response_format"]["type"] == "json_schema"
    assert asked["response_format"]["json_schema"]["schema"] == Question.as_schema()
    assert (asked["model"], asked["seed"], asked["temperature"], asked["max_tokens"]) == ("some/model", 7, 0.7, 64)
    assert asked["messages"] == [{"role": "user", "content": "Ask something."}]
    parts = shown["messages"][0]["content"]
    assert [part.get("text") for part in parts] == ["0.5 s:", None, "1.5 s:", None, "2.5 s:", None, "What is seen?"]
    for number, part in enumerate(parts[1:6:2]):
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == "data:image/jpeg;base64"
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        assert picture.shape == (48, 64, 3)
        assert abs(picture.mean() - 3 * number) < 1
    assert "response_format" not in shown
    # without a key the Hub's token of the user must not reach a server that may be anyone's
    assert not any("authorization" in headers or "hf_of_the_user" in str(headers) for headers in server.headers)


def test_a_provider_is_asked_with_the_token_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the Hub's router, which stands here on this machine."""
    monkeypatch.setenv("ROUTER_KEY", "hf_of_a_team")
    with serve("ok") as server:
        monkeypatch.setattr(_providers.CONVERSATIONAL_AUTO_ROUTER, "base_url", server.url.removesuffix("/v1"))
        endpoint = EndpointSection(provider="auto", api_key_env="ROUTER_KEY", retries=0)
        server.sends = lambda reply: reply | {"score": math.nan}  # which is not JSON, and nobody reads
        (answer,) = ask(EndpointWriter(WriterSection(model="some/model", endpoint=endpoint), endpoint), QUESTION)
    assert (answer.text, answer.form) == (GOOD, "schema")
    (asked,), (headers,) = server.bodies, server.headers
    assert headers["authorization"] == "Bearer hf_of_a_team"
    assert (asked["model"], asked["seed"]) == ("some/model", 7)
    assert asked["response_format"]["json_schema"]["schema"] == Question.as_schema()


def test_a_repair_goes_on_with_the_conversation() -> None:
    with serve("prose", "ok") as server:
        ask(writer_for(server.url), QUESTION, QUESTION)
    first, *later = server.bodies
    (repair,) = [body for body in later if len(body["messages"]) == 3]
    assert repair["messages"][0] == first["messages"][0]
    assert repair["messages"][1] == {"role": "assistant", "content": "A red ring."}
    assert "keys question, answer" in repair["messages"][2]["content"]
    assert "response_format" not in repair, "a server that pays no heed to a schema is not said to be held to it"


def test_a_server_without_schemas_is_asked_plainly_from_then_on() -> None:
    with serve("no schema") as server:
        writer = writer_for(server.url, concurrency=1)
        answers = ask(writer, *[QUESTION] * 5)
        assert [answer.form for answer in answers] == ["json"] * 5
        assert len(server.bodies) == 6


def test_video_in_one_part(tmp_path: Path) -> None:
    request = replace(film(3, 49, 63), times=(100.0, 300.0, 500.0), seconds=600.0)  # H.264 cannot hold odd sizes
    said = content(request, "video_jpeg")
    assert [part["type"] for part in said] == ["video_url", "text"]  # type: ignore[index]
    head, *jpegs = said[0]["video_url"]["url"].split(",")  # type: ignore[index]
    assert (head, len(jpegs)) == ("data:video/jpeg;base64", 3)
    head, _, data = content(request, "video_url")[0]["video_url"]["url"].partition(",")  # type: ignore[index]
    (tmp_path / "sent.mp4").write_bytes(base64.b64decode(data))
    assert duration(tmp_path / "sent.mp4") == pytest.approx(600.0)
    frames = read_frames(tmp_path / "sent.mp4", np.array(request.times))
    assert frames.shape == (3, 48, 62, 3)
    assert np.abs(frames.mean(axis=(1, 2, 3)) - [0, 3, 6]).max() < 1.5
    with serve("ok") as server:
        ask(writer_for(server.url, frames_as="video_jpeg", retries=0), PLAIN)
        with pytest.raises(LongVPOError, match="does not see all frames"):  # this server counts only images
            ask(writer_for(server.url, frames_as="video_jpeg", retries=0), request)
    assert [body.get("media_io_kwargs") for body in server.bodies] == [
        None,
        None,
        {
            "video": {
                "num_frames": -1,
                "fps": 1000.0,
                "frames_indices": [100_000, 300_000, 500_000],
                "total_num_frames": 600_000,
                "duration": 600.0,
            }
        },
    ]


def test_frames_that_a_server_leaves_out_are_found(capfd: pytest.CaptureFixture[str]) -> None:
    for count in (40, 64):
        with serve("32") as server, pytest.raises(LongVPOError, match="does not see all frames") as failure:
            ask(writer_for(server.url), film(count))
        assert f"1700 for {count} frames" in str(failure.value)
        assert "video.max_frames" in str(failure.value)
    with serve("ok") as server:
        writer = writer_for(server.url)
        assert [answer.prompt_tokens for answer in ask(writer, film(40), film(12))] == [2100, 700]
        assert sorted(map(images, server.bodies)) == [2, 12, 20, 40, 40]
        ask(writer, film(30))
        assert len(server.bodies) == 6, "fewer frames need no new check"
    with serve("413") as server, pytest.raises(LongVPOError, match=r"refuses 2 frames .413.*limit-mm-per-prompt"):
        ask(writer_for(server.url), film(40))
    assert not capfd.readouterr().err
    with serve("no usage") as server:
        writer = writer_for(server.url)
        ask(writer, film(40))
        ask(writer, film(20))
    assert capfd.readouterr().err.count("whether it sees all frames is unknown") == 1


def test_no_answer_is_lost_when_the_server_dies(tmp_path: Path) -> None:
    requests = [Request(f"Question {number}", seed=number) for number in range(20)]
    with serve(*["ok"] * 9, "503", delay=0.02) as server:
        writer = writer_for(server.url, concurrency=4)
        with pytest.raises(LongVPOError, match="9 answers of this run are kept"):
            Journal(tmp_path).ask(writer, requests, "asked")
    before = {body["seed"] for body in server.bodies[:9]}
    with serve("ok") as server:
        journal = Journal(tmp_path)
        answers = journal.ask(writer_for(server.url, concurrency=4), requests, "asked")
    assert [answer.text for answer in answers] == [GOOD] * 20
    assert journal.asked == 11
    assert sorted(body["seed"] for body in server.bodies) == sorted(set(range(20)) - before)


def test_requests_under_way_come_in_when_another_fails(tmp_path: Path) -> None:
    with serve("401", "ok", delay=0.3) as server:
        journal = Journal(tmp_path)
        with pytest.raises(LongVPOError) as failure:
            journal.ask(writer_for(server.url, concurrency=4), [Request(str(i)) for i in range(50)], "asked")
    assert journal.asked == len(server.bodies) - 1, "all but the one that failed are kept"
    assert 3 <= journal.asked < 10, "and hardly another was asked"
    assert f"{journal.asked} answers of this run are kept" in str(failure.value)


def test_an_interrupt_ends_at_once_and_keeps_what_came() -> None:
    kept: list[int] = []
    with serve("ok", "ok", "hang") as server:
        timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            writer_for(server.url, timeout=20).write([[PLAIN]] * 5, lambda number, answers: kept.append(number))
        assert time.monotonic() - started < 5
    assert len(kept) == 2


def test_the_requests_at_once_are_bounded() -> None:
    with serve("ok", delay=0.05) as server:
        ask(writer_for(server.url, concurrency=3), *[PLAIN] * 15)
    assert server.most_at_once == 3


def test_a_run_stops_at_its_cost() -> None:
    kept: list[int] = []
    with serve("ok") as server:
        # 100 tokens at 10,000 a million and 10 at 20,000: 1.2 a request
        writer = writer_for(server.url, concurrency=1, max_cost=3.0, price_in=10_000, price_out=20_000)
        with pytest.raises(
            LongVPOError, match=r"stopped at a cost of 3\.6: .*raise endpoint\.max_cost \(3\); 3 answers"
        ):
            writer.write([[PLAIN]] * 10, lambda number, answers: kept.append(number))
        assert (len(server.bodies), kept) == (3, [0, 1, 2])
        enough = writer_for(server.url, concurrency=1, max_cost=3.0, price_in=10_000, price_out=20_000)
        assert len(ask(enough, *[PLAIN] * 3)) == 3, "a run that is done was not stopped"
    with serve("no usage") as server, pytest.raises(LongVPOError, match="reports no tokens"):
        ask(writer_for(server.url, concurrency=1, max_cost=3.0, price_in=1), PLAIN, PLAIN)


def test_a_server_that_refuses_everything_costs_no_rows() -> None:
    kept: list[Answer] = []
    with serve("400") as server:
        with pytest.raises(LongVPOError, match=r"refuses every request: 400.*0 answers"):
            writer_for(server.url).write([[PLAIN]] * 30, lambda number, answers: kept.extend(answers))
        assert not kept
    with serve("413", "413", "ok") as server:
        answers = ask(writer_for(server.url, concurrency=1), *[PLAIN] * 12)
    assert [bool(answer.error) for answer in answers] == [True, True] + [False] * 10


def test_a_long_wait_is_not_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "LONGEST_ASKED", 0.5)
    with serve("429") as server, pytest.raises(LongVPOError, match="asks to come back in"):
        ask(writer_for(server.url), PLAIN)
    assert len(server.bodies) == 1


def test_what_is_wrong_is_said_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        LongVPOError, match=r"the environment variable NO_SUCH_KEY \(endpoint\.api_key_env\) is not set"
    ):
        writer_for("http://127.0.0.1:9/v1", api_key_env="NO_SUCH_KEY")
    with pytest.raises(LongVPOError, match="it must be such as http://"):
        writer_for("localhost:8000/v1")
    monkeypatch.delenv("HF_TOKEN")
    section = WriterSection(model="some/model")
    with pytest.raises(LongVPOError, match="needs a key: run `hf auth login`"):
        EndpointWriter(section, EndpointSection(provider="novita"))
    with pytest.raises(LongVPOError, match=r"the server at http://127\.0\.0\.1:9/v1 failed 1 times") as failure:
        ask(writer_for("http://user:password@127.0.0.1:9/v1", retries=0), PLAIN)
    assert "password" not in str(failure.value)


def test_another_server_of_the_same_model_goes_on() -> None:
    here, there = writer_for("http://127.0.0.1:9/v1"), writer_for("http://127.0.0.1:10/v1", concurrency=3)
    assert (here.name, here.settings) == ("some/model@main", there.settings)
    assert here.batches([PLAIN] * 3) == [[0], [1], [2]]
