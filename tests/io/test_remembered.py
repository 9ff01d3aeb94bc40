"""Facts of files, found once for all runs."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from longvpo.io import remembered as module
from longvpo.io.files import file_hash
from longvpo.io.remembered import kept_under, remembered, remembered_hash


class Finder:
    """Says what a file holds, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, path: Path) -> list[str]:
        self.asked.append(path.name)
        return [path.read_text()]


@pytest.fixture
def find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Finder:
    monkeypatch.setattr("huggingface_hub.utils._cache_assets.HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.setattr(module, "_facts", {})
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    return Finder()


def another_run() -> None:
    """Nothing is left in memory."""
    module._facts.clear()


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "assets" / "longvpo" / "facts" / "texts").iterdir())


def test_a_fact_is_found_once_for_all_runs_and_again_when_the_file_changes(find: Finder, tmp_path: Path) -> None:
    for _ in range(3):
        assert [remembered("texts", tmp_path / name, find) for name in "ab"] == [["one"], ["two"]]
        another_run()
    assert find.asked == ["a", "b"]
    facts = (tmp_path / "a").stat()
    (tmp_path / "new").write_text("ONE")
    (tmp_path / "new").replace(tmp_path / "a")
    os.utime(tmp_path / "a", ns=(facts.st_atime_ns, facts.st_mtime_ns))  # the size and the time of writing are kept
    assert remembered("texts", tmp_path / "a", find) == ["ONE"]
    assert remembered("other texts", tmp_path / "a", find) == ["ONE"]
    assert find.asked == ["a", "b", "a", "a"]


def test_a_link_is_the_file_that_it_names(find: Finder, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a")
    assert remembered("texts", tmp_path / "link", find) == remembered("texts", tmp_path / "a", find) == ["one"]
    assert find.asked == ["link"]


def test_an_error_is_not_remembered(find: Finder, tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        raise ValueError(path.name)

    with pytest.raises(ValueError, match="a"):
        remembered("texts", tmp_path / "a", fails)
    assert remembered("texts", tmp_path / "a", find) == ["one"]
    with pytest.raises(FileNotFoundError):
        remembered("texts", tmp_path / "gone", find)


@pytest.mark.parametrize("line", ["[1, 2", '"text"', "[[], 5]", "{}", "\x00" * 9, "[1, 2, 3, 4]", "["])
def test_a_damaged_line_costs_no_other(line: str, find: Finder, tmp_path: Path) -> None:
    remembered("texts", tmp_path / "a", find)
    with kept(tmp_path)[0].open("a") as file:
        file.write(line)
    another_run()
    remembered("texts", tmp_path / "b", find)
    another_run()
    assert [remembered("texts", tmp_path / name, find) for name in "ab"] == [["one"], ["two"]]
    assert find.asked == ["a", "b"]


@pytest.mark.parametrize("fault", ["no folder", "no writing", "no reading"])
def test_a_cache_that_cannot_be_used_costs_only_time(
    fault: str, find: Finder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> Path:
        raise PermissionError("read-only")

    name = {"no folder": "huggingface_hub.cached_assets_path", "no writing": "longvpo.io.remembered.append_lines"}
    monkeypatch.setattr(name.get(fault, "longvpo.io.remembered.read_lines"), fails)
    assert remembered("texts", tmp_path / "a", find) == ["one"]


def test_many_files_become_one(find: Finder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered("texts", tmp_path / "a", find)
    for number in range(module.FILES_KEPT):
        kept(tmp_path)[0].with_name(f"host-{number}.jsonl").write_text(f'["state {number}", {number}]\n' * 3)
    another_run()
    remembered("texts", tmp_path / "b", find)
    assert len(kept(tmp_path)) == 1
    another_run()
    assert [remembered("texts", tmp_path / name, find) for name in "ab"] == [["one"], ["two"]]
    assert find.asked == ["a", "b"]
    assert len(next(iter(module._facts.values()))) == module.FILES_KEPT + 2


def test_threads_share_it(find: Finder, tmp_path: Path) -> None:
    paths = [tmp_path / f"file {number}" for number in range(200)]
    for path in paths:
        path.write_text(path.name)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda path: remembered("texts", path, find), paths)) == [[path.name] for path in paths]
    another_run()
    assert all(remembered("texts", path, find) == [path.name] for path in paths)
    assert len(find.asked) == len(paths)


def test_the_hash_of_a_large_file_is_remembered(find: Finder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "file_hash", lambda path: find(path) and file_hash(path))
    for size, asked in ((module.LARGE - 1, 3), (module.LARGE, 1)):
        find.asked.clear()
        (tmp_path / "a").write_text("x" * size)
        for _ in range(3):
            assert remembered_hash(tmp_path / "a") == file_hash(tmp_path / "a")
            another_run()
        assert len(find.asked) == asked


def test_what_was_made_is_kept_under_its_key(find: Finder, tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> list[int]:
        made.append(len(made))
        return made[-1:]

    assert [kept_under("texts", key, make) for key in ("a", "a", "b", "a")] == [[0], [0], [1], [0]]
    (tmp_path / "assets" / "longvpo" / "facts" / "texts" / "a.json").write_text("[0")
    assert [kept_under("texts", "a", make) for _ in range(2)] == [[2], [2]], "damaged"
    assert made == [0, 1, 2]
