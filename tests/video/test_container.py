"""Video files are opened as bytes of one file: no name is an address, and no content opens another file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from longvpo.errors import VideoError
from longvpo.recipe.sources import SceneSection
from longvpo.video.container import open_container
from longvpo.video.cuts import find_cuts
from longvpo.video.frames import duration, read_frames, write_video
from longvpo.video.probe import probe


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    frames = np.zeros((20, 64, 96, 3), np.uint8)
    frames[10:] = 200
    write_video(path, frames, fps=10)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "2024-05-01T12:30:00Z.mp4",
        "-x.mp4",
        "file:film.mp4",
        "http:film.mp4",
        "pipe:",
        "concat:a.mp4|b.mp4",
        "data:film.mp4",
        "fd:",
        "clip%03d.mp4",
        "take [1] * {a,b}?.mp4",
        "subfile,,start,0,end,9,,:film.mp4",
        "~film.mp4",
        "#1 50%.mp4",
        "not \udcff utf-8.mp4",
    ],
)
@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_any_name_is_that_of_a_file(
    name: str, backend: str, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(name)  # in the folder `.`
    shutil.copy(film, path)
    assert duration(path) == 2.0
    assert read_frames(path, np.array([0.5, 1.5]), backend=backend).mean((1, 2, 3)).round(-1).tolist() == [0, 200]
    assert find_cuts(path, SceneSection(detector="content")) == [1.0]


def test_a_film_is_written_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path("a:b.mp4"), np.zeros((5, 64, 64, 3), np.uint8), fps=5)
    assert duration(Path("a:b.mp4")) == 1.0
    assert os.listdir() == ["a:b.mp4"]


def test_a_pattern_of_pictures_is_one_picture(tmp_path: Path) -> None:
    from PIL import Image

    for number, grey in enumerate([10, 250, 250]):
        name = tmp_path / ("shot%01d.png" if number == 0 else f"shot{number}.png")
        Image.new("RGB", (64, 64), (grey, grey, grey)).save(name)
    found = probe(tmp_path / "shot%01d.png")
    assert len(found.shown) == 1
    assert read_frames(tmp_path / "shot%01d.png", np.array([0.0])).mean() == 10


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{path}\n#EXT-X-ENDLIST\n",
    "hls with an address": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{path}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {name}\n",
    "concat of paths": "ffconcat version 1.0\noption safe 0\nfile {path}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 33\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT2S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{name}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_opens_no_other_file(
    kind: str, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(film, tmp_path / "secret.mp4")
    path = tmp_path / "film.mp4"
    path.write_text(PLAYLISTS[kind].format(name="secret.mp4", path=tmp_path / "secret.mp4"))
    monkeypatch.chdir(tmp_path)
    for ask in (duration, probe):
        with pytest.raises(VideoError, match=r"cannot read film\.mp4: "):
            ask(path)


def test_metadata_that_is_not_text_is_no_reason_to_refuse_a_film(tmp_path: Path) -> None:
    import av

    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "TITLE"
        stream = container.add_stream("mpeg4", rate=5)
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b"TITLE", b"\xff\xfe\xfd\xe4\xf6"))
    assert len(probe(path).shown) == 5


def test_what_cannot_be_opened_is_said_in_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / f"{'x' * 300}.mp4", tmp_path, tmp_path / "missing.mp4"):
        with pytest.raises(VideoError, match=r"File name too long|no such video"), open_container(path):
            pass
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match="the file is empty"):
        duration(tmp_path / "empty.mp4")
