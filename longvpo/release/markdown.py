"""Foreign texts in a page of Markdown: whatever they hold, they stay texts.

The rule: a text is escaped by the place where it stands. On a line it keeps spans of code and nothing else. In code
it ends neither the span nor the block. Notes, which people write for a card, keep what Markdown has in a paragraph. No
text makes a heading, a block, a picture or HTML. What becomes a link or a formula by itself, on GitHub or the Hub,
stands as code: no escape prevents it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from markupsafe import Markup

from longvpo.errors import STEERING, visible

SPAN = re.compile(r"((?<!`)`(?!`)[^`]+`(?!`))")
# an address, an e-mail address, and what begins and ends a formula
ITSELF = re.compile(r"((?:(?:https?://|\bwww\.)[^\s`|]+|[\w.+-]+@[\w-]+\.[\w.-]+|\\[()\[\]]|\${2,})+)")
MEANT = re.compile(r"[\\`*<>\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|!(?=\[)")  # by Markdown, HTML and formulas
# what begins a line that is not a paragraph
BLOCK = re.compile(r"[#>|=~+-]|:-|\*(?=\s|$)|([*_])(?:\s*\1){2,}\s*$|\d{1,9}[.)]|\[[^\]]*\]:")
WITHIN = re.compile(r"(\\*)(<|&(?=#?\w+;)|!(?=\[)|`{2,})")  # and what no paragraph of notes may hold
FENCE = re.compile(r" {0,3}(`{3,})")
ON_HUB = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[\w.-]+))?", re.ASCII)


def inline(value: Any, links: bool = False) -> Markup:
    """A text as a part of a line, also in a table.

    Args:
        links: addresses in it may become links, as in a text that a person wrote for a card.
    """
    parts = SPAN.split(_line(value))
    plain = _escape if links else _plain
    told = "".join(code(part[1:-1]) if place % 2 else plain(part) for place, part in enumerate(parts))
    return Markup(told.replace("``", "` `"))  # two spans of code side by side would be one


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


def page_of(repo_id: str, kind: Literal["dataset", "model"] = "model") -> str:
    """The address of a repository on the Hub."""
    return f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{repo_id}"


def at_hub(value: Any, kind: Literal["dataset", "model"] = "model") -> Markup:
    """`namespace/name@revision` as a link to it on the Hub, any other text as code.

    Of `model@revision+adapter@hash`, which writers are called, each part: the hash is of weights, and no revision.
    """
    parts = [ON_HUB.fullmatch(part) for part in str(value).split("+")]
    links = []
    for place, part in enumerate(parts):
        if part is None:
            return code(value)
        revision = part["revision"] or ""
        tree = f"/tree/{revision}" if revision and place == 0 else ""
        links.append(f"[`{part['id']}{revision and '@' + revision[:12]}`]({page_of(part['id'], kind)}{tree})")
    return Markup(" + ".join(links))


def tidy(page: str) -> str:
    """A page with at most one blank line at a time, except in a block of code."""
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


def _plain(text: str) -> str:
    """A text without spans of code."""
    return "".join(code(part) if place % 2 else _escape(part) for place, part in enumerate(ITSELF.split(text)))


def _escape(text: str) -> str:
    return MEANT.sub(r"\\\g<0>", text)


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
