"""Where a server is, and its key, which is printed in no form."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from support.endpoints import KEY, PLAIN, ask, writer_for
from support.servers import serve

from longvpo.errors import LongVPOError, hide, sendable
from longvpo.models.address import chat_url, cleaned, http_client
from longvpo.recipe.sections import EndpointSection


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
    assert chat_url("HTTP://Host/v1/?key=1") == "http://Host/v1/chat/completions?key=1"
    for url in ("http://h", "http://h/", "http://h/v1", "http://h/v1/chat/completions"):
        assert chat_url(url) == "http://h/v1/chat/completions"
    assert chat_url("https://h/openai") == "https://h/openai/v1/chat/completions"


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
