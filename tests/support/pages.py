"""The pages people read: their links, their headings' anchors, and the commands that they show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from support.world import ROOT

FENCED = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SHELL = ("", "bash", "console", "sh")  # what is said of a block of commands


class Link(NamedTuple):
    """Where a page sends its reader, as it is written there: `../recipes/KEYS.md#train`."""

    page: Path
    target: str


def pages() -> list[Path]:
    """Every page below recipes/, benchmarks/ and docs/, and that of the tests."""
    found = [path for folder in ("recipes", "benchmarks", "docs") for path in (ROOT / folder).rglob("*.md")]
    return sorted([*found, ROOT / "tests" / "README.md"])


def prose(page: Path) -> str:
    """A page without its blocks of code, and without code in its lines."""
    return re.sub(r"`[^`\n]+`", "", FENCED.sub("", page.read_text(encoding="utf-8")))


def links(page: Path) -> list[Link]:
    """The links and pictures of a page."""
    return [Link(page, target) for target in re.findall(r"\]\(([^()\s]+)\)", prose(page))]


def anchors(page: Path) -> set[str]:
    """What its headings are called in an address, as GitHub makes it of their words."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing(link: Link) -> str | None:
    """What is not on disk of a link into this repository; None where all is, or where it leads out into the web."""
    place, _, anchor = link.target.partition("#")
    if re.match(r"\w+:", place):
        return None
    file = (link.page.parent / place).resolve() if place else link.page
    if not file.is_relative_to(ROOT) or not file.exists():
        return f"{link.target}: no such file"
    if anchor and anchor not in anchors(file):
        return f"{link.target}: no such heading"
    return None


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command of longvpo in a page's blocks, without the program's name.

    Of `a && b` each is one; so is what `-m longvpo` follows, as accelerate is given it.
    """
    for _, language, block in FENCED.findall(page.read_text(encoding="utf-8")):
        if language not in SHELL:
            continue
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True) if "longvpo" in line.split() else []
            for start in [at + 1 for at, word in enumerate(words) if word == "longvpo"]:
                if start == 1 or words[start - 2] in ("&&", "-m"):
                    rest = words[start:]
                    yield rest[: rest.index("&&")] if "&&" in rest else rest


def scripts(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The programs of this repository that a page calls, each with the options that it gives them."""
    text = page.read_text(encoding="utf-8")
    for script, rest in re.findall(r"\bpython (benchmarks/\w+\.py)([^`#|\n]*)", text):
        yield script, re.findall(r"(?<!\S)--[\w-]+", rest)


def tables(page: Path, column: str) -> list[list[str]]:
    """The cells of the rows of the table whose first line names a column, without that line."""
    lines = iter(page.read_text(encoding="utf-8").splitlines())
    next(line for line in lines if line.startswith("|") and column in line)
    next(lines)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in iter(lambda: next(lines, ""), "")]
    return [cells for cells in rows if len(cells) > 1]


def modules(page: Path) -> list[str]:
    """The files of Python that a page names in its text, each as it is written there."""
    return re.findall(r"`((?:[\w.-]+/)*(?!__init__)\w+\.py)`", FENCED.sub("", page.read_text(encoding="utf-8")))
