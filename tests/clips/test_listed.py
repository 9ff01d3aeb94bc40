"""Videos that are lists of pictures: paths, folders, pictures in rows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features, Image, List, Value
from PIL import Image as Picture
from support.pairs import ASKED, plain, video, write_frames, write_rows

from longvpo.clips.listed import frames_of_pairs
from longvpo.clips.pairs import read_pairs, settle
from longvpo.clips.placed import placed
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.pairs import PairSection
from longvpo.recipe.sections import VideoSection
from longvpo.video.frames import ClipFrames

SECTION = VideoSection(short_side=96)


@pytest.fixture
def pictures(world: Path, tmp_path: Path) -> list[Path]:
    """All frames of a drawn clip of four seconds, as files."""
    return write_frames(world / video(0), tmp_path / "frames" / "a")


def read(dataset: Path, columns: PairSection | None = None, section: VideoSection = SECTION) -> tuple[Any, ClipFrames]:
    """The first row's context, and its frames."""
    found = settle(str(dataset), "stage1", "train", "main", columns, {})
    assert found is not None
    rows, _ = read_pairs(str(dataset), found.config, "train", "main", found.columns, found.folders)
    return rows[0]["context"], frames_of_pairs(str(dataset), section, found.folders, found.columns.list_fps)


def row(cell: Any) -> dict[str, Any]:
    return plain(0, ASKED[0]) | {"video": cell}


def test_a_list_of_frames_is_seen_as_its_video_is(world: Path, tmp_path: Path, pictures: list[Path]) -> None:
    """The rate of the list says when each is on screen: the same frames are sampled."""
    rate = len(pictures) / 4
    names = [str(path.relative_to(tmp_path)) for path in pictures]
    path = write_rows(tmp_path / "pairs.jsonl", [row(names), row([names]), row("frames/a")])
    context, frames_of = read(path, PairSection(list_fps=rate))
    (clip,) = context
    own = ClipFrames(SECTION, {"drawn": world})
    same = {"source": "drawn", "video": video(0), "start": 0.0, "end": 4.0}
    assert (clip["start"], clip["end"], frames_of.count(clip)) == (0, 4, 4)
    assert np.array_equal(frames_of(clip), own(same))
    assert np.array_equal(frames_of(clip, np.array([1, 3])), own(same)[[1, 3]])
    assert frames_of.size(clip) == own.size(same)
    rows, _ = read_pairs(str(path), "default", "train", "main", PairSection(list_fps=rate), {"pairs": tmp_path})
    assert len({str(context) for context in rows["context"]}) == 1, "a folder, and a list in a list, are the same"


def test_frames_without_a_rate_are_a_second_each(tmp_path: Path, pictures: list[Path]) -> None:
    names = [str(path.relative_to(tmp_path)) for path in pictures[:3]]
    context, frames_of = read(write_rows(tmp_path / "pairs.jsonl", [row(names)]))
    assert (context[0]["end"], frames_of.count(context[0])) == (3, 3)
    assert np.array_equal(frames_of(context[0])[2], np.asarray(Picture.open(pictures[2])))
    assert frames_of.origin(context[0]) == {"from": "published", "quality": None}
    few = VideoSection(short_side=96, max_frames=2)
    context, frames_of = read(tmp_path / "pairs.jsonl", section=few)
    assert frames_of.count(context[0]) == len(frames_of(context[0])) == 2


def test_frames_in_a_folder_are_in_the_order_of_their_numbers(tmp_path: Path, pictures: list[Path]) -> None:
    for number in (1, 2, 10, 11):
        shutil.copy(pictures[0], tmp_path / f"frame_{number}.png")
    (tmp_path / "._frame_1.png").write_text("of a file manager")
    found = placed(tmp_path.name, {"mine": tmp_path.parent})
    assert [Path(one).stem for one in found.frames] == ["frame_1", "frame_2", "frame_10", "frame_11"]


def test_frames_of_other_sizes_and_kinds(tmp_path: Path, pictures: list[Path]) -> None:
    Picture.new("L", (300, 150), 200).save(tmp_path / "large.jpg")
    Picture.new("RGBA", (40, 80)).save(tmp_path / "tall.png")
    path = write_rows(tmp_path / "pairs.jsonl", [row(["large.jpg", "tall.png"])])
    context, frames_of = read(path)
    assert frames_of.size(context[0]) == (96, 192)
    assert frames_of(context[0]).shape == (2, 96, 192, 3)
    assert frames_of(context[0])[1, :, 0].max() == 0, "black bars"
    (tmp_path / "tall.png").write_bytes(b"damaged")
    context, frames_of = read(path)
    with pytest.raises(VideoError, match="damaged"):
        frames_of(context[0])


def test_pictures_in_rows(tmp_path: Path, pictures: list[Path]) -> None:
    texts = {name: Value("string") for name in ("prompt", "chosen", "rejected")}
    held = {name: value for name, value in plain(0, ASKED[0]).items() if name != "video"}
    shown = [{"bytes": path.read_bytes(), "path": None} for path in pictures[:3]]
    folder = tmp_path / "theirs"
    rows = Dataset.from_list([held | {"images": shown}], features=Features({"images": List(Image()), **texts}))
    folder.mkdir()
    rows.to_parquet(folder / "one.parquet")
    rows.to_parquet(folder / "two.parquet")  # load_dataset reads several
    for dataset in (folder / "one.parquet", folder):
        context, frames_of = read(dataset)
        assert context[0]["source"] == "in-rows-frames"
        assert np.array_equal(frames_of(context[0])[1], np.asarray(Picture.open(pictures[1])))


def test_a_frame_that_is_missing_or_elsewhere_leaves_its_row_out(tmp_path: Path, pictures: list[Path]) -> None:
    name = str(pictures[0].relative_to(tmp_path))
    for cell, reason in (
        ([name, "frames/a/no.png"], "a frame of its video is missing"),
        ([name, "../other.png"], "outside the folders"),
        ([name, "a.mp4"], "more than one video"),
        (["no.png", name], "its video is missing"),
        ("frames", "it names no video"),
    ):
        with pytest.raises(LongVPOError, match=reason):
            read(write_rows(tmp_path / "pairs.jsonl", [row(cell)]))
