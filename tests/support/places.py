"""Folders for results of all kinds, and a small result in one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from longvpo.errors import LongVPOError
from longvpo.io.output import finished, place_of, whole_output


def make(at: Path, key: str = "k") -> None:
    with whole_output(at, key) as folder:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "weights").write_bytes(b"1234")
        (folder / "facts.json").write_text(json.dumps({"key": key}))


def check_made(at: Path) -> None:
    assert sorted(path.name for path in at.iterdir() if path.name != "lost+found") == ["adapter", "facts.json"]
    assert (at / "adapter" / "weights").read_bytes() == b"1234"
    assert finished(place_of(at), "facts.json", "k") == {"key": "k"}
    with pytest.raises(LongVPOError, match="holds the result of another recipe or of other input"):
        finished(place_of(at), "facts.json", "other")


def new(at: Path) -> Path:
    return at / "out"


def empty(at: Path) -> Path:
    (at / "out").mkdir()
    return at / "out"


def link(at: Path) -> Path:
    (at / "scratch").mkdir()
    (at / "out").symlink_to(at / "scratch")
    return at / "out"
