"""A disk that is full: a result that is nearly there is kept elsewhere, and another error is another."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from longvpo.errors import LongVPOError
from longvpo.io import disk
from longvpo.io.disk import not_written, writing
from longvpo.io.output import claimed, place_of, write_whole


class RustError(Exception):
    """As safetensors and tokenizers raise it."""


FULL = {
    "the system": OSError(errno.ENOSPC, "No space left on device"),
    "a quota": OSError(errno.EDQUOT, "Disk quota exceeded"),
    "safetensors": RustError("Error while serializing: I/O error: No space left on device (os error 28)"),
    "tokenizers": RustError("No space left on device (os error 28)"),
    "torch": RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
    "torch's other": RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
}


def test_object_storage_is_no_place_for_an_output() -> None:
    """pathlib makes a folder `s3:` of it, which would be written into in silence."""
    for address in ("s3://bucket/data", "gs://bucket/data", "hf://datasets/you/data", "memory://data"):
        with pytest.raises(LongVPOError, match=r"write an output to a disk or to NFS.* no locks and no renames"):
            place_of(Path(address))
    place_of(Path("a:b/c"))


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(disk, "_free", lambda folder: 100)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


@pytest.mark.parametrize("name", FULL)
def test_a_result_that_meets_a_full_disk_is_kept_elsewhere(name: str, full: Path, tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "half").touch()
        if full not in folder.parents:
            raise FULL[name]
        (folder / "whole").touch()

    place = place_of(tmp_path / "out")
    with (
        pytest.raises(
            LongVPOError, match=r"out: (No space left|Disk quota).*; the result is whole in .*longvpo-kept-"
        ),
        claimed(place, "k"),
    ):
        write_whole(place, write)
    (kept,) = full.iterdir()
    assert sorted(path.name for path in kept.iterdir()) == ["half", "whole"]
    assert list(tmp_path.iterdir()) == [full]


def test_a_result_that_is_written_again_at_once_is_kept_nowhere(full: Path, tmp_path: Path) -> None:
    place = place_of(tmp_path / "out")
    for resumes, again in ((True, "only writes the result again"), (False, "run again")):
        with (
            pytest.raises(LongVPOError, match=f"No space left on device; mend that, and.*{again}"),
            claimed(place, "k"),
        ):
            write_whole(place, lambda folder: (_ for _ in ()).throw(FULL["torch"]), resumes)
    assert list(full.iterdir()) == []


def test_another_error_is_not_the_disks(tmp_path: Path) -> None:
    for error in (KeyError("a"), RuntimeError("CUDA error"), ValueError("x")):
        assert not_written(error, tmp_path) is None
        with pytest.raises(type(error)), writing(tmp_path):
            raise error
    read = FileNotFoundError(errno.ENOENT, "No such file", "clip.mp4")
    assert not_written(read, tmp_path, everything=False) is None
    wrapped = ValueError("cannot save")
    wrapped.__cause__ = FULL["the system"]
    assert not_written(wrapped, tmp_path, everything=False) == "No space left on device"
