"""Addresses of videos: told by host and path, without what signs them."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.films import captioned

from longvpo.clips import addresses
from longvpo.clips.fetch import name_of_url
from longvpo.clips.sources import list_candidates, read_clips
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.sources import ColumnSection, SourceSection


@pytest.fixture
def host(film: Path) -> Iterator[str]:
    """A server that sends on, refuses and has nothing, by what it is asked for."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if "moved" in self.path:
                self.send_response(302)
                self.send_header("Location", "/refused.mp4?signature=secret")
                self.end_headers()
            elif "refused" in self.path:
                self.send_error(403, "Forbidden")
            else:
                self.send_error(404)

        def log_message(self, *arguments: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(film.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_addresses_are_told_by_host_and_path(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "WAIT", 0.0)
    (tmp_path / "repository").mkdir()
    bad = {
        f"http://me:secret@{host}/moved.mp4?key=secret": f"cannot fetch http://{host}/moved.mp4: 403 Forbidden",
        f"http://{host}/refused.mp4?key=secret": f"cannot fetch http://{host}/refused.mp4: 403 Forbidden",
        f"http://{host}/none.mp4?key=secret#secret": f"no such video: http://{host}/none.mp4",
        "http://127.0.0.1:1/a.mp4?key=secret": "cannot fetch http://127.0.0.1:1/a.mp4: ",
        "ftp://me:secret@h.net/a.mp4": "cannot fetch ftp://h.net/a.mp4: ",
        "http://./a.mp4?key=secret": "cannot fetch http://./a.mp4: ",
        "/home/secret/a.mp4": "cannot fetch a.mp4: ",
    }
    rows = [{"url": address, "caption": "red"} for address in bad] + [{"url": f"http://{host}/b?key=secret"}]
    captioned(tmp_path / "repository", *rows[:-1], rows[-1] | {"caption": None}, name="train.jsonl")
    source = SourceSection(
        name="s",
        folder=tmp_path / "kept",
        dataset=str(tmp_path / "repository"),
        videos="urls",
        private_addresses=True,
        columns=ColumnSection(video="url"),
    )
    _, _, dropped = read_clips(source)
    said = {item.reason for item in dropped}
    assert [expected for expected in bad.values() if not any(reason.startswith(expected) for reason in said)] == []
    assert f"http://{host}/b" in {item.id for item in dropped}
    assert "secret" not in json.dumps([(item.id, item.reason) for item in dropped])
    assert name_of_url("https://me:se.cret@host").endswith(tuple("0123456789abcdef")), "no part of it is a suffix"


@pytest.mark.parametrize(
    ("address", "suffix"),
    [
        ("https://h/x.mp4?sig=secret", ".mp4"),
        (" https://h/x.mp4?sig=secret", ".mp4"),
        ("see https://h/x.mp4?sig=secret", ".mp4"),
        ("//h/x.mp4?sig=secret", ""),
        ("https://h/x.mp4;jsessionid=secret", ".mp4"),
        ("https://h/x.mp4&sig=secret", ""),
        ("https://h/x.\ud800", ""),
    ],
)
def test_the_name_of_an_address_holds_no_part_of_its_query(address: str, suffix: str) -> None:
    assert name_of_url(address)[16:] == suffix


def test_a_blank_around_an_address_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    rows = [
        {"url": f" https://u:pw@h/{n}.mp4?sig=secret\n", "caption": caption} for n, caption in enumerate(("a", ""))
    ]
    captioned(tmp_path / "repository", *rows, name="train.jsonl")
    columns = ColumnSection(video="url")
    source = SourceSection(
        name="s", folder=tmp_path, dataset=str(tmp_path / "repository"), videos="urls", columns=columns
    )
    (candidate,), (dropped,) = list_candidates(source)
    assert candidate.address == "https://u:pw@h/0.mp4?sig=secret"
    assert candidate.video == name_of_url(candidate.address)
    assert dropped.id == "https://h/1.mp4"


def test_a_proxy_that_is_none_is_no_fault_of_the_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "foo://me:secret@h.net")
    with pytest.raises(LongVPOError, match="check HTTPS_PROXY and ALL_PROXY") as caught:
        addresses.fetch_url("http://h.net/a.mp4", tmp_path / "a.mp4")
    assert not isinstance(caught.value, VideoError)
    assert "secret" not in str(caught.value)
