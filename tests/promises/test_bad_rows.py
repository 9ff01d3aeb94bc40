"""Bad rows and bad videos are data: a build drops each with its reason, and continues with the others."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image
from support.spoils import ROW, Spoil, all_of, build, closed, file, nothing

from longvpo.clips.sources import list_candidates
from longvpo.recipe.sources import SourceSection
from longvpo.tiny.world import write_world
from longvpo.video.frames import write_video


class Row(NamedTuple):
    """A bad row, or a row with a bad video; beside `file_name` it has a caption where `row` gives none."""

    row: dict[str, Any]
    make: Spoil  # is given the folder with the table
    filter: str
    says: str


def video(name: str, seconds: int = 2, size: int = 64) -> Spoil:
    rng = np.random.default_rng(seconds)
    return lambda at: write_video(at / name, rng.integers(0, 255, (4 * seconds, size, size, 3), np.uint8), 4)


def truncated(name: str) -> Spoil:
    """Half of a film whose header comes first: it promises more than there is."""

    def spoil(at: Path) -> None:
        video("whole.mp4", seconds=20)(at)
        front = {"movflags": "faststart"}
        with av.open(str(at / "whole.mp4")) as film, av.open(str(at / name), "w", options=front) as copy:
            stream = copy.add_stream_from_template(film.streams.video[0])
            for packet in film.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    copy.mux(packet)
        os.truncate(at / name, (at / name).stat().st_size // 2)

    return spoil


def sound(name: str) -> Spoil:
    def spoil(at: Path) -> None:
        with av.open(str(at / name), "w") as container:
            stream = container.add_stream("aac", rate=16_000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), "fltp", "mono")
            frame.sample_rate = 16_000
            container.mux([*stream.encode(frame), *stream.encode()])

    return spoil


def one_pixel(name: str) -> Spoil:
    def spoil(at: Path) -> None:
        with av.open(str(at / name), "w") as container:
            stream = container.add_stream("ffv1", rate=4, width=1, height=1, pix_fmt="bgr0")
            for _ in range(8):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((1, 1, 3), np.uint8), "rgb24")))
            container.mux(stream.encode())

    return spoil


V = "videos/00000.mp4"
DROPPED: dict[str, Row] = {
    # rows
    "no name": Row({"file_name": ""}, nothing, "table", "row 4 has no file_name"),
    "no name at all": Row({"file_name": None}, nothing, "table", "has no file_name"),
    "an absolute path": Row({"file_name": "/etc/passwd"}, nothing, "table", "passwd is not a path inside"),
    "a path to the outside": Row({"file_name": "a/../../b.mp4"}, nothing, "table", "b.mp4 is not a path inside"),
    "a name that no disk takes": Row(
        {"file_name": "a" * 300}, nothing, "table", "its file_name is not a name of a file"
    ),
    "a name with a zero": Row({"file_name": "a\0b.mp4"}, nothing, "table", "its file_name is not a name of a file"),
    "a number as name": Row({"file_name": 7}, nothing, "video", "no such video"),
    "a row twice": Row({"file_name": V}, nothing, "table", f"{V} is in the table twice"),
    "a row twice, spelt otherwise": Row({"file_name": f"./{V}"}, nothing, "table", f"{V} is in the table twice"),
    "no caption": Row({"file_name": "n1.mp4", "caption": None}, nothing, "table", "n1.mp4 has no caption"),
    "an empty caption": Row({"file_name": "n2.mp4", "caption": ""}, nothing, "table", "n2.mp4 has no caption"),
    "blanks as caption": Row({"file_name": "n3.mp4", "caption": " \n"}, nothing, "table", "n3.mp4 has no caption"),
    "a number as caption": Row(
        {"file_name": "n4.mp4", "caption": 0}, nothing, "table", "its caption is not a text: 0"
    ),
    "a list as caption": Row(
        {"file_name": "n5.mp4", "caption": ["a"]}, nothing, "table", "its caption is not a text: ['a']"
    ),
    "half an emoji": Row({"file_name": "n6.mp4", "caption": "fun \ud83d"}, nothing, "table", "holds half a character"),
    "half a name": Row({"file_name": "\ud83d.mp4"}, nothing, "table", "holds half a character"),
    "words as seconds": Row(
        {"file_name": V, "start": "soon"}, nothing, "table", "its start is not a number of seconds"
    ),
    "a list as seconds": Row(
        {"file_name": V, "end": [1]}, nothing, "table", "its end is not a number of seconds: [1]"
    ),
    "a number beyond floats": Row({"file_name": V, "end": 10**400}, nothing, "table", "its end is not a number of"),
    # spans
    "a span after the end": Row(
        {"file_name": V, "start": 60, "end": 70}, nothing, "video", "no span from 60.0 to 70.0 s"
    ),
    "a span just after the end": Row(
        {"file_name": V, "start": 4.4, "end": 4.8}, nothing, "video", "from 4.4 to 4.8 s"
    ),
    "a backward span": Row({"file_name": V, "start": 3, "end": 2}, nothing, "video", "no span from 3.0 to 2.0 s"),
    "no length": Row({"file_name": V, "start": 1, "end": 1}, nothing, "video", "no span from 1.0 to 1.0 s"),
    "a negative start": Row({"file_name": V, "start": -1}, nothing, "video", "no span from -1.0 to "),
    "no number": Row({"file_name": V, "start": float("nan")}, nothing, "video", "no span from nan to "),
    "an infinite end": Row({"file_name": V, "end": float("inf")}, nothing, "video", "no span from 0.0 to inf s"),
    # videos
    "no such video": Row({"file_name": "v0.mp4"}, nothing, "video", "no such video: "),
    "an empty file": Row(
        {"file_name": "v1.mp4"}, file("v1.mp4", ""), "video", "cannot read v1.mp4: the file is empty"
    ),
    "a text": Row({"file_name": "v2.mp4"}, file("v2.mp4", "a letter " * 99), "video", "cannot read v2.mp4: Invalid"),
    "zeros": Row({"file_name": "v3.mp4"}, file("v3.mp4", bytes(9999)), "video", "cannot read v3.mp4: "),
    "only sound": Row({"file_name": "v4.mp4"}, sound("v4.mp4"), "video", "v4.mp4: it has no video stream"),
    "a truncated video": Row(
        {"file_name": "v6.mp4"}, truncated("v6.mp4"), "video", "header says 20.0 s: the file is cut short"
    ),
    "a folder": Row({"file_name": "v7.mp4"}, lambda at: (at / "v7.mp4").mkdir(), "video", "no such video: "),
    "a link to itself": Row(
        {"file_name": "v8.mp4"}, lambda at: (at / "v8.mp4").symlink_to(at / "v8.mp4"), "video", "no such video: "
    ),
    "on the overlap list": Row({"file_name": "v9.mp4"}, video("v9.mp4"), "overlap", "v9.mp4 is on the overlap list"),
}
CLOSED = Row({"file_name": "closed.mp4"}, all_of(video("closed.mp4"), closed("closed.mp4")), "video", "denied")

# odd and good all the same
KEPT: dict[str, Spoil] = {
    "видео \U0001f600 \u2028.mp4": video("видео \U0001f600 \u2028.mp4", 3),
    "a'b\"c%20?#.mp4": video("a'b\"c%20?#.mp4", 4),
    "tall.mp4": lambda at: write_video(at / "tall.mp4", np.zeros((8, 300, 2, 3), np.uint8), 4),
    "still.jpg": lambda at: Image.new("RGB", (64, 64)).save(at / "still.jpg"),
    "long.mp4": video("long.mp4", 2),
    "pixel.mkv": one_pixel("pixel.mkv"),
    "instant.mp4": lambda at: write_video(at / "instant.mp4", np.zeros((1, 64, 64, 3), np.uint8), 4),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], set[str]]:
    """The rows of `dropped` of a build of everything that is bad beside a few good clips, and the videos it used."""
    at = tmp_path_factory.mktemp("bad")
    clips = at / "clips"
    write_world(clips, clips=4, seed=1, split="test")
    bad = [*DROPPED.values(), *([CLOSED] if os.getuid() else [])]
    for row in bad:
        row.make(clips)
    for spoil in KEPT.values():
        spoil(clips)
    rows = [row.row for row in bad]
    rows += [{"file_name": name, "caption": "a red disc " * (800 if name == "long.mp4" else 1)} for name in KEPT]
    with (clips / "metadata.jsonl").open("a") as lines:
        lines.writelines(json.dumps({"caption": "a blue ring"} | row) + "\n" for row in rows)
    (at / "list").write_text("v9\n", encoding="utf-8-sig")
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert build(at, monkeypatch, [f"filters.overlap={at}/list", "stage1.triplets=9", "stage1.attempts=9"]) == 0
    tables = [load_dataset(str(at / "out"), name, split="train").to_list() for name in ("dropped", "clips")]
    return tables[0], {row["video"] for row in tables[1]}


@pytest.mark.parametrize("name", DROPPED)
def test_a_bad_row_is_dropped_with_its_reason(name: str, refused: tuple[list[dict[str, Any]], set[str]]) -> None:
    row = DROPPED[name]
    named = row.row["file_name"]
    found = [one for one in refused[0] if row.says in one["reason"] and one["filter"] == row.filter]
    if isinstance(named, str) and named.isprintable() and row.filter != "table":
        found = [one for one in found if f"drawn/{named}" in one["id"]]
    assert found
    assert all(one["id"] for one in found)
    assert all("\n" not in one["reason"] for one in found)


def test_no_row_names_a_folder_of_the_machine(refused: tuple[list[dict[str, Any]], set[str]]) -> None:
    """Neither the folder of the clips nor one that a row names, as `/etc` above."""
    text = json.dumps([(row["id"], row["reason"]) for row in refused[0]])
    assert [folder for folder in (tempfile.gettempdir(), "/etc") if folder in text] == []


def test_what_is_odd_and_good_is_used(refused: tuple[list[dict[str, Any]], set[str]]) -> None:
    dropped, used = refused
    assert set(KEPT) <= used
    expected = Counter(row.filter for row in DROPPED.values())
    expected["video"] += bool(os.getuid())
    found = Counter(row["filter"] for row in dropped)
    assert {name: found[name] for name in expected} == expected, "each once"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.jsonl", b"\xef\xbb\xbf" + ROW.encode()),
        ("metadata.jsonl", f"\r\n{ROW}\r\n\r\n".encode()),
        ("metadata.csv", b"\xef\xbb\xbffile_name,caption\r\nvideos/00000.mp4,a red disc\r\n"),
        ("metadata.csv", b'caption,file_name\n"a red disc",videos/00000.mp4\n'),
    ],
)
def test_tables_as_other_editors_write_them(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    candidates, dropped = list_candidates(SourceSection(name="s", folder=tmp_path))
    assert dropped == []
    assert [(one.video, one.caption) for one in candidates] == [("videos/00000.mp4", "a red disc")]


def test_a_line_ends_where_the_file_says(tmp_path: Path) -> None:
    captions = ["a red\u2028disc", "a blue\x85ring", "x" * 200_000]
    rows = [{"file_name": f"{number}.mp4", "caption": caption} for number, caption in enumerate(captions)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    source = SourceSection(name="s", folder=tmp_path)
    assert [one.caption for one in list_candidates(source)[0]] == captions
    (tmp_path / "metadata.jsonl").unlink()
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file_name", "caption"])
        writer.writeheader()
        writer.writerows(rows)
    assert [one.caption for one in list_candidates(source)[0]] == captions
