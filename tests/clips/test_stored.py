"""Rows are those of the folder as it is now, whatever it is called and whatever was read before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from longvpo.clips.foreign import open_foreign
from longvpo.clips.load import load_triplets
from longvpo.clips.published import beside
from longvpo.clips.stored import as_it_is, config_names, load_rows
from longvpo.errors import LongVPOError

README = "---\nconfigs:\n- config_name: stage1\n  data_files:\n  - split: train\n    path: stage1/*.parquet\n---\n"


def write(folder: Path, name: str = "rows.parquet", **columns: list[Any]) -> Path:
    (folder / "stage1").mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(README)
    Dataset.from_dict(columns).to_parquet(str(folder / "stage1" / name))
    return folder


def words(folder: Path) -> list[str]:
    return list(load_rows(str(folder), "stage1", "train", None)["word"])


def test_an_edit_in_place_is_seen(tmp_path: Path) -> None:
    file = write(tmp_path / "mine", word=["red", "sea"]) / "stage1" / "rows.parquet"
    assert words(tmp_path / "mine") == ["red", "sea"]
    before = file.stat()
    with file.open("r+b") as open_file:
        content = open_file.read().replace(b"red", b"fog")
        open_file.seek(0)
        open_file.write(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert words(tmp_path / "mine") == ["fog", "sea"]
    write(tmp_path / "mine", "more.parquet", word=["sky"])
    assert sorted(words(tmp_path / "mine")) == ["fog", "sea", "sky"]


def test_another_folder_of_the_same_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert words(write(tmp_path / name / "mine", word=[name])) == [name]


@pytest.mark.parametrize("name", ["clips [1080p]", "what?*", "{a,b}", "a\\b", "50% & more", "~ [x"])
def test_a_folder_whose_name_is_a_pattern(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, word=["red"])
    assert words(tmp_path / name) == ["red"]
    assert config_names(str(tmp_path / name), None) == ["stage1"]


def test_triplets_are_loaded_from_a_folder_whose_name_is_a_pattern(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "of [1]").symlink_to(dataset)
    assert len(load_triplets(str(tmp_path / "of [1]"))) == 40


def test_folders_that_are_linked(tmp_path: Path) -> None:
    write(tmp_path / "far", word=["red"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "stage1").symlink_to(tmp_path / "far" / "stage1")
    (tmp_path / "mine" / "stage1" / "again").symlink_to(tmp_path / "mine")
    (tmp_path / "mine" / "README.md").write_text(README)
    assert words(tmp_path / "mine") == ["red"]


def test_nothing_stays_and_a_hub_id_is_as_it_is(tmp_path: Path) -> None:
    with as_it_is(str(write(tmp_path / "mine", word=["red"]))) as place:
        assert (Path(place) / "stage1" / "rows.parquet").is_file()
    assert not Path(place).parent.exists()
    with as_it_is("someone/rows") as place:
        assert place == "someone/rows"


def test_a_mistyped_folder_is_not_asked_for_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network each request waits through its retries; the folder that is meant is one with rows."""
    monkeypatch.chdir(tmp_path)
    write(Path("my-triplets2"), word=["red"])
    work = Path("my-triplets") / "work"
    work.mkdir(parents=True)
    (work / "key.json").write_text("{}")
    for name in ("datasets.load_dataset", "datasets.get_dataset_config_names", "huggingface_hub.hf_hub_download"):
        monkeypatch.setattr(name, None)
    says = (
        r"cannot load my-tripletz: there is no such folder \(did you mean my-triplets2\?\); the id of one on the Hub"
    )
    for ask in (
        lambda: load_rows("my-tripletz", "stage1", "train", "main"),
        lambda: config_names("my-tripletz", "main"),
        lambda: beside("my-tripletz", "main", "recipe.yaml"),
        lambda: open_foreign("my-tripletz", "stage1", "train", "main"),
    ):
        with pytest.raises(LongVPOError, match=says):
            ask()


def saved(folder: Path) -> None:
    Dataset.from_dict({"word": ["red"]}).save_to_disk(str(folder))


def unlike(folder: Path) -> None:
    write(folder, word=["red"])
    write(folder, "other.parquet", number=[1])


def truncated(folder: Path) -> None:
    file = write(folder, word=["red"]) / "stage1" / "rows.parquet"
    os.truncate(file, file.stat().st_size // 2)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (saved, "was written by save_to_disk, which keeps no configs"),
        (unlike, "its files differ in their columns"),
        (truncated, "Parquet magic bytes not found"),
        (lambda folder: write(folder, word=[]), "it has no rows"),
        (Path.mkdir, "doesn't contain any data files"),
        (lambda folder: write(folder, word=["red"]).joinpath("README.md").write_text("---\nconfigs: {\n---\n"), ""),
    ],
)
def test_what_cannot_be_read_is_one_line(make: Any, says: str, tmp_path: Path) -> None:
    make(tmp_path / "mine")
    with pytest.raises(LongVPOError) as error:
        load_rows(str(tmp_path / "mine"), "stage1", "train", None)
    assert says in str(error.value)
    assert str(tmp_path / "mine") in str(error.value)
    assert "longvpo-" not in str(error.value), "the link is nobody's business"
    assert "\n" not in str(error.value)
