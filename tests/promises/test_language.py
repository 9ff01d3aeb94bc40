"""Pages, help texts, messages, docstrings and comments are plain English, as support/language.py counts it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import language
from support.language import Block, faults_in
from support.world import ROOT

PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "tests/README.md", "benchmarks", "docs", "recipes")
CARDS = ("dataset_cards", "model_cards")
ROOMS = sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / "longvpo").iterdir() if path.suffix in ("", ".py")
)


@pytest.mark.parametrize("name", [*PAGES, *CARDS, *ROOMS])
def test_a_text_is_plain_english(name: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{fault.line}: {fault.what}: {fault.sentence}"
        for path in language.files_in([str(ROOT / name)])
        if path.is_file()
        for fault in language.faults(path)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("sentence", "fault"),
    [
        ("word " * 26, "more than 25 words"),
        ("A clip (a span (video, start, end) of a video) is kept.", "a bracket inside a bracket"),
        ("The text is what an answer is made of.", "no noun at `of`"),
        ("of the result: its folder", "no noun at `of`"),
        ("A batch has 16 rows; of long ones, fewer.", "no noun at `of`"),
        ("The same command goes on.", "`goes on`: say resume or continue"),
        ("The text alone decides.", "`alone`: say only"),
        ("An answer that is cut is dropped.", "`answer that is cut`: say truncated"),
        ("It samples 2 frames a second.", "`frames a second`: say per"),
        ("Each row is read anew.", "`anew`: say again"),
    ],
)
def test_a_known_fault_is_found(sentence: str, fault: str) -> None:
    assert [found.what for found in faults_in(Block(1, sentence))] == [fault]


@pytest.mark.parametrize(
    "sentence",
    [
        "word " * 25,
        "word " * 20 + "end. " + "word " * 20,
        "A cut between two scenes is the time of the picture after it. A video is cut at its scenes.",
        "It is one of them (the first), e.g. `range(len(values[0]))`, and the `of` of a path.",
        "`longvpo build-dataset RECIPE KEY=VALUE` " + "word " * 24,
    ],
)
def test_a_plain_sentence_passes(sentence: str) -> None:
    assert list(faults_in(Block(1, sentence))) == []


MARKDOWN = """---
title: no prose, of
---
# A heading

A paragraph with a [link
over lines](https://example.org/of) and `code`. Its second
sentence.
- an item
- another

| cell | `a|b` |
|---|---|
| third | |

```
code of
```
<!-- a comment of --><details>last</details>
"""


def read(tmp_path: Path, name: str, text: str) -> list[tuple[int, str]]:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return [found for block in language.blocks(file) for found in language.sentences(block)]


def test_prose_is_taken_out_of_markdown(tmp_path: Path) -> None:
    assert read(tmp_path, "page.md", MARKDOWN) == [
        (4, "A heading"),
        (6, "A paragraph with a link over lines and `code`."),
        (7, "Its second sentence."),
        (9, "an item"),
        (10, "another"),
        (12, "cell"),
        (12, "`a/b`"),
        (14, "third"),
        (19, "last"),
    ]


def test_tags_of_a_template_are_taken_away(tmp_path: Path) -> None:
    text = "{# no\nprose #}\n{% if a %}{{ a }} rows{% else %}no\nrow{% endif %} in it.\n"
    assert read(tmp_path, "card.md.jinja", text) == [(3, "X rows"), (3, "no row in it.")]


def test_prose_is_taken_out_of_yaml(tmp_path: Path) -> None:
    text = "# A recipe.\n# Its command:\n#\n#     longvpo train x\n#\nkey: 'a # b'  # behind it\nother: a#b\n"
    assert read(tmp_path, "a.yaml", text) == [(1, "A recipe."), (2, "Its command:"), (6, "behind it")]


PYTHON = '''"""A module.

    longvpo demo
"""


def one(a):  # trailing
    """First. Second.

    Args:
        a: what it is, on
            two lines.
        b, c: others.

    Returns:
        A number.
    """
    # a comment
    # over lines
    if a:
        raise ValueError(f"{a} is wrong" + ", and more")
    return option(help="A help " "text.", other="not a text")  # noqa: B010 - why
'''


def test_prose_is_taken_out_of_python(tmp_path: Path) -> None:
    assert read(tmp_path, "a.py", PYTHON) == [
        (1, "A module."),
        (7, "trailing"),
        (8, "First."),
        (8, "Second."),
        (11, "what it is, on two lines."),
        (13, "others."),
        (16, "A number."),
        (18, "a comment over lines"),
        (21, "X is wrong, and more"),
        (22, "A help text."),
    ]


def test_the_command_line_names_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "page.md"
    file.write_text("Good.\n\nWhat it is made of.\n")
    assert language.main([str(file)]) == 1
    assert capsys.readouterr().out == f"{file}:3: 5 words, no noun at `of`: What it is made of.\n"
