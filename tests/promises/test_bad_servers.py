"""Bad servers: what a build says of each, and that it leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import datasets  # noqa: F401  its log keeps the stderr of the moment of its import, which must not be that of a test
import pytest
from support.commands import Capture, check_mistake
from support.servers import serve
from support.spoils import (
    build,
    files,
)

from longvpo.models import chat

# what the server does, the endpoint's options, what the line says; `@` is the server's address
SERVERS: dict[str, tuple[str, dict[str, object], list[str]]] = {
    "no key": ("401", {}, ["does not let us in (401", "set endpoint.api_key_env"]),
    "a wrong key": ("401", {"api_key_env": "A_KEY"}, ["401: 401, said the server to Bearer ***", "variable A_KEY"]),
    "a key that is not set": ("ok", {"api_key_env": "NO_KEY"}, ["variable NO_KEY (endpoint.api_key_env) is not set"]),
    "no such model on a server": ("404", {}, ["knows no tiny (404", "check the model and endpoint.url"]),
    "a server in trouble": ("500", {}, ["@ failed 2 times: 500", "run the same command again"]),
    "a server that hangs": (
        "hang",
        {"timeout": 0.2, "retries": 0},
        ["@ failed 1 times: no answer within 0.2 s"],
    ),
    "no chat server": ("html", {}, ["@ failed 2 times: it sent something that is not an answer of the chat protocol"]),
    "a server that leaves frames out": ("32", {}, ["@ does not see all frames", "set video.max_frames lower"]),
    "nobody listens": ("ok", {"url": "http://127.0.0.1:1/v1"}, ["127.0.0.1:1/v1 failed 2 times", "run the same"]),
    "an address without http": (
        "ok",
        {"url": "localhost:8000"},
        ["is not the address of a server", "http://localhost:8000/v1"],
    ),
    "a provider without a key": (
        "ok",
        {"url": None, "provider": "nebius"},
        ["nebius needs a key: run `hf auth login`"],
    ),
    "no such provider": (
        "ok",
        {"url": None, "provider": "nowhere", "api_key_env": "A_KEY"},
        ["the provider nowhere cannot be asked"],
    ),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_bad_server_is_one_line_that_says_what_to_do(
    name: str, at: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(chat, "FIRST_WAIT", 0.02)
    monkeypatch.setenv("A_KEY", "sk-very-secret")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    behaviour, options, says = SERVERS[name]
    before = files(at)
    with serve(behaviour) as server:
        endpoint = {"url": server.url, "timeout": 5, "retries": 1} | options
        code = build(at, monkeypatch, ["video.fps=10", f"writer.endpoint={json.dumps(endpoint)}"])
        check_mistake(code, capsys, [text.replace("@", server.url) for text in says])
    assert files(at) == before
    assert not (at / "out").exists()
