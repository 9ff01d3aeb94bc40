"""A server with the OpenAI chat protocol that misbehaves as it is told, on a real socket."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = '{"question": "what color is the ring?", "answer": "red"}'
ERRORS = {"400": 400, "401": 401, "404": 404, "413": 413, "429": 429, "429 date": 429, "500": 500, "503": 503}


class BadServer(ThreadingHTTPServer):
    """Behaves towards the n-th request as the n-th behaviour says, and towards all later ones as the last does.

    Behaviours: `ok`, a status of `ERRORS`, `hang`, `cut` (a body shorter than announced), `drop` (no reply at all),
    `half` (half a JSON in the answer), `length` (an answer cut at max_tokens), `prose`, `html` (no JSON body),
    `empty` (no choice), `no usage`, `no schema` (400 for a response_format), `32` (frames beyond it are left out),
    `endless` (a body without end), `bomb` (a small one that is unpacked to 64 MiB).
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behaviours: list[str], delay: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours, self.delay = behaviours, delay
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.arrivals: list[float] = []
        self.at_once = self.most_at_once = 0
        self.says: Callable[[dict[str, Any]], str] | None = None  # of a request's body, in place of GOOD
        self.sends: Callable[[dict[str, Any]], Any] | None = (
            None  # in place of a good reply, which it is given; or bytes
        )
        self.refuses: Callable[[dict[str, Any]], str] = lambda body: ""  # a body with this sentence
        self.refuses_with = 400
        self.closing = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not an error here."""


class Handler(BaseHTTPRequestHandler):
    server: BadServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        with server.lock:
            number = len(server.bodies)
            server.bodies.append(body)
            server.headers.append({key.lower(): value for key, value in self.headers.items()})
            server.arrivals.append(time.monotonic())
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            server.closing.wait(server.delay)
            self.behave(server.behaviours[min(number, len(server.behaviours) - 1)], body)
        finally:
            with server.lock:
                server.at_once -= 1

    def behave(self, behaviour: str, body: dict[str, Any]) -> None:
        refused = self.server.refuses(body)
        if refused:
            self.reply(self.server.refuses_with, json.dumps({"error": {"message": refused}}).encode())
        elif behaviour == "hang":
            self.server.closing.wait(30)
        elif behaviour == "drop":
            self.close_connection = True
        elif behaviour in ERRORS:
            self.fail(ERRORS[behaviour], behaviour)
        elif behaviour == "no schema" and "response_format" in body:
            self.fail(400, "response_format is not supported")
        elif behaviour == "html":
            self.reply(200, b"<html>gateway</html>")
        elif behaviour == "endless":
            with suppress(OSError):
                self.reply(200, b" ", 2**40)
                while not self.server.closing.is_set():
                    self.wfile.write(bytes(2**20))
        elif behaviour == "bomb":
            self.reply(200, gzip.compress(bytes(2**26)), headers={"Content-Encoding": "gzip"})
        elif behaviour == "empty":
            self.reply(200, b'{"choices": []}')
        else:
            self.answer(behaviour, body)

    def answer(self, behaviour: str, body: dict[str, Any]) -> None:
        text = {"half": GOOD[: len(GOOD) // 2], "length": GOOD, "prose": "A red ring."}.get(behaviour, GOOD)
        if self.server.says is not None:
            text = self.server.says(body)
        frames = images(body)
        seen = min(frames, 32) if behaviour == "32" else frames
        said: dict[str, Any] = {
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "length" if behaviour == "length" else "stop",
                }
            ],
            "usage": {"prompt_tokens": 100 + 50 * seen, "completion_tokens": 10, "total_tokens": 110 + 50 * seen},
        }
        if behaviour == "no usage":
            del said["usage"]
        made = self.server.sends(said) if self.server.sends else said
        sent = made if isinstance(made, bytes) else json.dumps(made).encode()
        self.reply(200, sent[: len(sent) // 2] if behaviour == "cut" else sent, len(sent))

    def fail(self, status: int, behaviour: str) -> None:
        headers = {"429": {"Retry-After": "1"}}.get(behaviour, {})
        if behaviour == "429 date":
            headers = {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)}
        # as some do, the server repeats the key
        said = f"{behaviour}, said the server to {self.headers.get('authorization', 'nobody')}"
        self.reply(status, json.dumps({"error": {"message": said}}).encode(), headers=headers)

    def reply(
        self, status: int, body: bytes, length: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if length is not None and length > len(body):
            self.close_connection = True


def images(body: dict[str, Any]) -> int:
    """Number of images in a request."""
    return sum(
        part["type"] == "image_url"
        for message in body["messages"]
        if isinstance(message["content"], list)
        for part in message["content"]
    )


@contextmanager
def serve(*behaviours: str, delay: float = 0.0) -> Iterator[BadServer]:
    """A running server; a request waits `delay` seconds before it is answered."""
    server = BadServer(list(behaviours), delay)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
