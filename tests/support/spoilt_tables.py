"""Tables of five kinds, each spoilt in one way by a seed: bytes, encodings, cells, columns and types."""

from __future__ import annotations

import csv
import datetime
import io
import json
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow
from pyarrow import parquet
from support.fuzz import MEANING

Rows = list[dict[str, Any]]

CELLS: tuple[Any, ...] = (
    *(None, True, 0, -1, 1e308, 1e-320, float("nan"), float("inf"), 2**63, 10**400, -(2**70), 0.1 + 0.2),
    *([], {}, [[]], [None], [{"a": [1]}], {"path": "/etc/passwd", "bytes": None}, {"bytes": b"x", "path": None}),
    *(b"\0\xff", b"", datetime.datetime(9999, 12, 31), datetime.date(1, 1, 1), Decimal("1e400"), Decimal("NaN")),
    *("/etc/passwd", "../../x.mp4", "C:\\x.mp4", "\\\\host\\x.mp4", "a/./../../b.mp4", "file:///etc/passwd", "NUL"),
    *(
        "http://127.0.0.1/x.mp4",
        "hf://datasets/a@b/c.mp4",
        "zip://a::b",
        "x" * 5000,
        "a/" * 900,
        "12:30",
        "1,5",
        "1e999",
    ),
    *("None", "NaN", "#N/A", "=1+1", "<NA>", "\u200b", "{file_name}", "[]", '["a.mp4"]', '{"a": 1}', "[" * 3000),
    *MEANING,
)
NAMES = ("", " ", "file_name", "caption ", "FILE_NAME", "a.b", "{a}", "\0", "\ud800", "__index_level_0__", "x" * 999)
ENCODINGS = ("utf-16", "utf-16-be", "utf-32", "latin-1", "cp1252", "utf-8-sig", "utf-7", "cp037")
TYPES = (
    *(pyarrow.large_string(), pyarrow.binary(), pyarrow.string_view(), pyarrow.null(), pyarrow.bool_()),
    *(pyarrow.list_(pyarrow.string()), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
    *(pyarrow.struct([("path", pyarrow.string())]), pyarrow.map_(pyarrow.string(), pyarrow.int8())),
    *(pyarrow.float16(), pyarrow.int8(), pyarrow.uint64(), pyarrow.decimal128(38, 10), pyarrow.duration("ns")),
    *(pyarrow.timestamp("s", "Mars/Crater"), pyarrow.timestamp("ns"), pyarrow.date64(), pyarrow.time64("ns")),
)


def spoilt(kind: str, rows: Rows, seed: int) -> bytes:
    """The file of a table of this kind, spoilt."""
    random = Random(seed)
    rows = [dict(row) for row in rows]
    way = random.choice(("bytes", "bytes", "cells", "cells", "columns", "types", "encoding", "lines"))
    if way == "cells":
        for _ in range(random.randint(1, 6)):
            row = random.choice(rows)
            row[random.choice(list(row))] = random.choice(CELLS)
    if way == "columns":
        _spoil_columns(rows, random)
    types = dict.fromkeys(random.sample(sorted(rows[0]), 1), random.choice(TYPES)) if way == "types" and rows else {}
    content = written(kind, rows, types)
    if way in ("encoding", "types") and kind in ("jsonl", "json", "csv"):
        text = content.decode("utf-8", "replace")
        content = text.encode(random.choice(ENCODINGS), "replace")
    if way == "lines":
        lines = content.split(b"\n")
        random.shuffle(lines)
        content = random.choice((b"\n", b"\r\n", b"\r", b"\n\n", b"")).join(lines[random.randint(0, 2) :])
    return _spoil_bytes(content, random) if way == "bytes" else content


def written(kind: str, rows: Rows, types: dict[str, pyarrow.DataType] | None = None) -> bytes:
    """Rows as a file; what the kind cannot hold stands there as a text."""
    if kind in ("jsonl", "json"):
        text = json.dumps if kind == "json" else lambda many, **how: "\n".join(json.dumps(one, **how) for one in many)
        return (text(rows, default=str, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
    if kind == "csv":
        file = io.StringIO()
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, names, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue().encode("utf-8", "surrogatepass")
    table = _table(rows, types or {})
    sink = io.BytesIO()
    if kind == "parquet":
        parquet.write_table(table, sink)
    else:
        with pyarrow.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    return sink.getvalue()


def _table(rows: Rows, types: dict[str, pyarrow.DataType]) -> pyarrow.Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = []
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            columns.append(pyarrow.array(values, types.get(name)))
        except (pyarrow.ArrowException, ValueError, TypeError, OverflowError, UnicodeError):
            texts = [None if value is None else str(value).encode("utf-8", "replace").decode() for value in values]
            array = pyarrow.array(texts)
            columns.append(pyarrow.nulls(len(rows), types[name]) if name in types else array)
    return pyarrow.table(columns, names=[name.encode("utf-8", "replace").decode() for name in names])


def _spoil_columns(rows: Rows, random: Random) -> None:
    name, new = random.choice(list(rows[0])), random.choice(NAMES)
    for row in rows:
        value = row.pop(name) if random.random() < 0.9 else row[name]
        if random.random() < 0.7:
            row[new] = value
        if random.random() < 0.2:
            row[random.choice(NAMES)] = random.choice(CELLS)


def _spoil_bytes(content: bytes, random: Random) -> bytes:
    spoiled = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        if not spoiled:
            break
        place = random.randrange(len(spoiled))
        match random.choice(("flip", "cut", "insert", "delete", "double", "zero", "write")):
            case "flip":
                spoiled[place] ^= 1 << random.randrange(8)
            case "cut":
                del spoiled[max(place, len(spoiled) // 3) :]
            case "insert":
                spoiled[place:place] = random.choice(
                    (b"\0", b"\n", b'"', b"\xff", b"{", b"[" * 2000, b",", b"\xed\xa0\x80")
                )
            case "delete":
                del spoiled[place : place + random.randint(1, 40)]
            case "double":
                spoiled[place:place] = spoiled[place : place + random.randint(1, 200)]
            case "zero":
                spoiled[place : place + 8] = bytes(8)
            case "write":
                spoiled[place] = random.randrange(256)
    return bytes(spoiled)
