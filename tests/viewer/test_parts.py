"""Parts of the page's data: what a script hands on is what was written, and no text can end it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from support.hostile import LINES, NAME, SCRIPT, TAG, value_of

from longvpo.viewer.parts import ROWS, facet, script, write_table


@pytest.mark.parametrize(
    "text", [TAG, SCRIPT, LINES, "<!--<script>", "]]>", "\\", '"', "Grüße, 世界 😀", "\0\x1f\r\n"]
)
def test_texts_come_back_as_they_were(text: str) -> None:
    value = {"prompt": text, text: [text]}
    written = script("rows-0001", value)
    assert value_of(written) == ("rows-0001", value)
    assert "<" not in written
    assert len(written.splitlines()) == 1, "no separator of lines ends a literal"


def test_numbers_that_json_does_not_know(tmp_path: Path) -> None:
    value = {"score": [math.nan, math.inf, -math.inf, 0.123456789, 1], NAME: (2.0, True, None)}
    assert value_of(script("a", value))[1] == {"score": [None, None, None, 0.1235, 1], NAME: [2.0, True, None]}


def test_a_table_is_an_index_and_parts(tmp_path: Path) -> None:
    items = [{"n": number} for number in range(2 * ROWS + 1)]
    assert write_table(tmp_path, "rows", {"id": []}, items) == {"count": len(items), "size": ROWS}
    found = {path.stem: value_of(path.read_text()) for path in (tmp_path / "data").iterdir()}
    assert sorted(found) == ["rows", "rows-0000", "rows-0001", "rows-0002"]
    assert [item for name in sorted(found)[1:] for item in found[name][1]] == items


def test_a_facet_names_each_text_once() -> None:
    assert facet(["b", "a", "b", ""]) == {"names": ["b", "a", ""], "of": [0, 1, 0, 2]}
