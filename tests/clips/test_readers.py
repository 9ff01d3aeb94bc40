"""The files of tables: what each reader refuses, with line and column, and what it reads as it was meant."""

from __future__ import annotations

import decimal
import gc
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import Dataset
from pyarrow import parquet

from longvpo.clips.sources import list_candidates
from longvpo.clips.tables import read_table
from longvpo.errors import LongVPOError
from longvpo.recipe.sources import ColumnSection, SourceSection

HEADER = "file_name,caption\n"
JSON = '{"file_name": "a.mp4", "caption": "red"}\n'


def listed(folder: Path, content: str | bytes, name: str = "metadata.csv", **source: Any) -> list[tuple[str, str]]:
    """Video and caption of each row of a table; no row is dropped."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    candidates, dropped = list_candidates(SourceSection(name="s", folder=folder, **source))
    assert dropped == []
    return [(one.video, one.caption) for one in candidates]


REFUSED: dict[str, tuple[str, str | bytes, list[str]]] = {
    # cells
    "commas in every caption": (
        "csv",
        HEADER + "a.mp4,red, slowly\nb.mp4,blue, at night\n",
        ["line 2 has 3 cells, the header 2 (file_name, caption)", "between double quotes"],
    ),
    "commas in a later caption": ("csv", HEADER + "a.mp4,red\n\nb.mp4,blue, fast, far\n", ["line 4 has 4 cells"]),
    "a caption of two lines without quotes": ("csv", HEADER + "a.mp4,red\nand fast\nb.mp4,blue\n", ["line 3 has 1"]),
    "a row without its last cell": ("csv", HEADER + "a.mp4,red\nb.mp4\n", ["line 3 has 1 cells, the header 2"]),
    "a row without a cell that is needed": (
        "csv",
        "file_name,start,end,caption\na.mp4,0,1\n",
        ["line 2 has 3 cells, the header 4"],
    ),
    # quotes
    "a quote that swallows the next row": (
        "csv",
        HEADER + 'a.mp4,"Go, they say\nb.mkv,stop"\n',
        ["line 2: a quote opens there and is closed in line 3", "look like rows"],
    ),
    "a quote that is never closed": (
        "csv",
        HEADER + 'a.mp4,red\nb.mp4,"Go!, they say\nc.mp4,blue\nd.mp4,white\n',
        ["line 3, column caption: a quote opens there and is never closed"],
    ),
    "two quotes that are never closed": (
        "csv",
        HEADER + 'a.mp4,red\nb.mp4,"Go!, they say\nc.mp4,blue\nd.mp4,"Stop!, they say\ne.mp4,white\n',
        ["line 3, column caption: a quote opens there and is closed in the midst of the text in line 5"],
    ),
    "text behind a quote": (
        "csv",
        HEADER + 'a.mp4,"Go!" they say\n',
        [
            "line 2, column caption",
            "closed in the midst of the text in line 2",
            "write a quote that belongs to a text",
        ],
    ),
    "a quote that swallows whole rows": (
        "csv",
        HEADER + 'a.mp4,"Go! they say\nb.mp4,blue\nc.mp4,and they said "\nd.mp4,white\n',
        ["line 2: a quote opens there and is closed in line 4", "look like rows"],
    ),
    "a quote that swallows rows whose video comes last": (
        "csv",
        'caption,file_name\n"Go! they say,a.mp4\nblue,b.mp4\nthey said ",c.mp4\n',
        ["line 2: a quote opens there and is closed in line 4"],
    ),
    "an open quote in the header": ("csv", '"file_name,caption\na.mp4,red\n', ["line 1, column 1: a quote opens"]),
    # columns
    "a column twice": ("csv", "file_name,caption,caption\na,b,c\n", ["it has two columns caption: rename one"]),
    "no header": ("csv", "a.mp4,red\nb.mp4,blue\n", ["no column file_name and no column caption (it has a.mp4, red)"]),
    "semicolons": (
        "csv",
        "file_name;caption\na.mp4;red, slowly\n",
        ["no column file_name and no column caption (it has file_name;caption)", "apart by semicolons: save it with"],
    ),
    "tabs": ("csv", "file_name\tcaption\na.mp4\tred, slowly\n", ["apart by tabs: save it with commas"]),
    "a blank in the header": (
        "csv",
        "file_name, caption\na.mp4, red\n",
        ["no column caption (it has file_name, ' caption')"],
    ),
    # bytes
    "a zero in CSV": ("csv", HEADER + "a.mp4,re\0d\n", ["in line 2, column 9"]),
    "UTF-16 without a mark": ("csv", (HEADER + "a.mp4,red\n").encode("utf-16-le"), ["save it as text in UTF-8"]),
    "UTF-16 with a mark": ("jsonl", JSON.encode("utf-16"), ["save it as text in UTF-8, which line 1 is not"]),
    "Latin-1 in the third line": (
        "csv",
        f"{HEADER}a,b\nc,\xe9\n".encode("latin-1"),
        ["line 3 is not"],
    ),
    # JSON lines
    "a bad escape": (
        "jsonl",
        JSON + r'{"file_name": "b\c.mp4"}',
        ["line 2 is no", "Invalid \\escape at column 17"],
    ),
    "a key twice": ("jsonl", JSON + '{"file_name": "b", "caption": "x", "caption": "y"}', ["line 2", "caption twice"]),
    "a key twice inside": ("jsonl", '{"file_name": "b", "caption": {"a": 1, "a": 2}}', ["line 1", "says a twice"]),
    "an endless number": (
        "jsonl",
        JSON + '{"file_name": "b", "end": ' + "9" * 5000 + "}",
        ["line 2 is not a JSON"],
    ),
    "an endless list": ("jsonl", "[" * 100_000, ["line 1 is not a JSON object"]),
    "a list of rows": ("jsonl", "[" + JSON.strip() + "]", ["line 1 is not a JSON object, such as"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_as_it_was_meant_is_an_error(name: str, tmp_path: Path) -> None:
    kind, content, says = REFUSED[name]
    (tmp_path / f"metadata.{kind}").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(LongVPOError) as caught:
        read_table(SourceSection(name="s", folder=tmp_path), ())
    assert [text for text in says if text not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


ROWS = [("a.mp4", "red, slowly"), ("b.mp4", 'say "Go!"\r\nand go,\nat night')]
QUOTED = '"say ""Go!""\r\nand go,\nat night"'
READ: dict[str, str] = {
    "quotes, commas and line breaks": f'file_name,caption\na.mp4,"red, slowly"\nb.mp4,{QUOTED}\n',
    "lines of Windows": f'file_name,caption\r\na.mp4,"red, slowly"\r\nb.mp4,{QUOTED}\r\n',
    "lines of an old Mac": f'file_name,caption\ra.mp4,"red, slowly"\rb.mp4,{QUOTED}\r',
    "nothing but cells beyond": f',file_name,caption,,\n\n0,a.mp4,"red, slowly",,,,\n  \n1,b.mp4,{QUOTED},,\n',
    "the caption first": f'caption,file_name\n"red, slowly",a.mp4\n{QUOTED},b.mp4\n',
}


def test_a_row_may_end_before_cells_that_nobody_needs(tmp_path: Path) -> None:
    text = "file_name,caption,start,end,notes\na.mp4,red\nb.mp4,blue,1,2\n"
    assert listed(tmp_path, text) == [("a.mp4", "red"), ("b.mp4", "blue")]


@pytest.mark.parametrize("name", READ)
def test_csv_as_people_have_it(name: str, tmp_path: Path) -> None:
    assert listed(tmp_path, READ[name]) == ROWS


def test_csv_of_one_column(tmp_path: Path) -> None:
    assert listed(tmp_path, 'file_name\na.mp4\n"b, c.mp4"\n', captions="writer") == [("a.mp4", ""), ("b, c.mp4", "")]
    with pytest.raises(LongVPOError, match="line 2 has 2 cells, the header 1"):
        listed(tmp_path, "file_name\na,b.mp4\n", captions="writer")


def test_quotes_and_lines_that_are_part_of_a_text(tmp_path: Path) -> None:
    text = 'a.mp4,a 5" disc and "so"\nb.mp4,"first, red\nc.mp4 is blue\nlast: b.mp4"\n'
    said = "first, red\nc.mp4 is blue\nlast: b.mp4"
    assert listed(tmp_path, HEADER + text) == [("a.mp4", 'a 5" disc and "so"'), ("b.mp4", said)]


def test_a_column_may_begin_in_a_later_row(tmp_path: Path) -> None:
    """A row without it is dropped with the reason; that no row has it is an error."""
    rows = [
        {"file_name": "a.mp4"},
        {"file_name": "b.mp4", "caption": "red"},
        {"caption": "blue", "file_name": "c.mp4"},
    ]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = SourceSection(name="s", folder=tmp_path)
    candidates, dropped = list_candidates(source)
    assert [one.video for one in candidates] == ["b.mp4", "c.mp4"]
    assert [one.reason for one in dropped] == ["a.mp4 has no caption"]
    nested = ColumnSection(caption="caption.text")
    with pytest.raises(LongVPOError, match=r"has no column caption\.text \(it has file_name, caption\)"):
        list_candidates(source.model_copy(update={"columns": nested}))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # datasets leaves the files open
def test_a_column_of_a_stream_may_begin_in_a_later_row(tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text("file_name\na.mp4\n")
    (tmp_path / "1.csv").write_text(HEADER + "b.mp4,red\n")
    source = SourceSection(name="s", folder=tmp_path / "kept", dataset=str(tmp_path))
    candidates, dropped = list_candidates(source)
    assert [(one.video, one.caption) for one in candidates] == [("b.mp4", "red")]
    assert [one.reason for one in dropped] == ["a.mp4 has no caption"]
    other = source.model_copy(update={"columns": ColumnSection(caption="words")})
    with pytest.raises(LongVPOError, match=r"no column words \(it has file_name, caption\)"):
        list_candidates(other)
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # datasets leaves the file open
def test_a_csv_that_is_streamed_loses_no_cell_either(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(HEADER + "a.mp4,red, slowly\nb.mp4,blue, fast\n")
    source = SourceSection(name="s", folder=tmp_path / "kept", dataset=str(tmp_path))
    with pytest.raises(LongVPOError, match="more cells in its rows than in its header"):
        list_candidates(source)
    gc.collect()


def write_parquet(folder: Path, **columns: Any) -> None:
    parquet.write_table(pa.table(columns), folder / "metadata.parquet")


FAR = pa.array([253402300800000000] * 2, pa.timestamp("us"))  # in the year 10,000, which Python does not know


def test_columns_that_nobody_asked_for_are_not_read(tmp_path: Path) -> None:
    write_parquet(tmp_path, file_name=["a.mp4", "b.mp4"], caption=["red", "blue"], shot=FAR, **{"a.b": [1, 2]})
    rows = read_table(SourceSection(name="s", folder=tmp_path), ())
    assert rows == [{"file_name": "a.mp4", "caption": "red"}, {"file_name": "b.mp4", "caption": "blue"}]


def test_a_wanted_column_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path, file_name=["a.mp4", "b.mp4"], caption=["red", "blue"], start=FAR)
    with pytest.raises(LongVPOError, match=r"cannot read .*metadata\.parquet: column start: "):
        read_table(SourceSection(name="s", folder=tmp_path), ())
    columns = ColumnSection(caption="text", start="none")
    with pytest.raises(LongVPOError, match=r"no column text \(it has file_name, caption, start\)"):
        read_table(SourceSection(name="s", folder=tmp_path, columns=columns), ())


def test_types_of_parquet(tmp_path: Path) -> None:
    names = pa.array(["a.mp4", "b.mp4", "a.mp4"]).dictionary_encode()
    clips = pa.array([{"path": "a", "no": 1}, {"path": "b", "no": 2}, {"path": "c", "no": 3}])
    starts = pa.array([decimal.Decimal("0.5"), None, decimal.Decimal("2.25")])
    texts = pa.array([["red"], ["blue"], ["white"]])
    write_parquet(tmp_path, file_name=names, clip=clips, start=starts, texts=texts, shot=pa.array([1, 2, 3]))
    columns = ColumnSection(video="{clip.path}/{file_name}", caption="texts.0")
    candidates, dropped = list_candidates(SourceSection(name="s", folder=tmp_path, columns=columns))
    assert dropped == []
    assert [(one.video, one.caption, one.start) for one in candidates] == [
        ("a/a.mp4", "red", 0.5),
        ("b/b.mp4", "blue", None),
        ("c/a.mp4", "white", 2.25),
    ]


def test_two_tables_in_a_folder_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_text(JSON)
    assert listed(tmp_path, JSON, "metadata.jsonl") == [("a.mp4", "red")]
    (tmp_path / "Metadata.csv").write_text(HEADER + "b.mp4,blue\n")
    with pytest.raises(LongVPOError, match=r"more than one table, Metadata\.csv and metadata\.jsonl, .*: keep one"):
        read_table(SourceSection(name="s", folder=tmp_path), ())
    (tmp_path / "metadata.jsonl").unlink()
    assert [row["file_name"] for row in read_table(SourceSection(name="s", folder=tmp_path), ())] == ["b.mp4"]


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv", "metadata.parquet"])
def test_tables_of_three_kinds(tmp_path: Path, name: str) -> None:
    table = Dataset.from_list([{"file_name": "a.mp4", "caption": "one, two"}, {"file_name": "b.mp4", "caption": "ü"}])
    write = {"jsonl": table.to_json, "csv": table.to_csv, "parquet": table.to_parquet}[name.split(".")[1]]
    write(str(tmp_path / name))
    rows = read_table(SourceSection(name="s", folder=tmp_path), ("caption",))
    assert rows == table.to_list()
