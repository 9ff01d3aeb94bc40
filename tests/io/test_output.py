"""Where a result goes is proved and locked before the work, and the result is whole when it is there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.places import check_made, empty, link, make, new

from longvpo.errors import LongVPOError
from longvpo.io import output
from longvpo.io.disk import check_room
from longvpo.io.output import Place, claimed, place_of, whole_folder, whole_output

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
as_user = pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")


# --- any folder will do that is empty


def deep(at: Path) -> Path:
    return at / "a" / "b" / "out"


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


def test_others_may_read_a_result_as_far_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with whole_output(tmp_path / "out") as folder:
            (folder / "weights").touch(0o600)
            (folder / "program").touch(0o700)
    finally:
        os.umask(before)
    assert [(tmp_path / "out" / name).stat().st_mode & 0o777 for name in ("weights", "program")] == [0o640, 0o740]


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


def test_the_place_is_the_same_for_every_process_of_a_run(tmp_path: Path) -> None:
    for where in (new(tmp_path), deep(tmp_path)):
        first = place_of(where)
        with ExitStack() as stack:
            stack.enter_context(claimed(first, "k"))
            assert place_of(where) == first
    assert isinstance(first, Place)
    with claimed(first, "k"), whole_folder(first) as folder:
        assert folder.parent == first.work
