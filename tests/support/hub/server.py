"""A Hugging Face Hub on this machine, for the real clients: it keeps commits on disk, and fails as it is told.

    python tests/support/hub/server.py FOLDER [PORT]

prints its address; `with hub(folder) as address` does the same for a test. Clients get HF_ENDPOINT=address,
HF_HUB_DISABLE_XET=1 and a token `hf_<user>_<write|read|fine>_<run>`, which makes the user; the run is any word. A
fine-grained token may write in the user's namespace where its run begins with w, and into one repository only where it
is `dataset-NAME` or `model-NAME`. A user owns NAME-lab too, and may read in NAME-readers. FOLDER holds everything, so
a server that was killed can be started on it again; only logs and faults are lost.

Without a token: `GET /_state` says what everything holds. `POST /_control/RUN {"fault": {"at": 3, "kind": "lost"}}`
makes the third request of that run from now fail, once, and `GET /_control/RUN` says which requests came and whether
it has happened. Kinds: `429`, `500`, `503`; `reset`: the connection breaks before the request has any effect; `lost`:
it has its effect, but no reply; `slow`: it takes half a second until its effect; `late`: it takes half a second from
its effect to its reply. Any other status may have `says` (a list of sentences) and `headers`, and comes for good with
`"always": true`. `change`: when the request comes, the file `file` gets the bytes of the file `by`, or is deleted
without one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

if __name__ == "__main__":  # as a program it finds the other helpers by itself
    sys.path.insert(0, str(Path(__file__).parents[2]))
from support.hub.api import answer
from support.hub.calls import TOKEN, Call, Run, user_of
from support.hub.store import HubError, Reply


class HubServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path, port: int) -> None:
        shutil.rmtree(folder / "unfinished", ignore_errors=True)  # of a server that was killed
        for name in ("unfinished", "objects"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        super().__init__(("127.0.0.1", port), Handler)
        self.folder = folder
        self.runs: dict[str, Run] = {}
        self.lock = threading.Lock()  # held by one request after the other, when it is received and not yet answered

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not an error here."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # so that a small reply is one write

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        asked = self.fault(path)
        fault = asked["kind"] if asked else None
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # not by the server, which would end it in the orderly way
            self.close_connection = True
            return
        body = self.receive()  # always, as what is left unread would be taken for the next request
        if fault == "slow":
            time.sleep(0.5)
        if asked and fault == "change":
            shutil.copyfile(asked["by"], asked["file"]) if asked.get("by") else os.remove(asked["file"])
        if asked and fault and fault.isdigit():
            headers = asked.get("headers", {"Retry-After": "1"} if fault == "429" else {})
            says = [{"message": one} for one in asked.get("says", [f"{fault}, as a test asked for"])]
            reply = Reply({"errors": says}, int(fault), headers)
        else:
            reply = self.reply(path, query, body)
        if fault == "late":
            time.sleep(0.5)
        if fault == "lost":
            self.close_connection = True
        else:
            self.send(reply)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815

    def fault(self, path: str) -> dict[str, Any] | None:
        """Notes the request; returns what is to happen to it, if anything."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        found = re.match(r"/_upload/(?P<run>[^/]+)/", path) or TOKEN.fullmatch(token)
        if not found or path.startswith("/_control/"):
            return None
        with self.server.lock:
            run = self.server.runs.setdefault(found["run"], Run())
            run.requests.append(f"{self.command} {self.path}")
            if not run.fault or len(run.requests) < run.fault["at"] or (run.fired and not run.fault.get("always")):
                return None
            run.fired = True
            return run.fault

    def receive(self) -> bytes:
        """The body; raises ConnectionError where the client goes away."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.exactly(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline() or b"0", 16):
            parts.append(self.exactly(size))
            self.rfile.readline()
        if not self.rfile.readline():
            raise ConnectionAbortedError("the body ends too early")
        return b"".join(parts)

    def exactly(self, size: int) -> bytes:
        content = self.rfile.read(size)
        if len(content) < size:
            raise ConnectionAbortedError("the body ends too early")
        return content

    def reply(self, path: str, query: str, body: bytes) -> Reply:
        server = self.server
        asked = {name: values[-1] for name, values in parse_qs(query).items()}
        address = f"http://{self.headers['Host']}"
        try:
            user = user_of(self.headers.get("Authorization", ""))
            with server.lock:
                call = Call(server.folder, server.runs, address, asked, body, user)
                return answer(call, "GET" if self.command == "HEAD" else self.command, path)
        except HubError as error:
            return error.reply
        except Exception:
            traceback.print_exc()
            return Reply({"error": "Internal Error - We're working hard to fix this as soon as possible!"}, 500)

    def send(self, reply: Reply) -> None:
        status, headers = reply.status, {"Content-Type": "application/json", **reply.headers}
        if isinstance(reply.body, Path):
            content = reply.body.read_bytes()
            headers |= {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
            asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            if asked and any(asked.groups()):
                size = len(content)
                start = int(asked[1]) if asked[1] else max(size - int(asked[2]), 0)
                content = content[start : int(asked[2]) + 1 if asked[1] and asked[2] else size]
                status, which = (206, f"{start}-{start + len(content) - 1}") if content else (416, "*")
                headers["Content-Range"] = f"bytes {which}/{size}"
        else:
            content = json.dumps(reply.body, default=str).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def hub(folder: Path) -> Iterator[str]:
    """The address of a running Hub, in a process of its own."""
    command = [sys.executable, "-m", "support.hub.server", str(folder)]
    tests = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=tests, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, "the Hub did not start"
            yield address
        finally:
            process.terminate()


if __name__ == "__main__":
    server = HubServer(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
