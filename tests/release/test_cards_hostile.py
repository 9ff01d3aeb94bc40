"""Texts of strangers in cards: names, licences, sources, replies, prompts. They stay texts, whatever they hold."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support.fuzz import examples, holds, texts
from support.world import GOLDEN

from longvpo.errors import STEERING, LongVPOError
from longvpo.io.files import as_yaml
from longvpo.io.records import read_record
from longvpo.release import cards
from longvpo.release.cards import card_of
from longvpo.release.markdown import at_hub, code, fenced, inline, paragraphs, quoted, tidy

FILES = ("facts.json", "provenance.json", "recipe.yaml", "results.json")
# keys of values that choose what a card says, and of texts that may stand in the front matter alone
CHOOSING = ("kind", "quantization", "rejected_from", "chosen", "reference", "embedded", "language", "repo_id", "model")
FRONT = {
    "dataset": "pretty_name license license_name license_link language task_categories size_categories "
    "annotations_creators source_datasets tags configs dataset_info",
    "adapter": "library_name license license_name language pipeline_tag base_model base_model_relation datasets tags",
}
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def parts(card: str) -> tuple[dict[str, Any], str]:
    """The front matter, found as the Hub finds it, and the rest."""
    found = re.match(r"\s*---[\r\n]+([\S\s]*?)[\r\n]+---(?:\r\n|\n|$)", card)
    assert found
    return yaml.safe_load(found[1]), card[found.end() :]


def shape(body: str) -> list[tuple[str, ...]]:
    """Blocks of a page, and what is more than text in their lines: links, pictures, HTML."""
    found: list[tuple[str, ...]] = []
    for token in MARKDOWN.parse(body):
        found.append((token.type, token.tag, token.info, token.content if token.type == "html_block" else ""))
        for one in token.children or ():
            if one.type in ("link_open", "image", "html_inline", "s_open", "em_open", "strong_open"):
                found.append((one.type, str(one.attrs), one.content if one.type == "html_inline" else ""))
    return found


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all texts in some values."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(item, str) and item:
            yield (*place, key)
        yield from leaves(item, (*place, key))


def remembered(function: Any) -> Any:
    """The function, which is asked once for the same."""
    found: dict[str, Any] = {}

    def ask(*given: Any) -> Any:
        if repr(given) not in found:
            found[repr(given)] = function(*given)
        return found[repr(given)]

    return ask


def write(file: Path, values: Any) -> None:
    file.write_text(as_yaml(values) if file.suffix == ".yaml" else json.dumps(values), encoding="utf-8")


def longer(value: Any, by: str, key: Any = "") -> Any:
    """Values whose texts, but for those that choose what is said, have this at their end."""
    if isinstance(value, dict):
        return {name: longer(item, by, name) for name, item in value.items()}
    if isinstance(value, list):
        return [longer(item, by) for item in value]
    return value + by if isinstance(value, str) and value and key not in CHOOSING else value


NASTY = (
    "\n```\n\n# h\n\n",
    "\n---\nlicense: mit\n---\n",
    "\n\n</details>\n\n<script>a</script>\n",
    "`` [a](b) ![c](d) **e** `",
    " | f |\n|---|---|\n| \x1b[31m\u202e",
    "\n~~~~\n<image><video>\n``````` https://a.b \\(x\\) $$y$$\n<details>",
)


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("name", list(FRONT))
def test_one_text_in_all_fields_leaves_a_card_its_shape(name: str, text: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / name, tmp_path / name))
    _, before = parts(card_of(folder))
    for file in FILES:
        if (folder / file).is_file():
            by = text.replace("\x1b", "") if file.endswith(".yaml") else text  # YAML does not take it
            write(folder / file, longer(read_record(folder / file), by))
    front, body = parts(card_of(folder))
    assert set(front) <= set(FRONT[name].split())
    assert shape(body) == shape(before)
    assert STEERING.search(body) is None


@pytest.mark.parametrize("name", list(FRONT))
@examples(10, 500)
def test_any_text_in_any_field_leaves_a_card_its_shape(
    name: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for slow in ("column_types", "dataset_info"):  # they read the rows' files, which stay as they are
        monkeypatch.setattr(cards, slow, remembered(getattr(cards, slow)))
    folder = Path(shutil.copytree(GOLDEN / name, tmp_path / name))
    values = {file: dict(read_record(folder / file)) for file in FILES if (folder / file).is_file()}
    places = [(file, *place) for file in values for place in leaves(values[file]) if place[-1] not in CHOOSING]
    before = shape(parts(card_of(folder))[1])
    rendered = 0

    def check(drawn: tuple[tuple[Any, ...], str]) -> None:
        nonlocal rendered
        (file, *way, last), text = drawn
        spoiled = json.loads(json.dumps(values[file]))
        inner = spoiled
        for key in way:
            inner = inner[key]
        inner[last] = text or "x"
        write(folder / file, spoiled)
        try:
            card = card_of(folder)
        except LongVPOError:
            return
        finally:
            write(folder / file, values[file])
        rendered += 1
        front, body = parts(card)
        assert set(front) <= set(FRONT[name].split())
        assert shape(body) == before
        assert STEERING.search(body) is None

    holds(count, check, st.tuples(st.sampled_from(places), texts))
    assert rendered > count // 2


TEXTS = {
    "markdown": ("**a** _b_ [c](d) ![e](f) ~~g~~ $h$", r"\*\*a\*\* \_b\_ \[c\](d) \!\[e\](f) \~\~g\~\~ \$h\$"),
    "html": ("<b>a</b> <!-- b &lt; c", r"\<b\>a\</b\> \<!-- b \&lt; c"),
    "a table": ("a | b\n|---|\n", r"a \| b \|---\| "),
    "a heading and front matter": ("a\n---\n# b\n\n## c", "a --- # b ## c"),
    "code": ("a `b_c` ` ``d``", r"a `b_c` \` \`\`d\`\`"),
    "a terminal": ("a\x1b[31m\x9b\r\nb", r"a\\x1b\[31m\\x9b b"),
    "directions": ("a\u202eb\u2066c\u2028d", r"a\\u202eb\\u2066c d"),
    "half a character": ("a\ud800", r"a\\ud800"),
    "addresses": ("https://a.b/c|d www.e.f me@g.hi", r"`https://a.b/c`\|d `www.e.f` `me@g.hi`"),
    "formulas": (r"\(x\) \[y\] $$z$$", r"`\(`x`\)` `\[`y`\]` `$$`z`$$`"),
    "spans side by side": ("`a`https://b", "`a` `https://b`"),
    "tags of prompts": ("<image> <video>", r"\<image\> \<video\>"),
    "names as they are": ("my_clips-1.0/a b.mp4 {{ x }} {% y %}", "my_clips-1.0/a b.mp4 {{ x }} {% y %}"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_on_a_line(kind: str) -> None:
    text, expected = TEXTS[kind]
    assert inline(text) == expected


def test_a_person_may_give_addresses() -> None:
    assert inline("See https://a.b/c_d, <b>", links=True) == r"See https://a.b/c_d, \<b\>"


COMMIT = "48349b0a914ef6a16037c476be4a38767ed4f617"


def test_what_is_on_the_hub_is_a_link_to_its_revision() -> None:
    home = "https://huggingface.co"
    assert at_hub("me/base@v1.0") == f"[`me/base@v1.0`]({home}/me/base/tree/v1.0)"
    assert at_hub(f"me/clips@{COMMIT}", "dataset") == (
        f"[`me/clips@{COMMIT[:12]}`]({home}/datasets/me/clips/tree/{COMMIT})"
    )
    assert at_hub(f"me/base@{COMMIT}+you/lora@0123abcd") == (
        f"[`me/base@{COMMIT[:12]}`]({home}/me/base/tree/{COMMIT}) + [`you/lora@0123abcd`]({home}/you/lora)"
    )
    for other in ("tiny@main", "base@0123abcd+lora@0123abcd", "me/base@a b", "me/base@1](x)", "/me/base@1", "../b@1"):
        assert at_hub(other) == code(other)


def test_code_ends_where_it_should() -> None:
    assert code("a ` b | c\n```\nd") == "`a ' b / c ''' d`"
    assert fenced("a\n````\n# b\n```") == "`````\na\n````\n# b\n```\n`````"
    assert quoted('a"b\\\n\u202e') == r"a\"b\\\n\u202e"
    page = "a\n\n\n\n````\n```\n\n\n\nb\n````\n\n\n\nc\n"
    assert tidy(page) == "a\n\n````\n```\n\n\n\nb\n````\n\nc\n"


def test_notes_keep_emphasis_links_and_code() -> None:
    assert paragraphs("**Ask** me.\n_Or_ her.\n___\n* * *") == "**Ask** me.\n_Or_ her.\n\\___\n\\* * *"
    said = "See **me** at [a page](https://a.b), or `c`.\n1. d\n\n# e\n```\nf\n```\n===\n![g](h) <i>\n\n\n\n- j"
    assert paragraphs(said) == (
        "See **me** at [a page](https://a.b), or `c`.\n1\\. d\n\n"
        "\\# e\n\\`\\`\\`\nf\n\\`\\`\\`\n\\===\n\\![g](h) \\<i>\n\n\\- j"
    )


@examples(100, 5000)
def test_any_notes_are_paragraphs(count: int) -> None:
    def check(text: str) -> None:
        told = shape(f"# a\n\n{paragraphs(text)}\n\n## b\n")
        kinds = {one[0] for one in told} - {"link_open", "em_open", "strong_open", "s_open"}
        assert kinds <= {"heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline"}
        assert [one[1] for one in told if one[0] == "heading_open"] == ["h1", "h2"]

    holds(count, check, texts)
