"""The files of tables, as rows: JSON lines, CSV and Parquet.

The rule: a reader is strict. Where a file cannot be read as it was meant, an error says where. No cell and no row is
left out, shortened or joined to another.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from longvpo.clips.cells import columns_of
from longvpo.errors import first_line

LONGEST_CELL = 2**30  # characters; csv's own limit is 131,072
# A cell of a line, up to the comma or the end behind it
CELL = re.compile(r'("[^"]*(?:""[^"]*)*"|[^",\r\n][^,\r\n]*|)(?=[,\r\n]|\Z)')
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
FILMS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".flv", ".ts")
QUOTED = re.compile(r'"[^"]*(?:""[^"]*)*"')
MEND = 'write a quote that belongs to a text twice, as "", and the whole cell between quotes'

Columns = tuple[str, ...]  # names as a recipe has them


class Table(NamedTuple):
    rows: list[dict[str, Any]]
    names: list[str]  # the names of all columns, also of those that are not in the rows


def read_jsonl(path: Path, columns: Columns, optional: Columns) -> Table:
    """An object a line. Raises ValueError where a line is not one, or says a key twice; OSError."""
    rows: list[dict[str, Any]] = []
    # not splitlines: a caption may hold characters that end a line elsewhere
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            why = error.msg.removesuffix(" at")
            raise ValueError(f"line {number} is not a JSON object: {why} at column {error.colno}") from error
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number} is not a JSON object that can be used: {first_line(error)}") from error
        if not isinstance(row, dict):
            raise ValueError(f'line {number} is not a JSON object, such as {{"file_name": ..., "caption": ...}}')
        rows.append(row)
    return Table(rows, list(dict.fromkeys(name for row in rows for name in row)))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"it says {twice} twice: take one away")
    return found


def read_csv(path: Path, columns: Columns, optional: Columns) -> Table:
    """A header, then one row per line, with commas between cells. A cell between double quotes may hold commas and
    lines.

    Args:
        columns: that must be there, the video's first. Where the header lacks one, no row is read.

    Raises:
        ValueError: a line has more cells than the header, or lacks one of `columns`, or has quotes that do not
            fit; OSError.
    """
    csv.field_size_limit(LONGEST_CELL)
    lines = list(io.StringIO(_text(path), newline=""))
    reader = csv.reader(iter(lines), strict=True)
    header: list[str] = []
    rows: list[dict[str, Any]] = []
    first = 1  # line of the row
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ValueError(
                _misquoted("".join(lines[first - 1 :]), first, header) or f"line {first}: {error}"
            ) from error
        if cells is None:
            return Table(rows, header)
        number, first = first, reader.line_num + 1
        if not any(one.strip() for one in cells) and len(cells) < 2:
            continue  # an empty line
        if not header:
            header = cells
            twice = [name for name, count in Counter(header).items() if count > 1 and name]
            if twice:
                raise ValueError(f"it has two columns {twice[0]}: rename one")
            if any(name not in header for column in columns for name in columns_of(column, header)):
                return Table([], header)
            continue
        needed = [header.index(name) for column in columns for name in columns_of(column, header)]
        if len(cells) <= max(needed, default=0) or any(one.strip() for one in cells[len(header) :]):
            raise ValueError(
                f"line {number} has {len(cells)} cells, the header {len(header)} ({', '.join(header)}). "
                "Put a text that holds commas or line breaks between double quotes, and give each column a cell"
            )
        _check_lines(lines[number - 1 : reader.line_num], number, header, cells, columns)
        rows.append(dict(zip_longest(header, cells[: len(header)])))  # those beyond are empty


def apart(names: list[str]) -> str:
    """What to do with a table whose cells are not apart by commas, by the names of its columns; else empty."""
    kind = next((kind for sign, kind in SEPARATORS.items() if len(names) == 1 and sign in names[0]), None)
    return f"its cells stand apart by {kind}: save it with commas" if kind else ""


def _misquoted(text: str, line: int, header: list[str]) -> str:
    """What is wrong with the quotes of a row, and where; `text` begins with it, in that line."""
    place = index = 0
    while found := CELL.match(text, place):
        place, index = found.end() + 1, index + 1
        if text[found.end() : place] != ",":
            return ""
    column = header[index] if index < len(header) else str(index + 1)
    line += text.count("\n", 0, place)
    where = f"line {line}, column {column}: a quote opens there"
    closed = QUOTED.match(text, place)
    if not closed:
        return f"{where} and is never closed: {MEND}"
    return f"{where} and is closed in the midst of the text in line {line + closed[0].count(chr(10))}: {MEND}"


def _check_lines(lines: list[str], first: int, header: list[str], cells: list[str], columns: tuple[str, ...]) -> None:
    """Raises ValueError where a cell of several lines has swallowed rows: a line names another video than the row."""
    if len(lines) < 2 or columns[0] not in header:
        return
    place = header.index(columns[0])
    own = cells[place].strip()
    suffixes = {PurePosixPath(own).suffix.lower(), *FILMS} - {""}
    for line in lines:
        part = [one.strip() for one in line.split(",")]
        if len(part) < len(header) or part[place] == own:
            continue
        if PurePosixPath(part[place]).suffix.lower() in suffixes:
            raise ValueError(
                f"line {first}: a quote opens there and is closed in line {first + len(lines) - 1}, and the lines "
                f"between look like rows: {MEND}"
            )


def _text(path: Path) -> str:
    """A file's text; some editors put a mark in front. Raises ValueError where it is not in UTF-8, OSError."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"save it as text in UTF-8, which line {line} is not") from error
    zero = text.find("\0")
    if zero >= 0:  # as in UTF-16 without a mark
        line, column = text.count("\n", 0, zero) + 1, zero - text.rfind("\n", 0, zero)
        raise ValueError(f"save it as text in UTF-8, without zeros as in line {line}, column {column}")
    return text


def read_parquet(path: Path, columns: Columns, optional: Columns) -> Table:
    """The rows with the columns that are asked for, and no others. Raises ValueError or OSError if one is damaged."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        names: list[str] = file.schema_arrow.names
        wanted = dict.fromkeys(name for column in (*columns, *optional) for name in columns_of(column, names))
        read: dict[str, list[Any]] = {}
        for name in wanted:
            if names.count(name) > 1:
                raise ValueError(f"it has two columns {name}: rename one")
            if name in names:
                try:
                    read[name] = file.read(columns=[name]).column(name).to_pylist()
                except Exception as error:  # errors of pyarrow, datetime, zoneinfo have no common base
                    raise ValueError(f"column {name}: {first_line(error)}") from error
        count = file.metadata.num_rows
    return Table([{name: values[number] for name, values in read.items()} for number in range(count)], names)


READERS: dict[str, Callable[[Path, Columns, Columns], Table]] = {
    "metadata.jsonl": read_jsonl,
    "metadata.csv": read_csv,
    "metadata.parquet": read_parquet,
}
