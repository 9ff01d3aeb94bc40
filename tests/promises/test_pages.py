"""The pages beside the recipes, the benchmarks and the tests lead somewhere, and name commands that are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.pages import Link, anchors, commands, links, missing, modules, pages, scripts
from support.world import ROOT
from typer.main import get_command

from longvpo.cli.main import app
from longvpo.recipe.file import load_recipe
from longvpo.recipe.kinds import COMMANDS, KINDS

KIND = {command: kind for kind, command in COMMANDS.items()} | {"frames": "train", "score": "train"}
STANDS_FOR = {"dataset": "tiny/dataset", "train": "tiny/stage1", "evaluate": "tiny/evaluate"}  # for RECIPE
PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())


def check(words: list[str]) -> None:
    """The program takes this command line; its recipe is there, and takes what is set of it."""
    program: Any = get_command(app)
    with program.make_context("longvpo", list(words)) as above:
        name, command, rest = program.resolve_command(above, list(words))
        with command.make_context(name, rest, parent=above) as given:
            recipe, overrides = given.params.get("recipe"), given.params.get("overrides")
    if name in KIND:
        kind = KIND[name]
        named = STANDS_FOR[kind] if recipe == "RECIPE" or recipe.endswith(".yaml") else recipe
        load_recipe(KINDS[kind], named, overrides)


@PAGES
def test_links_lead_somewhere(page: Path) -> None:
    assert [said for link in links(page) if (said := missing(link))] == []


@PAGES
def test_commands_are_taken_by_the_program(page: Path) -> None:
    for words in commands(page):
        check(words)


@PAGES
def test_programs_are_there_and_know_their_options(page: Path) -> None:
    for script, options in scripts(page):
        text = (ROOT / script).read_text(encoding="utf-8")
        assert [option for option in options if f'"{option}"' not in text] == [], script


@PAGES
def test_modules_are_there(page: Path) -> None:
    """By their path from the repository, or from the page."""
    there = (ROOT, page.parent)
    assert [name for name in modules(page) if not any((folder / name).is_file() for folder in there)] == []


@pytest.mark.parametrize("page", [page for page in pages() if page.name != "KEYS.md"], ids=lambda page: page.stem)
def test_no_page_is_long(page: Path) -> None:
    assert len(page.read_text(encoding="utf-8").splitlines()) <= 300


def test_the_house_is_the_tree_on_disk() -> None:
    """Each line's first word is a file or a folder, and other modules that it names lie beside it or inside."""
    text = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
    tree = text[text.index("```\nlongvpo/") + 4 :].partition("```")[0]
    folders: list[str] = []
    for line in tree.splitlines():
        first = line.split()[0]
        folders = [*folders[: (len(line) - len(line.lstrip())) // 2], first]
        place = ROOT / "".join(folders)
        assert place.exists(), line
        for name in re.findall(r"\b\w+\.py\b", line):
            assert (place / name).is_file() or (place.parent / name).is_file(), line
    rooms = {path.name for path in (ROOT / "longvpo").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert [room for room in sorted(rooms) if f"\n  {room}/" not in tree] == []


def test_commands_and_programs_are_found() -> None:
    assert len([words for page in pages() for words in commands(page)]) > 20
    assert len([script for page in pages() for script in scripts(page)]) > 20


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trains tiny", "No such command"),
        ("train tiny --fast", "No such option"),
        ("push", "Missing"),
        ("train tinny", "no recipe tinny"),
        ("train tiny/stage1 data.sets=x", "data.sets"),
    ],
)
def test_a_command_that_is_not_there_is_found(line: str, said: str) -> None:
    with pytest.raises(Exception, match=said):
        check(line.split())


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = ROOT / "recipes" / "README.md"
    assert missing(Link(page, "nowhere.md")) == "nowhere.md: no such file"
    assert missing(Link(page, "../..")) == "../..: no such file"
    assert missing(Link(page, "#nowhere")) == "#nowhere: no such heading"
    assert missing(Link(page, "https://huggingface.co")) is None
    assert {missing(Link(page, f"#{one}")) for one in anchors(page)} == {None}
