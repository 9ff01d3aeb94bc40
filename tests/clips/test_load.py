"""Published rows and their frames: parquet files, embedded pictures, and contexts that are read when asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Features, Value, load_dataset
from pyarrow import parquet

import longvpo
from longvpo.clips.load import Triplets
from longvpo.clips.rows import features
from longvpo.dataset.run import build
from longvpo.errors import LongVPOError
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sections import VideoSection
from longvpo.release import parquet as shards
from longvpo.release.figures import jpegs
from longvpo.release.parquet import write_shards
from longvpo.video.frames import ClipFrames


@pytest.fixture(scope="module")
def embedded(world: Path, stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset of both stages with its frames."""
    folder = tmp_path_factory.mktemp("embedded") / "dataset"
    small = ["stage1.triplets=12", "stage2.triplets=8", "context.clips=[2, 4]", "stage2.max_scenes=9", "embed=frames"]
    sources = [f"sources.0.folder={world}", f"stage2.sources.0.folder={stories}"]
    build(load_recipe(DatasetRecipe, "tiny", [*sources, *small]), folder)
    return folder


def test_contexts_have_the_frames_that_the_writer_saw(embedded: Path, world: Path, stories: Path) -> None:
    for config, source, folder in (("stage1", "drawn", world), ("stage2", "stories", stories)):
        inside = longvpo.load_triplets(str(embedded), config)
        decoded = longvpo.load_triplets(str(embedded), config, videos={source: folder})
        assert isinstance(inside, Triplets)
        assert len(inside) == len(decoded) == {"stage1": 12, "stage2": 8}[config]
        frames_of = ClipFrames(VideoSection(short_side=96), {source: folder})
        for row, other in zip(inside[:3], decoded, strict=False):
            assert dict(row) == dict(other)
            expected = [frames_of(clip) for clip in row["context"]]
            for here, there, seen in zip(row.frames(), other.frames(), expected, strict=True):
                assert np.array_equal(there, seen)
                assert here.shape == seen.shape
                assert np.abs(here.astype(int) - seen).mean() < 6, "JPEG"
            anchors = row.anchor_frames()
            assert len(anchors) == len(row["anchors"])
            assert np.array_equal(anchors[0], row.frames()[row["anchors"][0]])


def test_without_frames_and_without_a_folder_it_says_what_to_give(dataset: Path, tmp_path: Path) -> None:
    rows = longvpo.load_triplets(str(dataset))
    assert rows[-1]["prompt"] == rows.dataset[-1]["prompt"], "texts need no videos"
    with pytest.raises(
        LongVPOError, match="videos of source drawn are not in the dataset: give their folder, videos="
    ):
        rows[0].frames()
    with pytest.raises(LongVPOError, match=r"cannot load .*stage9"):
        longvpo.load_triplets(str(dataset), "stage9")
    with pytest.raises(LongVPOError, match=f"cannot load {tmp_path}/none"):
        longvpo.load_triplets(f"{tmp_path}/none")


def test_frames_are_embedded_only_where_every_licence_allows_it() -> None:
    closed = "sources.0.redistribution=false"
    with pytest.raises(
        LongVPOError,
        match=r"embed: nothing says that the frames of source drawn .* set sources\.0\.redistribution=true",
    ):
        load_recipe(DatasetRecipe, "tiny", ["embed=frames", closed])


def test_many_rows_become_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 4000)
    monkeypatch.setattr(shards, "GROUP_ROWS", 10)
    columns = Features({"id": Value("int64"), "text": Value("string")})
    rows = [{"id": n, "text": hashlib.sha512(str(n).encode()).hexdigest() * 2} for n in range(95)]
    files = write_shards(tmp_path / "data", iter(rows), columns)
    assert len(files) > 2
    assert [path.name[:20] for path in files] == [f"train-{n:05d}-of-{len(files):05d}" for n in range(len(files))]
    assert [row for path in files for row in parquet.read_table(path).to_pylist()] == rows
    read = load_dataset("parquet", data_files=[str(path) for path in files], split="train", cache_dir=str(tmp_path))
    assert read.features == columns
    again = write_shards(tmp_path / "again", iter(rows), columns)
    assert [path.name for path in again] == [path.name for path in files], "equal rows, equal files"
    # the viewer reads a page by the page index
    assert parquet.ParquetFile(files[0]).metadata.row_group(0).column(0).has_column_index


def test_row_groups_of_pictures_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "GROUP_BYTES", 20_000)
    noise = np.random.default_rng(0).integers(0, 256, (30, 2, 32, 32, 3), np.uint8)
    rows: list[dict[str, Any]] = [{"clip_id": str(n), "frames": jpegs(noise[n])} for n in range(30)]
    (file,) = write_shards(tmp_path / "data", rows, features("clips", frames=True))
    metadata = parquet.read_metadata(file)
    assert metadata.num_rows == 30
    assert 3 < metadata.num_row_groups < 15


def test_without_rows_there_is_no_file(tmp_path: Path) -> None:
    assert write_shards(tmp_path / "data", [], features("dropped")) == []
    assert list(tmp_path.iterdir()) == []
