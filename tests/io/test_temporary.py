"""Folders that the next run removes."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import longvpo


def test_the_folder_of_a_living_process_and_those_of_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from longvpo.io.temporary import own_folder

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "longvpo-other-1").mkdir()
    (tmp_path / "longvpo-release-link").symlink_to(tmp_path / "longvpo-other-1")
    (tmp_path / "longvpo-release-dead").mkdir()
    (tmp_path / "longvpo-release-dead" / "file").write_text("")
    with own_folder("release") as one, own_folder("release") as two:
        assert one != two
        assert one.is_dir()
        assert sorted(path.name for path in tmp_path.iterdir() if path not in (one, two)) == [
            "longvpo-other-1",
            "longvpo-release-link",
        ]
        monkeypatch.setattr("os.getuid", lambda: os.stat(tmp_path).st_uid + 1)
        (tmp_path / "longvpo-release-theirs").mkdir()
        with own_folder("release"):
            assert (tmp_path / "longvpo-release-theirs").is_dir()
    assert not one.exists()


def test_folders_that_are_made_at_the_same_time_are_not_taken_for_dead_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from longvpo.io.temporary import own_folder

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def use(number: int) -> None:
        for _ in range(40):
            with own_folder("read") as folder:
                (folder / "file").write_text(str(number))
                assert (folder / "file").read_text() == str(number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(use, range(6)))
    assert list(tmp_path.iterdir()) == []


def test_all_that_a_kill_could_leave_lies_in_such_a_folder() -> None:
    kept = {"io/temporary.py", "io/output.py", "tiny/base.py"}  # a result that a full disk refused; a tool of ours
    package = Path(longvpo.__file__).parent
    makes = re.compile(r"TemporaryDirectory|mkdtemp|NamedTemporaryFile|mkstemp")
    found = {str(path.relative_to(package)) for path in package.rglob("*.py") if makes.search(path.read_text())}
    assert found <= kept
