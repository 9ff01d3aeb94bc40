"""The videos of contexts: what they show and when, and that each file is written once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.pairs import video

from longvpo.export.media import Film, Media
from longvpo.recipe.sections import VideoSection
from longvpo.video.frames import ClipFrames, write_video
from longvpo.video.pictures import decoded, size_of


@pytest.fixture
def frames_of(world: Path) -> ClipFrames:
    return ClipFrames(VideoSection(), {"drawn": world})


def clip(number: int, start: float = 0.0, end: float = 4.0) -> dict[str, Any]:
    return {"source": "drawn", "video": video(number), "start": start, "end": end}


def shown(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_an_mp4_shows_the_clips_in_order(frames_of: ClipFrames, tmp_path: Path) -> None:
    context = [clip(0), clip(1, 1, 3)]
    film = Media(tmp_path, frames_of, False, 90).write(context)
    assert (film.frames, film.rate, film.seconds) == ([4, 2], 1.0, 6.0)
    assert film.spans == [(0.0, 4.0), (4.0, 6.0)]
    (path,) = film.paths
    wanted = np.concatenate([frames_of(one) for one in context])
    difference = np.abs(shown(tmp_path / path).astype(int) - wanted).mean()
    assert difference < 4, "H.264 halves the resolution of colour"


def test_a_film_is_as_long_as_its_clips(frames_of: ClipFrames, tmp_path: Path) -> None:
    """Frames may be fewer or more than seconds: their rate makes up for it."""
    film = Media(tmp_path, frames_of, False, 90).write([clip(0, 0, 2.6), clip(1, 0, 1.4)])
    assert (film.frames, film.rate, film.seconds) == ([3, 1], 1.0, 4.0)
    film = Media(tmp_path, frames_of, False, 90).write([clip(0, 0, 2.6)])
    assert film.rate == pytest.approx(3 / 2.6)
    with av.open(str(tmp_path / film.paths[0])) as container:
        assert container.duration / 1e6 == pytest.approx(2.6, abs=0.01)


def test_pictures_of_a_clip_are_shared_and_exact(frames_of: ClipFrames, tmp_path: Path) -> None:
    media = Media(tmp_path, frames_of, True, None)
    first, second = media.write([clip(0), clip(1)]), media.write([clip(1), clip(0)])
    assert first.paths == second.paths[4:] + second.paths[:4]
    assert len(list(tmp_path.rglob("*.png"))) == 8
    for path, frame in zip(first.paths, np.concatenate([frames_of(clip(0)), frames_of(clip(1))]), strict=True):
        assert np.array_equal(decoded([(tmp_path / path).read_bytes()])[0], frame)


def test_clips_of_other_shapes_stand_on_one_canvas(world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (4, 98, 50, 3), np.uint8)
    write_video(folder / "tall.mp4", noise, 1)
    frames_of = ClipFrames(VideoSection(), {"drawn": world, "odd": folder})
    context = [clip(0), clip(1), {"source": "odd", "video": "tall.mp4", "start": 0.0, "end": 4.0}]
    film = Media(tmp_path, frames_of, False, 90).write(context)
    assert shown(tmp_path / film.paths[0]).shape == (12, 96, 96, 3)
    alone = Media(tmp_path, frames_of, True, 90).write(context)
    assert {size_of((tmp_path / path).read_bytes()) for path in alone.paths} == {(96, 96)}


def test_what_is_there_is_not_written_again(frames_of: ClipFrames, tmp_path: Path) -> None:
    for pictures in (False, True):
        film = Media(tmp_path, frames_of, pictures, 90).write([clip(0)])
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
        assert Media(tmp_path, frames_of, pictures, 90).write([clip(0)]) == film
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == before


def test_spans_of_a_film() -> None:
    assert Film(["a.mp4"], [2, 1, 3], 2.0).spans == [(0.0, 1.0), (1.0, 1.5), (1.5, 3.0)]
