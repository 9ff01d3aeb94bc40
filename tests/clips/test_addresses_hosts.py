"""A stranger's address leads to the public internet or nowhere, in bounded size and time."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from longvpo.clips import addresses
from longvpo.clips.addresses import fetch_url, is_public
from longvpo.errors import VideoError

Reply = Callable[[socket.socket, str], None]


def answered(head: str, body: bytes = b"") -> Reply:
    return lambda to, asked: to.sendall(f"HTTP/1.1 {head}\r\nConnection: close\r\n\r\n".encode() + body)


def dripping(head: bytes, drops: bytes) -> Reply:
    """A byte each 50 ms."""

    def reply(to: socket.socket, asked: str) -> None:
        to.sendall(head)
        for drop in drops * 200:
            to.sendall(bytes([drop]))
            time.sleep(0.05)

    return reply


REPLIES: dict[str, Reply] = {
    "/film.mp4": answered("200 OK", b"a film"),
    "/sized": answered("200 OK\r\nContent-Length: 99999999999999"),
    "/endless": answered("200 OK", bytes(300_000)),
    "/bomb": answered("200 OK\r\nContent-Encoding: gzip", gzip.compress(bytes(300_000))),
    "/br": answered("200 OK\r\nContent-Encoding: br", b"a film"),
    "/drip": dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
    "/header": dripping(b"HTTP/1.1 200 OK\r\n", b"A"),
    "/to-file": answered("302 Found\r\nLocation: file:///etc/passwd"),
    "/to-metadata": answered("302 Found\r\nLocation: http://169.254.169.254/latest/meta-data"),
    "/round": answered("302 Found\r\nLocation: /round"),
    "/relative": answered("302 Found\r\nLocation: /film.mp4"),
}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """A server, and what it was asked."""
    monkeypatch.setattr(addresses, "WAIT", 0.001)
    asked: list[str] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                asked.append(connection.recv(65536).decode())
                REPLIES[asked[-1].split()[1]](connection, asked[-1])
            except OSError:  # it was hung up
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)


PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.100.100.200"),
    *("224.0.0.1", "255.255.255.255", "168.63.129.16", "192.0.0.192", "198.18.0.1"),
    *("::1", "::", "fe80::1%eth0", "fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1"),
    *(
        "64:ff9b:1::7f00:1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "::ffff:169.254.169.254",
    ),
]


def test_what_the_public_internet_is() -> None:
    assert [address for address in PRIVATE if is_public(address)] == []
    public = ["93.184.216.34", "1.1.1.1", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:1.1.1.1", "64:ff9b::101:101"]
    assert [address for address in public if not is_public(address)] == []


SPELT = [
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "LOCALHOST.", "0"),
    *("[::1]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:ffff:7f00:1]", "①②⑦.0.0.1"),
]


@pytest.mark.parametrize("spelt", SPELT)
def test_no_spelling_of_this_machine_is_reached(spelt: str, host: tuple[str, list[str]], tmp_path: Path) -> None:
    address, asked = host
    with pytest.raises(VideoError, match=r"is not of the public internet|Invalid|not known"):
        fetch_url(address.replace("127.0.0.1", spelt) + "/film.mp4", tmp_path / "film.mp4")
    assert asked == []
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_looked_up_once_and_what_was_looked_at_is_asked(
    host: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when it is looked at, and this machine a moment later."""
    address, asked = host
    lookup, connect = socket.getaddrinfo, socket.create_connection
    leads_to, looked, connected = ["93.184.216.34", "127.0.0.1", "127.0.0.1"], [], []

    def rebinding(name: str, port: Any, *rest: Any, **options: Any) -> Any:
        if name != "films.example":
            return lookup(name, port, *rest, **options)
        looked.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (leads_to[len(looked) - 1], port))]

    def connects(to: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        connected.append(to[0])
        return connect(("127.0.0.1", to[1]))

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", connects)
    named = address.replace("127.0.0.1", "films.example")
    fetch_url(f"{named}/film.mp4", tmp_path / "film.mp4")
    assert (looked, connected) == (["films.example"], leads_to[:1])
    assert f"Host: {named.removeprefix('http://')}" in asked[0]
    with pytest.raises(VideoError, match=r"films\.example has: it is not of the public internet"):
        fetch_url(f"{named}/film.mp4", tmp_path / "again.mp4")
    assert len(asked) == 1


BAD = {
    "/sized": "it has more than 0 GiB",
    "/endless": "it has more than 0 GiB",
    "/bomb": "it has more than 0 GiB",
    "/br": "it is sent as 'br'",
    "/drip": "it comes too slowly",
    "/header": "nothing of it came in 1 s",
    "/to-file": "only http:// and https:// addresses are fetched",
    "/round": "Exceeded maximum allowed redirects",
}


@pytest.mark.parametrize("path", BAD)
def test_size_time_and_hops_are_bounded(
    path: str, host: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "LARGEST", 100_000)
    monkeypatch.setattr(addresses, "TIMEOUT", 0.5)
    monkeypatch.setattr(addresses, "BEGINNING", 0.7)
    with pytest.raises(VideoError) as caught:
        fetch_url(host[0] + path, tmp_path / "film.mp4", private=True)
    assert BAD[path] in str(caught.value)
    assert list(tmp_path.iterdir()) == [], "nothing half-fetched"


def test_each_hop_is_looked_at(host: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address, asked = host
    fetch_url(f"{address}/relative", tmp_path / "film.mp4", private=True)
    assert (tmp_path / "film.mp4").read_bytes() == b"a film"
    monkeypatch.setattr(addresses, "is_public", lambda one: one == "127.0.0.1")
    asked.clear()
    with pytest.raises(VideoError, match=r"what 169\.254\.169\.254 has: it is not of the public internet"):
        fetch_url(f"{address}/to-metadata", tmp_path / "other.mp4")
    assert len(asked) == 1


def test_a_proxy_is_asked_for_public_hosts_only(
    host: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks names up itself; no local name and no number of this network is handed to it."""
    address, asked = host
    REPLIES["http://films.example/film.mp4"] = REPLIES["/film.mp4"]
    monkeypatch.setenv("http_proxy", address)
    fetch_url("http://films.example/film.mp4", tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == b"a film"
    for private in ("http://169.254.169.254/a", "http://2130706433/a", "http://db.internal/a", "http://localhost/a"):
        with pytest.raises(VideoError, match="not of the public internet"):
            fetch_url(private, tmp_path / "other.mp4")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(VideoError, match="not of the public internet"):
        fetch_url(f"{address}/film.mp4", tmp_path / "other.mp4")
    assert len(asked) == 1
