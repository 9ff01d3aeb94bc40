"""The files that rows name: found however they are spelt, and told by the row's own name wherever they are."""

from __future__ import annotations

import functools
import gc
import http.server
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, Features, Value, Video
from huggingface_hub.errors import EntryNotFoundError
from pyarrow import parquet

from longvpo.clips import fetch as fetching
from longvpo.clips.fetch import fetch_archives, name_of_url
from longvpo.clips.long_videos import list_long_videos, open_long_video
from longvpo.clips.sources import list_candidates, open_clip, read_clips, read_overlap
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.sections import ColumnSection, LongSourceSection, SourceSection, VideoSection
from longvpo.training.collator import check_videos
from longvpo.training.tokens import picture_size
from longvpo.video.decoders import read_decord, read_torchcodec
from longvpo.video.frames import ClipFrames, write_video
from longvpo.video.probe import probe

NAME = "cafe\u0301 é.mp4"  # one accent of each form: neither composed nor taken apart


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), np.uint8), 4)
    return path


def put(film: Path, *places: Path) -> None:
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(film.read_bytes())


def table(folder: Path, *rows: dict[str, Any], name: str = "metadata.jsonl") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps({"caption": "red"} | row) + "\n" for row in rows))


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
    table(tmp_path, {"file_name": said})
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
    table(tmp_path, *({"file_name": name} for name in [*names, "a\\b.mp4", "a/b.mp4"]))
    clips, _, dropped = read_clips(SourceSection(name="s", folder=tmp_path))
    assert dropped == []
    sizes = [(tmp_path / clip.video).stat().st_size - film.stat().st_size for clip in clips]
    assert sizes == [0, 1, 2, 9, 0]
    assert len({clip.sha256 for clip in clips}) == 4


def test_an_overlap_list_knows_a_name_however_it_is_spelt(film: Path, tmp_path: Path) -> None:
    put(film, tmp_path / normalize("NFD", NAME))
    table(tmp_path, {"file_name": normalize("NFD", NAME)})
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
    assert fetch_archives(source, names) == {"none.mp4"}
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
        table(folder, {"file_name": one})
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
    monkeypatch.setattr("longvpo.training.tokens.probe", lambda path: opened.append(path) or probe(path))
    frames_of = ClipFrames(VideoSection(fps=4), {"s": folder})
    recipe = SimpleNamespace(video=frames_of.section, data=SimpleNamespace(videos=frames_of.folders))
    assert picture_size(recipe, "s", "a.mp4") == (64, 64)  # type: ignore[arg-type]
    for name in ("../secret.mp4", f" {tmp_path}/secret.mp4", "../../../../etc/passwd"):
        rows = Dataset.from_dict({"context": [[{"source": "s", "video": name, "start": 0.0, "end": 1.0}]]})
        with pytest.raises(
            LongVPOError, match=r"1 of 1 triplets need videos .* is not a path inside the source's folder"
        ):
            check_videos(rows, frames_of)
        assert picture_size(recipe, "s", name) != (64, 64)  # type: ignore[arg-type]
    assert opened == [folder / "a.mp4"]


def test_links_of_the_users_own_are_followed(film: Path, tmp_path: Path) -> None:
    put(film, tmp_path / "disk" / "a.mp4", tmp_path / "other" / "b.mp4")
    (tmp_path / "disk" / "b.mp4").symlink_to(Path("..") / "other" / "b.mp4")
    (tmp_path / "disk" / "deep").symlink_to(tmp_path / "other")
    (tmp_path / "clips").symlink_to(tmp_path / "disk")
    table(
        tmp_path / "clips", *({"file_name": name} for name in ("./a.mp4", "b.mp4", " deep\\b.mp4 ", ".\\deep/b.mp4"))
    )
    clips, _, dropped = read_clips(SourceSection(name="s", folder=tmp_path / "clips"))
    assert (len(clips), dropped) == (4, [])


# datasets in the form of VideoFolder


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # datasets leaves the table open
@pytest.mark.parametrize("below", ["", "train/"])
@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_folder_of_videos_in_the_hubs_form(below: str, name: str, film: Path, tmp_path: Path) -> None:
    repository = tmp_path / "John Doe" / "films"
    put(film, *(repository / f"{below}videos/{number}.mp4" for number in range(2)))
    rows = [{"file_name": f"videos/{number}.mp4", "caption": f"film {number}"} for number in range(2)]
    table(repository / below, *rows, name="metadata.jsonl")
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
    """Of a dataset on the Hub, datasets decode the videos ahead in threads, before a column can be cast."""
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
    table(folder, *(row for row, _ in bad))
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
    table(folder, *rows, {"file_name": "none9.mp4", "of": float("nan")})
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


@pytest.fixture
def host(film: Path) -> Iterator[str]:
    """A server that sends on, refuses and has nothing, by what it is asked for."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if "moved" in self.path:
                self.send_response(302)
                self.send_header("Location", "/refused.mp4?signature=secret")
                self.end_headers()
            elif "refused" in self.path:
                self.send_error(403, "Forbidden")
            else:
                self.send_error(404)

        def log_message(self, *arguments: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(film.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_addresses_are_told_by_host_and_path(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "WAIT", 0.0)
    (tmp_path / "repository").mkdir()
    bad = {
        f"http://me:secret@{host}/moved.mp4?key=secret": f"cannot fetch http://{host}/moved.mp4: 403 Forbidden",
        f"http://{host}/refused.mp4?key=secret": f"cannot fetch http://{host}/refused.mp4: 403 Forbidden",
        f"http://{host}/none.mp4?key=secret#secret": f"no such video: http://{host}/none.mp4",
        "http://127.0.0.1:1/a.mp4?key=secret": "cannot fetch http://127.0.0.1:1/a.mp4: ",
        "ftp://me:secret@h.net/a.mp4": "cannot fetch ftp://h.net/a.mp4: ",
        "http://./a.mp4?key=secret": "cannot fetch http://./a.mp4: ",
        "/home/secret/a.mp4": "cannot fetch a.mp4: ",
    }
    rows = [{"url": address, "caption": "red"} for address in bad] + [{"url": f"http://{host}/b?key=secret"}]
    table(tmp_path / "repository", *rows[:-1], rows[-1] | {"caption": None}, name="train.jsonl")
    source = SourceSection(
        name="s",
        folder=tmp_path / "kept",
        dataset=str(tmp_path / "repository"),
        videos="urls",
        columns=ColumnSection(video="url"),
    )
    _, _, dropped = read_clips(source)
    said = {item.reason for item in dropped}
    assert [expected for expected in bad.values() if not any(reason.startswith(expected) for reason in said)] == []
    assert f"http://{host}/b" in {item.id for item in dropped}
    assert "secret" not in json.dumps([(item.id, item.reason) for item in dropped])
    assert name_of_url("https://me:se.cret@host").endswith(tuple("0123456789abcdef")), "no part of it is a suffix"


@pytest.mark.parametrize(
    ("address", "suffix"),
    [
        ("https://h/x.mp4?sig=secret", ".mp4"),
        (" https://h/x.mp4?sig=secret", ".mp4"),
        ("see https://h/x.mp4?sig=secret", ".mp4"),
        ("//h/x.mp4?sig=secret", ""),
        ("https://h/x.mp4;jsessionid=secret", ".mp4"),
        ("https://h/x.mp4&sig=secret", ""),
        ("https://h/x.\ud800", ""),
    ],
)
def test_the_name_of_an_address_holds_no_part_of_its_query(address: str, suffix: str) -> None:
    assert name_of_url(address)[16:] == suffix


def test_a_blank_around_an_address_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    rows = [
        {"url": f" https://u:pw@h/{n}.mp4?sig=secret\n", "caption": caption} for n, caption in enumerate(("a", ""))
    ]
    table(tmp_path / "repository", *rows, name="train.jsonl")
    columns = ColumnSection(video="url")
    source = SourceSection(
        name="s", folder=tmp_path, dataset=str(tmp_path / "repository"), videos="urls", columns=columns
    )
    (candidate,), (dropped,) = list_candidates(source)
    assert candidate.address == "https://u:pw@h/0.mp4?sig=secret"
    assert candidate.video == name_of_url(candidate.address)
    assert dropped.id == "https://h/1.mp4"


def test_a_proxy_that_is_none_is_no_fault_of_the_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "foo://me:secret@h.net")
    with pytest.raises(LongVPOError, match="check HTTPS_PROXY and ALL_PROXY") as caught:
        fetching.fetch_url("http://h.net/a.mp4", tmp_path / "a.mp4")
    assert not isinstance(caught.value, VideoError)
    assert "secret" not in str(caught.value)
