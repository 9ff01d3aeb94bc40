"""Lists what is hard to read in pages and texts: long sentences, brackets in brackets, missing nouns, odd words.

    PYTHONPATH=tests:. python -m support.language README.md longvpo/recipe longvpo/cli/commands.py

It reads Markdown, Jinja templates, comments of YAML and, in Python, docstrings, comments, help texts, messages.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

MOST_WORDS = 25
BREAK = "\ue000"  # a sentence ends here, whatever stands before it

# what this project's texts said, and what a reader whose first language is another knows
WORDS = {
    r"\bgo(es|ing)? on\b": "resume or continue",
    r"\balone\b": "only",
    r"\b(answers?|reply|replies)\b[^.;:]{0,40}\b(is|are|was|were|been) cut\b|\btext (is|was) cut\b": "truncated",
    r"\bcut at \S+ tokens": "truncated",
    r"\banew\b": "again",
    r"\bbe (it|they)\b": "whether it is",
    r"\botherwise than\b": "not as, or different from",
    r"\bneed not\b": "does not have to",
    r"\bbut for\b": "except for",
    r"\bhand(s|ed)? on\b": "pass",
    r"\bof (ours|others)\b": "say whose: of longvpo, of other people",
    r"(?<!there )\bis no (?!longer|more|less)": "is not a",
    r"\b(frames?|clips?|rows?|seconds?|questions?|tokens?|scenes?|lines?|words?|videos?|triplets?|steps?|bytes|files?"
    r"|answers?|requests?|workers?|numbers?|times?|once|twice|GiB|GB|MB) an? (second|clip|row|context|triplet|cell"
    r"|line|answer|scene|video|model|step|stage|image|frame|file|source|config|GPU|process|token|question|part|shard|key"
    r"|group|block|machine|worker|side|layer|sentence|name|minute|hour|day|million)\b": "per",
}
TEXTS = {"help", "description", "short_help", "epilog"}  # keywords of calls whose value a user reads
SAYING = {"say", "warn", "print"}  # calls that print what they are given
SECTIONS = ("Args:", "Returns:", "Raises:", "Attributes:", "Yields:")


class Block(NamedTuple):
    """A paragraph, a cell, an item or a comment: what sentences do not cross."""

    line: int
    text: str


class Fault(NamedTuple):
    line: int
    words: int
    what: str
    sentence: str


def faults(path: Path) -> list[Fault]:
    """What is hard to read in a file, in its order."""
    return [fault for block in blocks(path) for fault in faults_in(block)]


def blocks(path: Path) -> list[Block]:
    """The prose of a file. Raises ValueError at a kind of file that holds none."""
    text = path.read_text(encoding="utf-8")
    if path.suffix in (".jinja", ".j2") or path.name.endswith(".md.jinja"):
        return markdown(without_tags(text))
    readers = {".md": markdown, ".py": python, ".yaml": comments_of_yaml, ".yml": comments_of_yaml, ".txt": plain}
    if path.suffix not in readers:
        raise ValueError(f"{path}: no prose is taken out of such a file")
    return readers[path.suffix](text)


def sentences(block: Block) -> Iterator[tuple[int, str]]:
    """Each with the line where it begins. A full stop inside a code span or an abbreviation ends none."""
    text = re.sub(r"\b(e\.g|i\.e|vs|cf|al|etc|No|approx)\.", lambda found: found[0].replace(".", "_"), block.text)
    text = re.sub(r"(`+)[^`]+\1", lambda found: re.sub("[.!?]", "_", found[0]), text)
    start = 0
    for end in [*re.finditer(rf"(?<!\.)[.!?][\"')*_]*(?=\s|$)|{BREAK}", text), None]:
        stop = end.end() if end else len(text)
        one = block.text[start:stop]
        if re.search(r"\w", one):
            lines = block.text[: start + len(one) - len(one.lstrip())].count("\n")
            yield block.line + lines, " ".join(one.replace(BREAK, " ").split())
        start = stop


def words_of(sentence: str) -> int:
    """A code span or an address counts as one word; a sign counts as none."""
    plain_words = re.sub(r"(`+)[^`]+\1", " code ", sentence)
    return sum(1 for word in plain_words.split() if re.search(r"\w", word))


def faults_in(block: Block) -> Iterator[Fault]:
    for line, sentence in sentences(block):
        bare = re.sub(r"(`+)[^`]+\1", "code", sentence)
        count = words_of(sentence)
        found = [f"more than {MOST_WORDS} words"] if count > MOST_WORDS else []
        if re.search(r"\([^()]*\(|\[[^\[\]]*\[", bare):
            found.append("a bracket inside a bracket")
        if re.search(r"\bof(?=\s*([.,;!?)]|$|:\s))|^of\b|[:;] of\b", bare):
            found.append("no noun at `of`")
        for pattern, better in WORDS.items():
            if odd := re.search(pattern, bare, re.IGNORECASE):
                found.append(f"`{odd[0]}`: say {better}")
        for what in found:
            yield Fault(line, count, what, sentence)


def plain(text: str) -> list[Block]:
    """Paragraphs, as a help text has them: the columns of a list are blocks too."""
    return list(_paragraphs(enumerate(text.splitlines(), 1)))


def without_tags(text: str) -> str:
    """A template with its tags taken away, and a word where a value goes; the branches of an `if` are apart."""
    text = re.sub(r"\{#.*?#\}", _lines_only, text, flags=re.DOTALL)
    text = re.sub(r"\{\{.*?\}\}", lambda found: "X" + _lines_only(found), text, flags=re.DOTALL)
    branches = re.sub(r"\{%-?\s*(else|elif)\b.*?%\}", lambda found: BREAK + _lines_only(found), text, flags=re.DOTALL)
    return re.sub(r"\{%.*?%\}", _lines_only, branches, flags=re.DOTALL)


def markdown(text: str) -> list[Block]:
    """Headings, paragraphs, items and the cells of tables; no code, no tags, links and pictures as their text."""
    text = re.sub(r"\A\s*---\n.*?\n---\n", _lines_only, text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", _lines_only, text, flags=re.DOTALL)
    text = re.sub(r"^([ >]*)(`{3,}|~{3,}).*?^[ >]*\2[`~]*[ ]*$", _lines_only, text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<https?://[^>\s]+>", "address", text)
    text = re.sub(r"</?[a-zA-Z][^<>]*>", _lines_only, text)
    for _ in range(2):  # a picture may be the text of a link
        text = re.sub(r"!?\[([^\[\]]*)\]\([^()\s]*(\([^()]*\))?[^()]*\)", r"\1", text)
    text = re.sub(r"\[([^\[\]]+)\]\[[^\[\]]*\]", r"\1", text)
    return list(_paragraphs(enumerate(text.splitlines(), 1)))


def _paragraphs(lines: Iterable[tuple[int, str]]) -> Iterator[Block]:
    """Blank lines, items, headings and tables part the blocks."""
    start, kept = 0, list[str]()
    for number, raw in [*lines, (0, "")]:
        line = raw.strip().lstrip(">").strip()
        item = re.match(r"([-*+]|\d+[.)])\s+|#+\s+", line)
        if kept and (not line or item or line.startswith("|")):
            yield Block(start, "\n".join(kept))
            kept = []
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", re.sub(r"`[^`]*`", lambda found: found[0].replace("|", "/"), line))
            yield from (Block(number, cell.strip()) for cell in cells if re.search(r"\w", cell))
        elif line:
            start = start if kept else number
            kept.append(line[item.end() :] if item else line)
            if item and item[0].startswith("#"):
                yield Block(start, kept.pop())


def comments_of_yaml(text: str) -> list[Block]:
    """Comments on lines of their own make paragraphs; one behind a value stands for itself. Commands are left out."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        behind = re.match(r"""((?:[^'"#]|'[^']*'|"[^"]*"|(?<!\s)#)*?)(?:^|\s)#(.*)""", line)
        if behind:
            found.append((number, behind[2], not behind[1].strip()))
    return _comments(found)


def python(text: str) -> list[Block]:
    """Docstrings, comments, help texts and descriptions, and what is raised or printed."""
    tree, found = ast.parse(text), list[Block]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            said = ast.get_docstring(node, clean=False)
            if said:
                margin = "\n" + " " * node.body[0].col_offset
                found += docstring(said.replace(margin, "\n"), node.body[0].lineno)
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            texts = [one.value for one in node.keywords if one.arg in TEXTS]
            texts += node.args if name in SAYING or name.endswith(("Error", "Warning", "BadParameter")) else []
            found += [Block(one.lineno, spoken(one)) for one in texts if spoken(one)]
    comments = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not re.match(r"#\s*(noqa|type:|!)", token.string):
            said = re.sub(r"#\s*(noqa|type:).*", "", token.string[1:])
            comments.append((token.start[0], said, not token.line[: token.start[1]].strip()))
    return sorted(found + _comments(comments))


def spoken(node: ast.expr) -> str:
    """A text as it is read, with a word for each value that is put in; nothing where it is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(spoken(part) if isinstance(part, ast.Constant) else "X" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return spoken(node.left) + spoken(node.right)
    if isinstance(node, ast.IfExp):
        return BREAK.join((spoken(node.body), spoken(node.orelse)))
    return ""


def docstring(text: str, first: int) -> list[Block]:
    """Paragraphs, and the entries below `Args:` and the like without their names; examples are left out."""
    kept, section = [], False
    for number, line in enumerate(text.splitlines(), first):
        indent = len(line) - len(line.lstrip())
        if line.strip() in SECTIONS:
            section = True
            kept.append((number, ""))
        elif section and indent == 4 and (entry := re.match(r"\s*\*{0,2}[\w.`, |\[\]]+: ", line)):
            kept += [(number, ""), (number, line[entry.end() :])]
        elif section or indent < 4:
            section &= not line or indent > 0
            kept.append((number, line))
        else:
            kept.append((number, ""))
    return list(_paragraphs(kept))


def _comments(found: list[tuple[int, str, bool]]) -> list[Block]:
    """From (line, text, whether it has the line for itself)."""
    lines = list[tuple[int, str]]()
    for place, (number, said, own) in enumerate(found):
        before = found[place - 1] if place else (0, "", False)
        if not (own and before[2] and before[0] == number - 1):
            lines.append((number, ""))
        lines.append((number, "" if re.match(r"\s{3}", said) else said))
    return list(_paragraphs(lines))


def _lines_only(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")


def files_in(names: Iterable[str]) -> Iterator[Path]:
    for path in map(Path, names):
        kinds = ("*.md", "*.py", "*.yaml", "*.jinja", "*.j2")
        yield from sorted(one for kind in kinds for one in path.rglob(kind)) if path.is_dir() else [path]


def main(names: list[str]) -> int:
    count = 0
    for path in files_in(names):
        for line, words, what, sentence in faults(path):
            print(f"{path}:{line}: {words} words, {what}: {sentence}")
            count += 1
    print(f"{count} faults", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
