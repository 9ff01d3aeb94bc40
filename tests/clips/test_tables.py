"""Datasets in the form of VideoFolder, streamed."""

from __future__ import annotations

import gc
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from datasets import Dataset, Features, Value, Video
from pyarrow import parquet
from support.films import captioned, put

from longvpo.clips.sources import list_candidates, read_clips
from longvpo.recipe.sources import ColumnSection, SourceSection


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # datasets leaves the table open
@pytest.mark.parametrize("below", ["", "train/"])
@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_folder_of_videos_in_the_hubs_form(below: str, name: str, film: Path, tmp_path: Path) -> None:
    repository = tmp_path / "John Doe" / "films"
    put(film, *(repository / f"{below}videos/{number}.mp4" for number in range(2)))
    rows = [{"file_name": f"videos/{number}.mp4", "caption": f"film {number}"} for number in range(2)]
    captioned(repository / below, *rows, name="metadata.jsonl")
    if name == "metadata.csv":
        (repository / below / "metadata.jsonl").unlink()
        lines = ["file_name,caption", *(f"{row['file_name']},{row['caption']}" for row in rows)]
        (repository / below / name).write_text("\n".join(lines) + "\n")
    source = SourceSection(
        name="s", folder=tmp_path / "kept", dataset=str(repository), columns=ColumnSection(video="video")
    )
    clips, _, dropped = read_clips(source)
    assert dropped == []
    assert [(clip.video, clip.caption) for clip in clips] == [(f"{below}videos/{n}.mp4", f"film {n}") for n in (0, 1)]
    assert all((source.folder / clip.video).is_file() for clip in clips)
    gc.collect()


def test_a_stream_of_the_hub_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Videos of a dataset on the Hub are decoded ahead in threads, before a column can be cast."""
    paths = [f"hf://datasets/some/films@0123abc/train/{name}" for name in ("été/a.mp4", "b@c.mp4")]
    rows = {"video": [{"path": path, "bytes": None} for path in paths], "caption": ["red", None]}
    features = Features({"video": Video(), "caption": Value("string")})
    stream = Dataset(pa.Table.from_pydict(rows, schema=features.arrow_schema)).to_iterable_dataset()
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: stream.decode(num_threads=2))
    columns = ColumnSection(video="video")
    source = SourceSection(name="s", folder=tmp_path / "kept", dataset="some/films", columns=columns)
    candidates, dropped = list_candidates(source)
    assert [one.video for one in candidates] == ["train/été/a.mp4"]
    assert [(item.id, item.reason) for item in dropped] == [("train/b@c.mp4", "train/b@c.mp4 has no caption")]


def test_videos_that_are_no_files_of_their_dataset_say_what_to_set(film: Path, tmp_path: Path) -> None:
    repository = tmp_path / "films"
    repository.mkdir()
    inside = {"bytes": film.read_bytes(), "path": "a.mp4"}
    outside = {"bytes": None, "path": "https://me:secret@films.net/b.mp4?key=secret"}
    features = Features({"video": Video(), "caption": Value("string")})
    rows = {"video": [inside, outside], "caption": ["red", "blue"]}
    parquet.write_table(pa.Table.from_pydict(rows, schema=features.arrow_schema), repository / "train.parquet")
    source = SourceSection(
        name="s", folder=tmp_path / "kept", dataset=str(repository), columns=ColumnSection(video="video")
    )
    candidates, dropped = list_candidates(source)
    assert candidates == []
    assert [item.id for item in dropped] == ["a.mp4", "https://films.net/b.mp4"]
    assert dropped[0].reason == "row 0 holds its video itself: set the source's `videos: bytes`"
    assert dropped[1].reason == "https://films.net/b.mp4 is an address, not a path inside the source's folder"
    urls = source.model_copy(update={"videos": "urls"})
    assert list_candidates(urls)[0][0].address == outside["path"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_video_in_an_archive_of_its_dataset_says_so(film: Path, tmp_path: Path) -> None:
    repository = tmp_path / "films"
    repository.mkdir()
    with zipfile.ZipFile(repository / "films.zip", "w") as archive:
        archive.write(film, "0.mp4")
        archive.writestr("metadata.csv", "file_name,caption\n0.mp4,red\n")
    source = SourceSection(
        name="s", folder=tmp_path / "kept", dataset=str(repository), columns=ColumnSection(video="video")
    )
    _, dropped = list_candidates(source)
    assert [item.reason for item in dropped] == [
        "row 0: its video is in films.zip: set `videos: zip` (or tar) and `tars`"
    ]
