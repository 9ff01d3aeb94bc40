"""One run at a time has an output, and a lock dies with its process."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.places import check_made, empty, link, make, new

from longvpo.errors import LongVPOError
from longvpo.io.output import claimed, place_of


@pytest.mark.parametrize("where", [new, empty, link])
def test_a_second_run_is_refused_at_once(where: Callable[[Path], Path], tmp_path: Path) -> None:
    at = where(tmp_path)
    place = place_of(at)
    with claimed(place, "k"):
        before = sorted(tmp_path.rglob("*"))
        for key in ("k", "other"):
            with pytest.raises(LongVPOError, match=rf"another process is at work in .*\({os.getpid()} on "):
                make(at, key)
        assert sorted(tmp_path.rglob("*")) == before
    make(at)
    check_made(at)


def test_a_folder_that_is_made_meanwhile_is_no_way_round_the_lock(tmp_path: Path) -> None:
    with claimed(place_of(tmp_path / "out"), "k"):
        (tmp_path / "out").mkdir()
        with pytest.raises(LongVPOError, match="another process is at work"):
            make(tmp_path / "out")
        with (
            pytest.raises(LongVPOError, match="another process is at work"),
            claimed(place_of(tmp_path / "out", inside=True), "k", keep=True),
        ):
            raise AssertionError("work")


def test_a_run_that_was_finished_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    place = place_of(tmp_path / "out")
    make(tmp_path / "out")
    with pytest.raises(LongVPOError, match=r"has just made .*: run the same command again"), claimed(place, "k"):
        raise AssertionError("work")
    check_made(tmp_path / "out")


def test_what_a_kill_left_just_at_the_end_goes_away(tmp_path: Path) -> None:
    at = new(tmp_path)
    with claimed(place_of(at), "k"):
        (tmp_path / "left").mkdir()
        for name in ("lock", "key.json"):
            (tmp_path / "left" / name).write_bytes((tmp_path / "out.unfinished" / name).read_bytes())
    make(at)
    (tmp_path / "left").rename(tmp_path / "out.unfinished")
    check_made(at)
    assert list(tmp_path.iterdir()) == [at]


@pytest.mark.parametrize("where", [new, empty])
def test_a_lock_dies_with_its_process(where: Callable[[Path], Path], tmp_path: Path) -> None:
    at = where(tmp_path)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        with claimed(place_of(at), "k") as work:
            (work / "final").mkdir()
            os.write(tell, b"!")
            signal.pause()
    assert os.read(told, 1) == b"!"
    with pytest.raises(LongVPOError, match=rf"\({child} on "):
        make(at)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    make(at, "of another recipe")
    make_again = pytest.raises(LongVPOError, match="is not empty")
    with make_again:
        make(at)


def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    make(tmp_path / "out")
    check_made(tmp_path / "out")
    assert "there are no locks here, so start no second run in it" in capsys.readouterr().err
