"""The extents of videos, remembered, and found by processes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from longvpo.errors import VideoError
from longvpo.io import remembered
from longvpo.video import children
from longvpo.video import extent as module
from longvpo.video.extent import extent, look_at
from longvpo.video.probe import _probes as probes
from longvpo.video.probe import probe


@pytest.fixture
def films(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Six videos, one of which is damaged and one is not there."""
    monkeypatch.setattr("huggingface_hub.utils._cache_assets.HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.setattr(remembered, "_facts", {})
    films = [tmp_path / f"film {number} é.mp4" for number in range(6)]
    for path in films[:5]:
        shutil.copy(film, path)
    films[3].write_text("no video")
    return films


def said(paths: list[Path]) -> list[Any]:
    found: list[Any] = []
    for path in paths:
        try:
            found.append(extent(path))
        except VideoError as error:
            found.append(str(error))
    return found


def no_longer_probed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Nothing is left in memory; the files that are probed from now on."""
    asked: list[Path] = []

    def fails(path: Path) -> None:
        asked.append(path)
        raise VideoError("probed again")

    remembered._facts.clear()
    monkeypatch.setattr(module, "probe", fails)
    return asked


def test_an_extent_is_that_of_the_probe_and_is_found_once(films: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    found = said(films)
    whole = probe(films[0])
    assert found[0] == (whole.width, whole.height, whole.end, whole.header, 0.25)
    assert found[:3] == [found[0]] * 3 == [found[4]] * 3
    assert found[3].startswith(f"cannot read {films[3].name}: ")
    assert found[5] == f"no such video: {films[5].name}"
    asked = no_longer_probed(monkeypatch)
    assert said(films[:3]) == found[:3]
    assert asked == []
    assert said(films[3:4]) == ["probed again"], "the user may have mended it"


@pytest.mark.parametrize("ended", [False, True])
def test_processes_find_what_this_one_finds(
    ended: bool, films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(children.HERE, "1")
    expected = said(films)
    shutil.rmtree(tmp_path / "assets")
    for memory in (remembered._facts, probes._values):
        memory.clear()
    monkeypatch.delenv(children.HERE)
    monkeypatch.setattr(module, "FILES", 1)
    monkeypatch.setattr(module, "cores", lambda: 2)
    children.end_all()
    if ended:  # what was asked before is gone, and found to be
        probe(films[4])
        children._idle[0].process.kill()
    assert list(look_at(films, 4)) == films
    assert len(children._all) <= 2
    assert said(films) == expected
    asked = no_longer_probed(monkeypatch)
    assert said(films[:3]) == expected[:3]
    assert asked == []
    assert list(look_at(films, 4)) == films
    assert [path.name for path in asked] == [films[3].name], "that is no video; one that is missing is not opened"
