"""The files that rows name: found however they are spelt, and told by the row's own name wherever they are."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest
from datasets import Dataset
from huggingface_hub.errors import EntryNotFoundError
from support.films import captioned, put

from longvpo.clips import fetch as fetching
from longvpo.clips.archives import fetch_archives
from longvpo.clips.long_videos import list_long_videos, open_long_video
from longvpo.clips.overlap import read_overlap
from longvpo.clips.sources import list_candidates, open_clip, read_clips
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.sections import VideoSection
from longvpo.recipe.sources import LongSourceSection, SourceSection
from longvpo.training.tokens import picture_size
from longvpo.training.videos import check_videos
from longvpo.video.decoders import read_decord, read_torchcodec
from longvpo.video.extent import extent
from longvpo.video.frames import ClipFrames
from longvpo.video.probe import probe

NAME = "cafe\u0301 é.mp4"  # one accent of each form: neither composed nor taken apart


# how names are spelt

SPELT = {
    "a table from a Mac": (normalize("NFD", f"été/{NAME}"), normalize("NFC", f"été/{NAME}")),
    "files from a Mac": (normalize("NFC", f"été/{NAME}"), normalize("NFD", f"été/{NAME}")),
    "a folder from a Mac": (f"été/{normalize('NFC', NAME)}", f"{normalize('NFD', 'été')}/{normalize('NFC', NAME)}"),
    "a table from Windows": ("some\\deep\\a.mp4", "some/deep/a.mp4"),
    "blanks behind the name": ("a.mp4 ", "a.mp4"),
    "all of it": (normalize("NFD", " été\\é.mp4 "), normalize("NFC", "été/é.mp4")),
}


@pytest.mark.parametrize("kind", SPELT)
def test_a_file_is_found_however_it_is_spelt(kind: str, film: Path, tmp_path: Path) -> None:
    said, there = SPELT[kind]
    put(film, tmp_path / there)
    captioned(tmp_path, {"file_name": said})
    clips, _, dropped = read_clips(SourceSection(name="s", folder=tmp_path))
    assert dropped == []
    assert clips[0].video == said, "rows keep the name that the table has"
    frames = ClipFrames(VideoSection(fps=4), {"s": tmp_path})(clips[0].reference)
    assert len(frames) == 8


def test_the_exact_name_comes_first(film: Path, tmp_path: Path) -> None:
    names = [normalize("NFC", NAME), normalize("NFD", NAME), NAME]
    put(film, *(tmp_path / name for name in names))
    put(film, tmp_path / "a\\b.mp4", tmp_path / "a" / "b.mp4")
    (tmp_path / "a\\b.mp4").write_bytes(film.read_bytes() + bytes(9))
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(film.read_bytes() + bytes(number))
    captioned(tmp_path, *({"file_name": name} for name in [*names, "a\\b.mp4", "a/b.mp4"]))
    clips, _, dropped = read_clips(SourceSection(name="s", folder=tmp_path))
    assert dropped == []
    sizes = [(tmp_path / clip.video).stat().st_size - film.stat().st_size for clip in clips]
    assert sizes == [0, 1, 2, 9, 0]
    assert len({clip.sha256 for clip in clips}) == 4


def test_an_overlap_list_knows_a_name_however_it_is_spelt(film: Path, tmp_path: Path) -> None:
    put(film, tmp_path / normalize("NFD", NAME))
    captioned(tmp_path, {"file_name": normalize("NFD", NAME)})
    (tmp_path / "list").write_text(normalize("NFC", NAME).removesuffix(".mp4") + "\n")
    source = SourceSection(name="s", folder=tmp_path)
    with pytest.raises(VideoError, match="is on the overlap list"):
        open_clip(source, list_candidates(source)[0][0], read_overlap(tmp_path / "list"))


def test_archives_know_a_name_however_it_is_spelt(film: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    with zipfile.ZipFile(repository / "é.zip", "w") as archive:
        archive.writestr(normalize("NFD", "é/été.mp4"), film.read_bytes())
        archive.writestr("b\\c.mp4", film.read_bytes())
    source = SourceSection(name="s", folder=tmp_path, dataset=str(repository), videos="zip", tars="*.zip")
    names = {normalize("NFC", "été.mp4"), "b/c.mp4", "none.mp4"}
    assert set(fetch_archives(source, names)) == {"none.mp4"}
    assert all((tmp_path / name).is_file() for name in names - {"none.mp4"})


def test_the_hub_is_asked_for_the_name_that_is_there(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, asked = normalize("NFD", "été.mp4"), []

    def download(repository: str, name: str, local_dir: Path, **_: Any) -> None:
        asked.append(name)
        if name != there:
            raise EntryNotFoundError("no")
        put(film, local_dir / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    source = SourceSection(name="s", folder=tmp_path / "kept", dataset="some/films")
    name = normalize("NFC", there)
    fetching.fetch_file(source, name, source.folder / name)
    with pytest.raises(VideoError, match=r"no such video: plain\.mp4 in some/films@main"):
        fetching.fetch_file(source, "plain.mp4", source.folder / "plain.mp4")
    assert asked == [name, there, "plain.mp4"]


# names that lead out of the folder

OUT = (
    *(" {0}/secret/x.mp4", "{0}/secret/x.mp4", " ../secret/x.mp4", "\t../secret/x.mp4", "\u00a0../secret/x.mp4"),
    *(
        " ..\\secret\\x.mp4",
        "..\\secret\\x.mp4",
        "./ {0}/secret/x.mp4",
        "./ ./ {0}/secret/x.mp4",
        "a/ .. /../secret/x.mp4",
    ),
    *("a/../../secret/x.mp4", "C:\\secret\\x.mp4", " c:/secret/x.mp4", "~/secret/x.mp4", " //server/secret/x.mp4"),
    *("user@host:/secret/x.mp4", "nfs:/secret/x.mp4", "file:~/secret/x.mp4"),
)


@pytest.mark.parametrize("name", OUT)
def test_no_spelling_leads_out_of_the_folder(name: str, film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    put(film, tmp_path / "secret" / "x.mp4", folder / "a" / "b.mp4")
    said = [name.format(tmp_path), f"\\{name.format(tmp_path)}".replace("/", "\\").replace("\\\\", "\\")]
    for one in said:
        captioned(folder, {"file_name": one})
        clips, _, dropped = read_clips(SourceSection(name="s", folder=folder))
        assert clips == []
        assert [item.id for item in dropped] == ["x.mp4"]
        assert [item.reason for item in dropped] == ["x.mp4 is not a path inside the source's folder"]
        clip = {"source": "s", "video": one, "start": 0.0, "end": 1.0}
        with pytest.raises(VideoError, match=r"^x\.mp4 is not a path inside the source's folder"):
            ClipFrames(VideoSection(fps=4), {"s": folder})(clip)


def test_training_opens_no_file_that_a_downloaded_dataset_names_elsewhere(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "clips"
    put(film, tmp_path / "secret.mp4", folder / "a.mp4")
    opened: list[Path] = []
    monkeypatch.setattr("longvpo.video.frames.extent", lambda path: opened.append(path) or extent(path))
    frames_of = ClipFrames(VideoSection(fps=4), {"s": folder})
    clip = {"source": "s", "start": 0.0, "end": 1.0}
    assert picture_size(frames_of, clip | {"video": "a.mp4"}) == (64, 64)
    for name in ("../secret.mp4", f" {tmp_path}/secret.mp4", "../../../../etc/passwd"):
        rows = Dataset.from_dict({"context": [[clip | {"video": name}]]})
        with pytest.raises(
            LongVPOError, match=r"1 of 1 triplets need videos .* is not a path inside the source's folder"
        ):
            check_videos(rows, frames_of)
        assert picture_size(frames_of, clip | {"video": name}) != (64, 64)
    assert opened == [folder / "a.mp4"]


def test_links_of_the_users_own_are_followed(film: Path, tmp_path: Path) -> None:
    put(film, tmp_path / "disk" / "a.mp4", tmp_path / "other" / "b.mp4")
    (tmp_path / "disk" / "b.mp4").symlink_to(Path("..") / "other" / "b.mp4")
    (tmp_path / "disk" / "deep").symlink_to(tmp_path / "other")
    (tmp_path / "clips").symlink_to(tmp_path / "disk")
    captioned(
        tmp_path / "clips", *({"file_name": name} for name in ("./a.mp4", "b.mp4", " deep\\b.mp4 ", ".\\deep/b.mp4"))
    )
    clips, _, dropped = read_clips(SourceSection(name="s", folder=tmp_path / "clips"))
    assert (len(clips), dropped) == (4, [])


# what reasons say


def test_reasons_name_the_row_and_nothing_above(film: Path, tmp_path: Path) -> None:
    """Everything that a missing, broken or foreign file can be told by, in a folder with a blank in its name."""
    folder = tmp_path / "John Doe" / "my clips"
    put(film, folder / "films" / "good.mp4")
    (folder / "films" / "empty.mp4").touch()
    (folder / "films" / "text.mp4").write_text("a letter " * 99)
    secret = {"path": f"{tmp_path}/x.mp4", "url": "https://h.net/x?key=secret"}
    bad: list[tuple[dict[str, Any], str]] = [
        ({"file_name": "films/none.mp4"}, "no such video: films/none.mp4"),
        ({"file_name": "films/empty.mp4"}, "cannot read empty.mp4: the file is empty"),
        ({"file_name": "films/text.mp4"}, "cannot read text.mp4: Invalid data found when processing input"),
        ({"file_name": "films"}, "no such video: films"),
        ({"file_name": f"{folder}/films/good.mp4"}, "good.mp4 is not a path inside the source's folder"),
        ({"file_name": f"file://{folder}/films/good.mp4"}, "good.mp4 is an address, not a path inside"),
        ({"file_name": "C:\\Users\\John Doe\\a.mp4"}, "a.mp4 is not a path inside the source's folder"),
        ({"file_name": "\\\\server\\John Doe\\b.mp4"}, "b.mp4 is not a path inside the source's folder"),
        ({"file_name": "..\\John Doe\\c.mp4"}, "c.mp4 is not a path inside the source's folder"),
        ({"file_name": "~John Doe/d.mp4"}, "no such video: ~John Doe/d.mp4"),
        ({"file_name": "https://me:secret@h.net/e.mp4?key=secret"}, "https://h.net/e.mp4 is an address"),
        ({"file_name": "films/good.mp4", "caption": secret}, "films/good.mp4: its caption is not a text: {"),
        ({"file_name": "films/good.mp4", "start": secret["url"]}, "is not a number of seconds: 'https://h.net/x'"),
        ({"file_name": [f"{tmp_path}/x.mp4"]}, "row 13: its file_name is not a path: ['x.mp4']"),
        ({"file_name": {"path": None, "bytes": secret["url"]}}, "row 14 has no file_name"),
        ({"file_name": "films/good.mp4", "start": 7}, "films/good.mp4 has no span from 7.0 to 2.0 s"),
    ]
    captioned(folder, *(row for row, _ in bad))
    _, _, dropped = read_clips(SourceSection(name="s", folder=folder))
    said = {item.reason for item in dropped}
    assert [expected for _, expected in bad if not any(expected in reason for reason in said)] == []
    assert len(dropped) == len(bad)
    text = json.dumps([(item.id, item.reason) for item in dropped])
    assert [word for word in (str(tmp_path), "my clips", "secret", "Users") if word in text] == []


def test_long_videos_name_the_row_and_nothing_above(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "John Doe" / "my films"
    put(film, folder / "a.mp4")
    groups = ["https://h.net/film?v=1", "https://h.net/film?v=2", f"{tmp_path}/film", "film"]
    rows = [{"file_name": f"none{number}.mp4", "of": group} for number, group in enumerate(groups)]
    captioned(folder, *rows, {"file_name": "none9.mp4", "of": float("nan")})
    source = LongSourceSection(name="s", folder=folder, scenes=None, group="of")
    videos, dropped = list_long_videos(source, 0)
    assert [item.reason for item in dropped] == ["none9.mp4 has no of"]
    assert len({video.name for video in videos}) == len(groups), "two films stay two"
    assert [video.name.split("#")[0] for video in videos] == [
        "https://h.net/film",
        "https://h.net/film",
        "film",
        "film",
    ]
    with pytest.raises(VideoError) as caught:
        open_long_video(source, videos[2], tmp_path / "kept")
    assert "no such video: none2.mp4" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_decoders_name_the_file_alone(film: Path, tmp_path: Path) -> None:
    """Theirs are the errors that name the whole path."""
    gone = tmp_path / "John Doe" / "gone.mp4"
    file = probe(film)
    for read in (read_decord, read_torchcodec):
        with pytest.raises(LongVPOError) as caught:
            read(gone, file, np.array([0, 1]), (64, 64))
        assert str(tmp_path) not in str(caught.value)
