"""What is fetched: of archives what is wanted, and nothing outside the folder."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.spec import AbstractBufferedFile
from support.films import names, scenes_of, write_scenes

from longvpo.clips import archives
from longvpo.clips.long_videos import LongVideo, list_long_videos, open_long_video, unpack_long_videos
from longvpo.errors import LongVPOError
from longvpo.recipe.sources import ColumnSection, LongSourceSection

VRIPT = {"first_film": 11, "2nd-film": 3, "-third": 4}  # scenes of each made-up film; names begin as on YouTube


@pytest.fixture
def vript(tmp_path: Path) -> Path:
    """The layout of Mutonix/Vript, with content of our own: a table with a row a scene, which names no file, and the
    scenes in zips that hold a folder of their own name."""
    repository = tmp_path / "vript"
    captions, clips = repository / "vript_captions", repository / "vript_long_videos_clips"
    captions.mkdir(parents=True)
    clips.mkdir()
    (repository / "README.md").write_text(
        "---\nconfigs:\n- config_name: vript-long\n  data_files:\n  - split: train\n"
        "    path: vript_captions/vript_long_videos_captions.jsonl\n- config_name: vript-short\n  data_files:\n"
        "  - split: train\n    path: vript_captions/vript_short_videos_captions.jsonl\n---\n"
    )
    rows = []
    for number, (film, count) in enumerate(VRIPT.items(), 1):
        archive = f"clips_{number}_of_3"
        with zipfile.ZipFile(clips / f"{archive}.zip", "w") as made:
            made.mkdir(f"{archive}/empty")
            made.writestr(f"{archive}/{film}/{film}_cut_meta.json", "{}")
            made.writestr(f"{archive}/{film}/{film}_asr.jsonl", "")
            for scene in range(1, count + 1):
                clip = f"{film}-Scene-{scene:03d}"
                write_scenes(tmp_path / "drawn.mp4", 1, seed=scene)
                made.write(tmp_path / "drawn.mp4", f"{archive}/{film}/{clip}.mp4")
                said = {"shot_type": "s", "camera_movement": "c", "content": f"made up {scene}", "scene_title": "t"}
                meta = {"video_id": film, "video_title": "a title", "num_clips": count, "integrity": True}
                rows.append({"meta": meta, "clip_id": clip, "caption": said, "voiceover": ["words"]})
    rows = [*rows[::2], *rows[1::2]]  # not in order, so that only the names decide
    for kind, some in (("long", rows), ("short", rows[:1])):
        lines = "".join(json.dumps(row) + "\n" for row in some)
        (captions / f"vript_{kind}_videos_captions.jsonl").write_text(lines)
    (repository / "vript_meta").mkdir()
    (repository / "vript_meta" / "vript_long_videos_meta.json").write_text("{}")
    return repository


def vript_source(repository: Path, kept: Path, **values: Any) -> LongSourceSection:
    return scenes_of(
        kept,
        dataset=str(repository),
        config="vript-long",
        videos="zip",
        columns=ColumnSection(video="{meta.video_id}/{clip_id}.mp4"),
        group="meta.video_id",
        **({"tars": "vript_long_videos_clips/*.zip"} | values),
    )


def vript_names(films: list[str]) -> dict[str, list[str]]:
    return {film: [f"{film}/{film}-Scene-{n:03d}.mp4" for n in range(1, VRIPT[film] + 1)] for film in films}


def test_vript_as_it_lies_on_the_hub(vript: Path, tmp_path: Path) -> None:
    source = vript_source(vript, tmp_path / "kept")
    listed, dropped = list_long_videos(source, seed=0)
    assert (names(listed), dropped) == (vript_names(list(VRIPT)), [])
    assert not (tmp_path / "kept").exists(), "listing unpacks nothing"
    videos, dropped = unpack_long_videos(source, listed)
    assert (videos, dropped) == (listed, [])
    for video in videos:
        clips = open_long_video(source, video, tmp_path / "cuts")
        assert [clip.video for clip in clips] == [scene.video for scene in video.scenes]
        assert {(clip.start, clip.end, clip.caption) for clip in clips} == {(0, 4, "")}
        assert [clip.sha256 for clip in clips] == [
            clip.sha256 for clip in open_long_video(source, listed[0], tmp_path)
        ][: len(clips)], "scene n has the same drawing in every film"
    assert not (tmp_path / "cuts").exists(), "its own cuts are kept"
    unpacked = {str(path.relative_to(tmp_path / "kept")) for path in (tmp_path / "kept").rglob("*.*")}
    assert unpacked == {scene for scenes in vript_names(list(VRIPT)).values() for scene in scenes}


def test_a_zip_without_a_folder_of_its_own_name(vript: Path, tmp_path: Path) -> None:
    """As the dataset's card draws it."""
    for path in vript.rglob("*.zip"):
        with zipfile.ZipFile(path) as before:
            members = {name: before.read(name) for name in before.namelist()}
        with zipfile.ZipFile(path, "w") as after:
            for name, content in members.items():
                after.writestr(name.split("/", 1)[1], content)
    source = vript_source(vript, tmp_path / "kept")
    videos, dropped = unpack_long_videos(source, list_long_videos(source, seed=0)[0])
    assert (len(videos), dropped) == (3, [])


def test_a_film_whose_scenes_are_in_no_archive_is_dropped(vript: Path, tmp_path: Path) -> None:
    source = vript_source(vript, tmp_path / "kept", tars="vript_long_videos_clips/clips_[12]_*.zip")
    videos, dropped = unpack_long_videos(source, list_long_videos(source, seed=0)[0])
    assert names(videos) == vript_names(["first_film", "2nd-film"])
    assert [(item.id, item.filter) for item in dropped] == [("s/-third", "table")]
    says = "4 of its 4 files are in no archive vript_long_videos_clips/clips_[12]_*.zip: -third/-third-Scene-001.mp4"
    assert dropped[0].reason == says


class Remote(AbstractBufferedFile):
    """A file of the Hub as fsspec reads it: by ranges, of which the bytes are counted."""

    def __init__(self, path: Path, block_size: int, fetched: dict[str, int]) -> None:
        super().__init__(None, str(path), "rb", block_size, size=path.stat().st_size)
        self.fetched = fetched

    def _fetch_range(self, start: int, end: int) -> bytes:
        name = Path(self.path).name
        self.fetched[name] = self.fetched.get(name, 0) + end - start
        return Path(self.path).read_bytes()[start:end]


def test_of_a_zip_on_the_hub_only_what_is_wanted_is_read(
    vript: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: dict[str, int] = {}

    class Hub:
        def find(self, root: str, revision: str, detail: bool) -> dict[str, dict[str, int]]:
            assert (root, revision, detail) == ("datasets/someone/vript", "a" * 40, True)
            return {f"{root}/{path.relative_to(vript)}": {"size": path.stat().st_size} for path in vript.rglob("*.*")}

        def open(self, name: str, mode: str, revision: str, block_size: int) -> Remote:
            assert (mode, revision) == ("rb", "a" * 40)
            return Remote(vript / name.removeprefix("datasets/someone/vript/"), block_size, fetched)

    monkeypatch.setattr("huggingface_hub.HfFileSystem", Hub)
    monkeypatch.setattr(archives, "ZIP_BLOCK", 1000)
    here = vript_source(vript, tmp_path / "kept")
    source = here.model_copy(update={"dataset": "someone/vript", "revision": "a" * 40})
    listed, _ = list_long_videos(here, seed=0)
    wanted = [video for video in listed if video.name != "first_film"]
    wanted[0] = LongVideo("s", wanted[0].name, wanted[0].scenes[:1])
    assert unpack_long_videos(source, wanted) == (wanted, [])
    sizes = {path.name: path.stat().st_size for path in vript.rglob("*.zip")}
    assert fetched["clips_1_of_3.zip"] < 0.2 * sizes["clips_1_of_3.zip"], "its table of contents"
    assert fetched["clips_2_of_3.zip"] < 0.7 * sizes["clips_2_of_3.zip"], "one scene of three"
    assert sizes["clips_3_of_3.zip"] <= fetched["clips_3_of_3.zip"] < 1.3 * sizes["clips_3_of_3.zip"]
    for video in wanted:
        assert len(open_long_video(source, video, tmp_path / "cuts")) == len(video.scenes)
    fetched.clear()
    assert unpack_long_videos(source, wanted) == (wanted, [])
    assert fetched == {}, "what is there is not fetched again"


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def flipped(path: Path) -> None:
    """A bit of the film's data, which the zip has a checksum of."""
    data = bytearray(path.read_bytes())
    data[data.index(b"mdat") + 100] ^= 1
    path.write_bytes(data)


def no_zip(path: Path) -> None:
    path.write_bytes(b"<html>not found</html>")


@pytest.mark.parametrize("spoil", [truncated, flipped, no_zip])
def test_a_broken_zip_says_which(spoil: Callable[[Path], None], vript: Path, tmp_path: Path) -> None:
    spoil(vript / "vript_long_videos_clips" / "clips_2_of_3.zip")
    source = vript_source(vript, tmp_path / "kept")
    with pytest.raises(LongVPOError, match=r"source s: cannot read .*clips_2_of_3\.zip: .*; fetch it again"):
        unpack_long_videos(source, list_long_videos(source, seed=0)[0])
    assert not list(tmp_path.rglob("*.unfinished")), "nothing half-unpacked"


def test_no_member_of_a_zip_is_written_outside(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    write_scenes(tmp_path / "drawn.mp4", 1)
    content = (tmp_path / "drawn.mp4").read_bytes()
    bad = ["../escaped.mp4", "/escaped.mp4", "a/../../escaped.mp4", str(tmp_path / "escaped.mp4")]
    with zipfile.ZipFile(repository / "a.zip", "w") as archive:
        for name in [*bad, "good/../good.mp4", "b.mp4"]:
            archive.writestr(zipfile.ZipInfo(name), content)
        link = zipfile.ZipInfo("link.mp4")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    rows = [{"file_name": name, "video": "v"} for name in [*bad, "b.mp4"]]
    rows.append({"file_name": "link.mp4", "video": "l"})
    (repository / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "deep" / "kept"
    source = scenes_of(folder, dataset=str(repository), videos="zip", tars="*.zip", group="video")
    listed, dropped = list_long_videos(source, seed=0)
    assert [item.reason for item in dropped] == [
        f"{Path(name).name} is not a path inside the source's folder" for name in bad
    ]
    videos, dropped = unpack_long_videos(source, listed)
    assert names(videos) == {"v": ["b.mp4"]}
    assert [item.reason for item in dropped] == ["link.mp4 is a link in a.zip"]
    assert sorted(path.name for path in folder.rglob("*")) == ["b.mp4"]
    assert not list(tmp_path.rglob("escaped*"))
    assert not Path("/escaped.mp4").exists()
