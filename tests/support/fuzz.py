"""Properties that hold for whatever is made up: hypothesis, the same examples in every run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(Path(os.environ["HF_HOME"]) / "hypothesis")  # a temporary folder; else it leaves one here


def examples(few: int, many: int) -> Any:
    """A test's parameter `count`: few of them in `make test`, many in `make fuzz`."""
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=pytest.mark.fuzz)])


def holds(count: int, check: Callable[[Any], None], made: st.SearchStrategy[Any]) -> None:
    """Call `check` with so many examples."""
    rules = settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    rules(given(made)(check))()


# texts that mean something to somebody: Markdown, HTML, YAML, Jinja, terminals, TRL, paths
MEANING = (
    *("```", "~~~", "---", "\n---\n", "license: mit", "\n# h", "\n## h\n", "|", "`", "[a](javascript:x)", "![x](y)"),
    *(
        "<script>",
        "<!--",
        "-->",
        "</table>",
        "<details>",
        "&lt;",
        "<image>",
        "<video>",
        "{{ 7*7 }}",
        "{% raw %}",
        "{#",
    ),
    *("\x1b[31m", "\x1b]0;x\x07", "\x08", "\r", "\n", "\r\n", "\t", "\u2028", "\x85", "\u202e", "\u2066", "\ufeff"),
    *(
        "\0",
        "\ud800",
        "\udfff",
        "../",
        "/etc/passwd",
        "C:\\x",
        "\\\\host\\x",
        "~",
        "$HOME",
        "%s",
        "{0}",
        "{x.y}",
        "nan",
    ),
    *(
        "\n```\n# h\n",
        "\n~~~\n",
        "\n\n<b>\n",
        "\n</details>\n\n# h\n",
        "\n| a |\n|---|\n",
        "\n===\n",
        "``` x\n",
        "\n___\n",
        "a | b\n:-- | :--\n",
    ),
    *("- a", "a: b", "# c", "&a", "*a", "!!x", "'", '"', "\\", "é", "e\u0301", "𝒳", "漢", "א", " ", ""),
)
# all of Unicode takes hypothesis seconds to look up
LETTERS = "abcXYZ019 .,:;-_/\\|<>[]{}()#*&%!?@'\"`~^$=+\n\t\r\0\x1b\x7f\x85\xa0éßñ\u0301\u200b\u202e\u2028\ud800漢א𝒳"
texts = st.lists(st.sampled_from(MEANING) | st.text(LETTERS, max_size=8), max_size=5).map("".join)
numbers = st.integers() | st.integers(-(10**30), 10**30) | st.floats() | st.sampled_from([0, 1, 2, 4, 0.5, 2**63])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
