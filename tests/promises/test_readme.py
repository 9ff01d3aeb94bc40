"""The README and the page of the tests name what is there."""

from __future__ import annotations

import re

from support.world import ROOT, TESTS


def test_every_promise_names_a_test() -> None:
    page = (TESTS / "README.md").read_text()
    named = set(re.findall(r"`((?:[\w./]+/)?(?:test_\w+|conftest)\.py)`", page))
    assert [name for name in sorted(named) if not (TESTS / name).is_file()] == []
    there = {path.relative_to(TESTS).as_posix() for path in (TESTS / "promises").glob("test_*.py")}
    assert there - named == set(), "promises that the page does not name"


def test_the_readme_names_tests_that_are_there() -> None:
    recipes = sorted(path for path in (ROOT / "recipes").rglob("*.*") if path.is_file())
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *recipes]
    for page in pages:
        for name in re.findall(r"\btests/[\w/.]*\w", page.read_text()):
            assert (ROOT / name).exists(), f"{page}: {name}"


def test_the_tree_of_the_readme_is_the_tree_on_disk() -> None:
    text = (ROOT / "README.md").read_text()
    tree = text[text.index("```\nlongvpo/") + 4 :].partition("```")[0]
    folders: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0]
        folders = [*folders[: (len(line) - len(line.lstrip())) // 2], name]
        assert (ROOT / "".join(folders)).exists(), line
    rooms = {path.name for path in (ROOT / "longvpo").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert [room for room in sorted(rooms) if f"\n  {room}/" not in tree] == []
