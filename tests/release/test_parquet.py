"""Rows in parquet files: as many files as their size asks for, and small groups of pictures."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Features, Value, load_dataset
from pyarrow import parquet

from longvpo.clips.rows import features
from longvpo.release import parquet as shards
from longvpo.release.parquet import write_shards
from longvpo.video.pictures import as_column, encoded


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
    rows: list[dict[str, Any]] = [{"clip_id": str(n), "frames": as_column(encoded(noise[n], 90))} for n in range(30)]
    (file,) = write_shards(tmp_path / "data", rows, features("clips", frames=True))
    metadata = parquet.read_metadata(file)
    assert metadata.num_rows == 30
    assert 3 < metadata.num_row_groups < 15


def test_without_rows_there_is_no_file(tmp_path: Path) -> None:
    assert write_shards(tmp_path / "data", [], features("dropped")) == []
    assert list(tmp_path.iterdir()) == []
