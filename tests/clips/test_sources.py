"""Every kind of source gives the same clips: a folder, a dataset with paths, bytes or addresses, archives, scenes."""

from __future__ import annotations

import functools
import http.server
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Features, Value, Video

from longvpo.clips import addresses
from longvpo.clips.overlap import OverlapError, read_overlap
from longvpo.clips.sources import list_candidates, open_clip, prepare, read_clips
from longvpo.dataset.run import build
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sources import ColumnSection, SourceSection

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
    monkeypatch.setattr(addresses, "WAIT", 0.01)
    (tmp_path / "repository").mkdir()
    rows = [{"url": f"{address}/{row['file_name']}?size=small", "caption": row["caption"]} for row in table]
    (tmp_path / "repository" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = SourceSection(
        name="s",
        folder=tmp_path / "kept",
        dataset=str(tmp_path / "repository"),
        videos="urls",
        private_addresses=True,
        columns=ColumnSection(video="url"),
    )
    assert hashes(source, tmp_path) == expected
    with pytest.raises(VideoError, match=r"no such video: http.*none\.mp4"):
        addresses.fetch_url(f"{address}/none.mp4", tmp_path / "none.mp4", private=True)
    with pytest.raises(VideoError, match="cannot fetch http"):
        addresses.fetch_url("http://127.0.0.1:1/a.mp4", tmp_path / "none.mp4", private=True)
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
    assert facts["sources"][0]["dataset"] == "", "nobody else finds a folder of this machine"


def test_a_truncated_archive_says_which(llava_video: Path, tmp_path: Path) -> None:
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


def test_rows_of_a_table_that_are_no_clips(world: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").symlink_to(world / "videos")
    rows = [
        {"file_name": "videos/00000.mp4", "caption": "whole"},
        {"file_name": "videos/00001.mp4", "caption": "a part", "start": 1, "end": 2.5},
        {"file_name": "videos/00001.mp4", "caption": "to its end", "start": "1", "end": "4.4"},
        {"file_name": "videos/00000.mp4", "caption": "again"},
        {"file_name": "videos/00002.mp4", "caption": ""},
        {"caption": "nothing to see"},
        {"file_name": "videos/00003.mp4", "caption": "after the end", "start": 7, "end": 9},
        {"file_name": "videos/00003.mp4", "caption": "backwards", "start": 3, "end": 1},
        {"file_name": "videos/00003.mp4", "caption": "in words", "start": "soon"},
        {"file_name": "videos/none.mp4", "caption": "gone"},
    ]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    clips, kept, dropped = read_clips(SourceSection(name="s", folder=tmp_path), ("caption",))
    assert [(clip.start, clip.end) for clip in clips] == [(0, 4), (1, 2.5), (1, 4)]
    assert [row["caption"] for row in kept] == ["whole", "a part", "to its end"]
    assert [item.reason.split("/")[-1] for item in dropped] == [
        "00000.mp4 is in the table twice",
        "00002.mp4 has no caption",
        "row 5 has no file_name",
        "00003.mp4: its start is not a number of seconds: 'soon'",
        "00003.mp4 has no span from 7.0 to 9.0 s: it lasts 4.00 s",
        "00003.mp4 has no span from 3.0 to 1.0 s: it lasts 4.00 s",
        "none.mp4",
    ]
