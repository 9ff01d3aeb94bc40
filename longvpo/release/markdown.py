"""Texts of others in a page of Markdown: whatever they hold, they stay texts.

The rule: a text is escaped by the place where it stands. On a line it keeps spans of code and nothing else. In code
it ends neither the span nor the block. Notes, which people write for a card, keep what Markdown has in a paragraph. No
text makes a heading, a block, a picture or HTML.
"""

from __future__ import annotations

import json
import re
from typing import Any

from markupsafe import Markup

from longvpo.errors import STEERING, visible

SPAN = re.compile(r"((?<!`)`(?!`)[^`]+`(?!`))")
MEANT = re.compile(r"[\\`*<>\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|!(?=\[)")  # by Markdown, HTML and formulas
# what a line may begin with that is no paragraph
BLOCK = re.compile(r"[#>|=~+-]|:-|\*(?=\s|$)|([*_])(?:\s*\1){2,}\s*$|\d{1,9}[.)]|\[[^\]]*\]:")
WITHIN = re.compile(r"(\\*)(<|&(?=#?\w+;)|!(?=\[)|`{2,})")  # and what no paragraph of notes may hold
FENCE = re.compile(r" {0,3}(`{3,})")


def inline(value: Any) -> Markup:
    """A text as a part of a line, also in a table."""
    parts = SPAN.split(_line(value))
    return Markup(
        "".join(code(part[1:-1]) if place % 2 else MEANT.sub(r"\\\g<0>", part) for place, part in enumerate(parts))
    )


def code(value: Any) -> Markup:
    """A text as a span of code. In a table it ends no cell either."""
    text = _line(value).strip().replace("`", "'").replace("|", "/")
    return Markup(f"`{text or ' '}`")


def fenced(text: str, language: str = "") -> Markup:
    """A text of several lines as a block of code, word for word."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}{language}\n{visible(text)}\n{fence}")


def quoted(value: Any) -> Markup:
    """A text between the double quotes of a program, which JSON and Python have alike."""
    return Markup(STEERING.sub(_escaped, json.dumps(str(value), ensure_ascii=False)[1:-1]))


def as_json(value: Any) -> str:
    """JSON on one line that moves no cursor."""
    return STEERING.sub(_escaped, json.dumps(value, ensure_ascii=False))


def paragraphs(text: str) -> Markup:
    """Notes of a person: paragraphs with emphasis, links and spans of code."""
    found = []
    for paragraph in re.split(r"\n\s*\n", str(text).replace("\r", "\n").strip()):
        lines = [_of_paragraph(visible(line.strip())) for line in paragraph.split("\n")]
        found.append("\n".join(line for line in lines if line))
    return Markup("\n\n".join(one for one in found if one))


def tidy(page: str) -> str:
    """A page with at most one blank line at a time, but for what stands in a block of code."""
    kept: list[str] = []
    fence = ""  # that is open
    for line in page.split("\n"):
        marks = FENCE.match(line)
        if fence:
            fence = "" if marks and marks[1].startswith(fence) and not line.strip(" `") else fence
        elif marks:
            fence = marks[1]
        elif not line and kept and not kept[-1]:
            continue
        kept.append(line)
    return "\n".join(kept)


def _line(value: Any) -> str:
    return visible(re.sub(r"[^\S ]+", " ", str(value)))


def _of_paragraph(line: str) -> str:
    line = WITHIN.sub(lambda found: 2 * found[1] + "".join(f"\\{one}" for one in found[2]), line)
    if BLOCK.match(line):
        number = re.match(r"\d+", line)
        place = number.end() if number else 0
        line = f"{line[:place]}\\{line[place:]}"
    return line


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
