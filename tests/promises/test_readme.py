"""The README and the page of the tests name what is there, and quote what was measured."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
from support.commands import Capture
from support.world import GOLDEN, ROOT, TESTS
from typer.main import get_command

README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"


def test_every_promise_names_a_test() -> None:
    page = (TESTS / "README.md").read_text()
    named = set(re.findall(r"`((?:[\w./]+/)?(?:test_\w+|conftest)\.py)`", page))
    assert [name for name in sorted(named) if not (TESTS / name).is_file()] == []
    there = {path.relative_to(TESTS).as_posix() for path in (TESTS / "promises").glob("test_*.py")}
    assert there - named == set(), "promises that the page does not name"


def test_the_readme_names_tests_that_are_there() -> None:
    recipes = sorted(path for path in (ROOT / "recipes").rglob("*.*") if path.is_file())
    pages = [README, ROOT / "CONTRIBUTING.md", *recipes]
    for page in pages:
        for name in re.findall(r"\btests/[\w/.]*\w", page.read_text()):
            assert (ROOT / name).exists(), f"{page}: {name}"


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 210


def test_the_tree_of_the_readme_is_the_tree_on_disk() -> None:
    text = README.read_text(encoding="utf-8")
    tree = text[text.index("```\nlongvpo/") + 4 :].partition("```")[0]
    rooms = {path.name for path in (ROOT / "longvpo").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(re.findall(r"(\w+)/", tree)) == rooms | {"longvpo"}


def test_the_tables_are_those_of_a_demo(capsys: Capture) -> None:
    """The golden adapter's results are a demo's, as it stands."""
    from longvpo.cli.printing import print_tables

    results = json.loads((GOLDEN / "adapter" / "results.json").read_text(encoding="utf-8"))
    printed = ("needle", "multi", "multi_questions", "intervals", "against_base")  # by the demo
    print_tables({name: results[name] for name in printed}, as_json=False)
    tables, _, _ = capsys.readouterr().out.partition("\n\n±")
    assert f"```\n{tables}\n```" in README.read_text(encoding="utf-8")


def test_what_the_readme_says_of_the_demo() -> None:
    from longvpo.cli.demo import CLIPS, STORIES

    facts = json.loads((GOLDEN / "dataset" / "facts.json").read_text(encoding="utf-8"))
    clips, videos = sum(CLIPS.values()), sum(sum(of.values()) for of in STORIES.values())
    one, two = (facts[stage]["triplets"] for stage in ("stage1", "stage2"))
    text = " ".join(README.read_text(encoding="utf-8").split())
    assert f"drew {clips:,} short clips and {videos} longer videos" in text
    assert f"wrote {one:,} triplets about clips. For {two:,} about several scenes" in text


def lines(name: str, **said: Any) -> dict[str, Any]:
    """The one line of a file of results that says this."""
    found = [json.loads(line) for line in (RESULTS / name).read_text(encoding="utf-8").splitlines()]
    (one,) = (line for line in found if line.items() >= said.items())
    return one


def test_how_fast_is_what_was_measured() -> None:
    stock, ours = (lines("gpu_step-h100.jsonl", frames=128, side=side) for side in ("stock", "ours"))
    few, many = (lines("gpu_asking-h100.jsonl", case="greedy", frames=[frames]) for frames in (64, 512))
    build = lines("scale_build.jsonl", rows=100_000, engine="local")
    rows = [
        f"128 frames ({ours['tokens']:,} tokens) | {ours['seconds']:.2f} s and {ours['peak_gb']:.1f} GB; "
        f"stock TRL {stock['seconds']:.2f} s and {stock['peak_gb']:.1f} GB",
        f"{few['seconds_a_question']:.1f} s and {few['peak_gb']:.1f} GB; "
        f"{many['seconds_a_question']:.1f} s and {many['peak_gb']:.1f} GB",
        f"{build['cpu_seconds']:.0f} CPU seconds, {build['mb_after']['files'] / 1000:.1f} GB of memory",
    ]
    text = README.read_text(encoding="utf-8")
    section = text[text.index("\n## How fast\n") :].partition("\n## The house\n")[0]
    assert [row for row in rows if row not in section] == []


def test_every_recipe_of_the_table_is_there() -> None:
    from longvpo.recipe.builtin import builtin_recipes

    text = README.read_text(encoding="utf-8")
    table = text[text.index("\n## Recipes\n") + 1 :].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    assert named == {name.split("/")[0] for name in builtin_recipes()}


def test_the_paper_is_cited_as_cards_cite_it() -> None:
    from longvpo.release.citation import PAPER

    assert f"```bibtex\n{PAPER}\n```" in README.read_text(encoding="utf-8")


def commands_of_the_tables() -> list[str]:
    text = README.read_text(encoding="utf-8")
    return re.findall(r"^\| `(longvpo [^`]+)`", text, re.MULTILINE)


@pytest.mark.parametrize("line", commands_of_the_tables())
def test_what_you_type_can_be_typed(line: str) -> None:
    """Each option is one of its command's."""
    from longvpo.cli.main import app

    _, name, *words = shlex.split(line)
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts}
    assert [word for word in words if word.startswith("-") and word not in options] == []
