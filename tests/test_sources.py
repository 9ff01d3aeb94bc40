"""Every kind of source gives the same clips: a folder, a dataset with paths, bytes or addresses, archives, scenes."""

from __future__ import annotations

import functools
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features, Value, Video

from longvpo import fetch as fetching
from longvpo.build import build
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe import ColumnSection, DatasetRecipe, SceneSection, SourceSection
from longvpo.recipe_file import load_recipe
from longvpo.scenes import cut, find_cuts, fit
from longvpo.sources import OverlapError, list_candidates, open_clip, prepare, read_clips, read_overlap
from longvpo.tables import cell
from longvpo.video import write_video

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
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", ["stage1.triplets=6", "context.clips=[2, 3]"])
    recipe = recipe.model_copy(update={"sources": (llava_source(llava_video, tmp_path / "kept"),)})
    facts = build(recipe, tmp_path / "out")
    assert (facts["triplets"], facts["clips"]) == (6, CLIPS)
    assert facts["sources"][0]["dataset"] == f"{llava_video}@main"


def test_a_torn_archive_says_which(llava_video: Path, tmp_path: Path) -> None:
    archive = next(llava_video.rglob("*_videos_2.tar.gz"))
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(LongVPOError, match=r"cannot read .*_videos_2\.tar\.gz"):
        hashes(llava_source(llava_video, tmp_path / "kept"), tmp_path)
    with pytest.raises(LongVPOError, match=r"no file of .* matches"):
        hashes(llava_source(llava_video, tmp_path / "kept", tars="*.zip"), tmp_path)


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
    assert find_cuts(film, SceneSection(detector=detector)) == [
        pytest.approx(6, abs=0.11),
        pytest.approx(14, abs=0.11),
    ]
    with pytest.raises(VideoError, match="no such video"):
        find_cuts(film.with_name("none.mp4"), SceneSection())


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
    cut(film, SceneSection(), tmp_path / "scenes")
    assert kept.stat().st_mtime_ns == before, "no video is searched twice"

    recipe = load_recipe(DatasetRecipe, "tiny/dataset", ["stage1.triplets=3", "context.clips=[2]"])
    off = {"visual_threshold": None, "specificity": False, "length_ratio": None}
    recipe = recipe.model_copy(update={"sources": (source,), "filters": recipe.filters.model_copy(update=off)})
    facts = build(recipe, tmp_path / "out")
    from datasets import load_dataset

    clips = load_dataset(str(tmp_path / "out"), "clips", split="train").to_list()
    assert facts["calls"]["writer_calls"] > 2 * facts["anchors_tried"] - 1, "captions are asked for too"
    assert len(clips) == 3
    assert all(clip["caption"] for clip in clips)


def test_cells_are_reached_by_dots() -> None:
    row = {"a.b": 1, "a": {"b": 2, "c": [{"d": 3}]}}
    assert [cell(row, name) for name in ("a.b", "a.c.0.d", "a.c.1.d", "x", "a.c.d")] == [1, 3, None, None, None]
