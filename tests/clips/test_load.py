"""Published rows and their frames: parquet files, embedded pictures, and contexts that are read when asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import longvpo
from longvpo.clips.load import Triplets
from longvpo.dataset.run import build
from longvpo.errors import LongVPOError
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sections import VideoSection
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
