"""The benchmark of start-up runs, in small, and the second start asks nothing again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.world import TESTS

from longvpo.io import remembered
from longvpo.training import run, tokens


def test_the_second_start_looks_at_no_video_and_counts_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(TESTS.parent / "benchmarks"))
    import startup

    for name in (*startup.PHASES, "make_trainer"):  # the benchmark replaces them
        monkeypatch.setattr(run, name, getattr(run, name))

    def fails(*_: Any, **__: Any) -> None:
        raise AssertionError("it was found before")

    startup.write_case(tmp_path, *startup.SMALL)
    first = startup.start(tmp_path)
    monkeypatch.setattr(remembered, "_facts", {})  # another process begins with nothing
    monkeypatch.setattr("longvpo.video.extent.probe", fails)
    monkeypatch.setattr(tokens, "video_rows", fails)
    second = startup.start(tmp_path)
    assert {"all", *startup.PHASES, "rest"} == set(first) == set(second)
