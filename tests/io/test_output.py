"""Where a result goes is proved and locked before the work, and the result is whole when it is there."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from longvpo.errors import LongVPOError
from longvpo.io import disk, output
from longvpo.io.disk import check_room, not_written, writing
from longvpo.io.output import Place, claimed, finished, place_of, whole_folder, whole_output, write_whole

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
as_user = pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")


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


# --- any folder will do that is empty


def new(at: Path) -> Path:
    return at / "out"


def deep(at: Path) -> Path:
    return at / "a" / "b" / "out"


def empty(at: Path) -> Path:
    (at / "out").mkdir()
    return at / "out"


def link(at: Path) -> Path:
    (at / "scratch").mkdir()
    (at / "out").symlink_to(at / "scratch")
    return at / "out"


def link_to_nothing(at: Path) -> Path:
    (at / "out").symlink_to(at / "scratch")
    return at / "out"


def here(at: Path) -> Path:
    return Path()


def above(at: Path) -> Path:
    (at / "x").mkdir()
    os.chdir(at / "x")
    return Path("../out")


def mounted_anew(at: Path) -> Path:
    (empty(at) / "lost+found").mkdir()
    return at / "out"


def brackets(at: Path) -> Path:
    return at / "[a] #1 * été"


@pytest.mark.parametrize("where", [new, deep, empty, link, link_to_nothing, here, above, brackets, mounted_anew])
def test_a_result_goes_into_any_folder_that_is_new_or_empty(
    where: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    at = where(tmp_path)
    make(at)
    check_made(at)
    assert not list(tmp_path.rglob("*unfinished*")) + list(tmp_path.rglob("work"))


@as_root
def test_a_result_goes_into_a_mount(tmp_path: Path) -> None:
    at = empty(tmp_path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", at], check=True)
    try:
        make(at)
        check_made(at)
        assert list(tmp_path.iterdir()) == [at]
    finally:
        subprocess.run(["umount", at], check=True)


@pytest.mark.parametrize("where", [new, empty])
def test_a_failure_leaves_nothing(where: Callable[[Path], Path], tmp_path: Path) -> None:
    at = where(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with (
        pytest.raises(FileNotFoundError),  # not of writing
        claimed(place_of(at / "deeper" if where is new else at), "k"),
        whole_folder(place_of(at / "deeper" if where is new else at)) as folder,
    ):
        (folder / "README.md").write_text((folder / "none").read_text())
    assert sorted(tmp_path.rglob("*")) == before


# --- what will not do is said before the work


def a_file(at: Path) -> Path:
    (at / "out").write_text("mine")
    return at / "out"


def below_a_file(at: Path) -> Path:
    return a_file(at) / "deeper"


def a_device(at: Path) -> Path:
    return Path("/dev/null")


def too_long(at: Path) -> Path:
    return at / ("a" * 300)


def in_a_circle(at: Path) -> Path:
    (at / "one").symlink_to(at / "two")
    (at / "two").symlink_to(at / "one")
    return at / "one"


def not_empty(at: Path) -> Path:
    (empty(at) / "thesis.tex").write_text("mine")
    return at / "out"


def not_our_work(at: Path) -> Path:
    (empty(at) / "work").mkdir()
    (at / "out" / "work" / "thesis.tex").write_text("mine")
    return at / "out"


def not_our_unfinished(at: Path) -> Path:
    (at / "out.unfinished").mkdir()
    (at / "out.unfinished" / "thesis.tex").write_text("mine")
    return at / "out"


def root(at: Path) -> Path:
    return Path("/")


def without_a_system_for_it(at: Path) -> Path:
    return Path("/proc/out")


BAD = {
    a_file: "is a file",
    below_a_file: "Not a directory",
    a_device: "is a file",
    too_long: "File name too long",
    in_a_circle: "",
    not_empty: "is not empty",
    not_our_work: "is not empty",
    not_our_unfinished: "out.unfinished is not empty",
    root: "/ is not empty",
    without_a_system_for_it: "cannot write into /proc/out",
}


@pytest.mark.parametrize("where", BAD)
def test_what_is_no_place_is_refused_before_the_work(where: Callable[[Path], Path], tmp_path: Path) -> None:
    at = where(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LongVPOError) as said, whole_output(at):
        raise AssertionError("work")
    assert BAD[where] in str(said.value)
    assert "give another --output" in str(said.value)
    assert sorted(tmp_path.rglob("*")) == before


@as_user
def test_a_closed_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(LongVPOError, match="Permission denied"), whole_output(tmp_path / "out"):
        raise AssertionError("work")


@as_root
@pytest.mark.parametrize(("options", "says"), [("ro", "Read-only file system"), ("size=4k", "No space left")])
def test_a_file_system_that_takes_nothing_is_refused_before_the_work(options: str, says: str, tmp_path: Path) -> None:
    at = empty(tmp_path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", at], check=True)
    try:
        for place in (at, at / "deeper"):
            with pytest.raises(LongVPOError, match=says), whole_output(place):
                raise AssertionError("work")
        assert list(at.iterdir()) == []
    finally:
        subprocess.run(["umount", at], check=True)


def test_room_is_asked_for_before_the_work(tmp_path: Path) -> None:
    check_room(tmp_path / "not" / "there", 1000, "the run writes")
    with pytest.raises(LongVPOError, match=r"of free space, and the run writes 1,000,000,000.0 MB: free some space"):
        check_room(tmp_path, 10**15, "the run writes")


# --- one process at a time


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


# --- a run that was killed


def whole_file_in(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.touch()
    return path.parent


def test_what_was_kept_stays_and_is_of_one_recipe(tmp_path: Path) -> None:
    """In a folder that was there, checkpoints lie inside."""
    at = empty(tmp_path)
    place = place_of(at)
    assert place.checkpoints == at / "work" / "checkpoints"
    whole = place.checkpoints / "checkpoint-1" / "whole"
    with pytest.raises(IsADirectoryError), claimed(place, "k", "aaaa"):
        whole_file_in(whole).read_bytes()
    with pytest.raises(LongVPOError, match="a run of another recipe: its hash is aaaa"), claimed(place, "k", "bbbb"):
        raise AssertionError("work")
    with pytest.raises(LongVPOError, match=r"\(aaaa\) from other input"), claimed(place, "other", "aaaa"):
        raise AssertionError("work")
    with claimed(place, "k", "aaaa") as work:
        assert (work / "checkpoints" / "checkpoint-1" / "whole").is_file()


def test_a_kill_while_files_are_put_into_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = empty(tmp_path)
    replace, moved = Path.replace, []

    def killed(path: Path, target: Path) -> Path:
        if path.parent.name == "final":
            moved.append(path.name)
            if len(moved) == 2:
                raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    monkeypatch.setattr(output, "_tidy", lambda place: None)  # as after a kill
    with pytest.raises(KeyboardInterrupt):
        make(at)
    monkeypatch.undo()
    assert moved == ["adapter", "facts.json"]
    assert sorted(path.name for path in at.iterdir()) == ["adapter", "work"]
    with pytest.raises(LongVPOError, match="holds a run of this recipe"):
        make(at, "other")
    make(at)
    check_made(at)


# --- a result of hours


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


def test_the_place_is_the_same_for_every_process_of_a_run(tmp_path: Path) -> None:
    for where in (new(tmp_path), deep(tmp_path)):
        first = place_of(where)
        with ExitStack() as stack:
            stack.enter_context(claimed(first, "k"))
            assert place_of(where) == first
    assert isinstance(first, Place)
    with claimed(first, "k"), whole_folder(first) as folder:
        assert folder.parent == first.work
