"""The list of the videos that an adapter was trained on: hashes, complete or absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset
from support.triplets import rows_of, write_dataset

from longvpo.clips.overlap import read_overlap
from longvpo.clips.trained import read_trained, videos_of, write_trained
from longvpo.io.files import TRAINED, file_hash


def test_the_videos_of_triplets_by_their_hashes(
    dataset: Path, world: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    some = load_dataset(str(dataset), "stage1", split="train").select(range(3))
    found = videos_of(str(dataset), "main", "stage1", some)
    assert found == {file_hash(world / clip["video"]) for row in rows[:3] for clip in row["context"]}
    write_trained(tmp_path, found)
    assert read_trained(tmp_path) == found == set(read_overlap(tmp_path / TRAINED)), "a build can leave them out"


def test_what_is_not_known_is_no_list(tmp_path: Path) -> None:
    others = write_dataset(tmp_path / "others", stage1=rows_of("stage1", 3, 4))
    assert videos_of(str(others), "main", "stage1", rows_of("stage1", 3, 4)) is None
    known = Dataset.from_list([{"clip_id": "00001", "sha256": "a" * 64}])
    partly = write_dataset(tmp_path / "partly", stage1=rows_of("stage1", 3, 4), clips=known)
    assert videos_of(str(partly), "main", "stage1", rows_of("stage1", 3, 4)) is None
    write_trained(tmp_path, None)
    assert read_trained(tmp_path) is None
