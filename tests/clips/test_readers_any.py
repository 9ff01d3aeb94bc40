"""Whatever a table holds: rows, or one line that says what is wrong; and of every row a clip, a pair or a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datasets import Dataset
from hypothesis import strategies as st
from support.fuzz import examples, holds, texts, values

from longvpo.clips.cells import as_text, cell, columns_of, is_empty, says_nothing, shown
from longvpo.clips.conversations import LeftOutError
from longvpo.clips.foreign import READ
from longvpo.clips.pairs import _draft
from longvpo.clips.rows import Clip, features
from longvpo.clips.sources import Candidate, list_candidates
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.pairs import PairSection
from longvpo.recipe.sources import SourceSection

LINES = (
    '{"a": 1}',
    '{"file_name": "a.mp4", "caption": "b"}',
    "file_name,caption",
    'a.mp4,"b',
    "PAR1",
    "[",
    "]",
    "{",
    "\n",
)
COLUMNS = ("file_name", "caption", "start", "end", "question", "answer", "a.b", "{x}", "")


@examples(40, 2000)
def test_any_bytes_are_rows_or_one_line(count: int, tmp_path: Path) -> None:
    written = st.lists(st.sampled_from(LINES) | texts, max_size=8).map("".join)
    contents = st.binary(max_size=60) | written.map(lambda text: text.encode("utf-8", "surrogatepass"))

    def check(content: bytes) -> None:
        for suffix, read in READ.items():
            file = tmp_path / f"a{suffix}"
            file.write_bytes(content)
            said = ""
            try:
                table = read(file, ("file_name",), ("caption",))
            except (ValueError, OSError) as error:
                said = str(error)
            else:
                assert all(isinstance(row, dict) for row in table.rows)
            assert len(said.splitlines()) <= 1 or suffix == ".parquet", said  # pyarrow's: its first line is said

    holds(count, check, contents)


@examples(40, 2000)
def test_any_row_is_a_clip_or_dropped_with_its_reason(count: int, tmp_path: Path) -> None:
    source = SourceSection(name="s", folder=tmp_path)
    likely = st.sampled_from(["a.mp4", "b/c.mp4", "a red ring", 0, 1.5, None])
    rows = st.lists(st.dictionaries(st.sampled_from(COLUMNS), likely | values, max_size=5), min_size=1, max_size=4)

    def check(rows: list[dict[str, Any]]) -> None:
        file = tmp_path / "metadata.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        try:
            found, dropped = list_candidates(source)
        except LongVPOError:
            return
        assert len(found) + len(dropped) == len(rows)
        assert all(isinstance(one, Candidate) and one.caption.strip() for one in found)
        kept = [Clip(f"s/{one.video}", "s", one.video, 0.0, 1.0, one.caption) for one in found]
        for config, items in (("clips", [vars(one) for one in kept]), ("dropped", [one.row() for one in dropped])):
            if items:
                assert Dataset.from_list(items, features(config)).to_list() == items

    holds(count, check, rows)


@examples(60, 3000)
def test_any_row_is_a_pair_or_left_out_with_its_reason(count: int, world: Path) -> None:
    said = st.dictionaries(
        st.sampled_from(["role", "from", "content", "value", "type", "text", "video", "path"]),
        values | texts,
        max_size=3,
    )
    cells = st.sampled_from(["videos/00000.mp4", "what?", 10**400, "<video>\nwhat?"]) | values | said | st.lists(said)
    columns = ("video", "prompt", "chosen", "rejected", "start", "anchor_end", "system")
    rows = st.fixed_dictionaries({name: cells for name in columns[:4]}, optional={name: cells for name in columns[4:]})

    def check(row: dict[str, Any]) -> None:
        try:
            found = _draft(row, PairSection(), {"drawn": world})
        except LeftOutError as why:
            assert why.reason  # noqa: PT017
            return
        assert all(isinstance(text, str) for text in (found.prompt, found.chosen, found.rejected))

    holds(count, check, rows)


@examples(60, 3000)
def test_any_cell_can_be_asked_what_it_says(count: int) -> None:
    def check(drawn: tuple[dict[str, Any], str]) -> None:
        row, column = drawn
        columns_of(column, list(row))
        value = cell(row, column)
        is_empty(value)
        says_nothing(value)
        assert len(shown(value)) < 500
        if isinstance(value, int | float):
            assert as_text(value)

    holds(
        count,
        check,
        st.tuples(st.dictionaries(st.sampled_from(COLUMNS), values, max_size=4), st.sampled_from(COLUMNS) | texts),
    )


def test_a_reason_is_one_line() -> None:
    assert str(VideoError("no such video: a\r\n\n b\x1b[31m.mp4")) == r"no such video: a  b\x1b[31m.mp4"
