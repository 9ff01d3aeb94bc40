"""Contexts with more frames than a budget are thinned evenly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longvpo.errors import LongVPOError
from longvpo.recipe.sections import VideoSection
from longvpo.video import frames
from longvpo.video.frames import ClipFrames
from longvpo.video.joined import read, shown, thin


@pytest.mark.parametrize("seed", range(20))
def test_thinning_keeps_every_clip_in_proportion(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 40, size=rng.integers(1, 20))
    clips = [np.arange(length)[:, None] + np.zeros((1, 3)) for length in lengths]
    budget = int(rng.integers(len(lengths), lengths.sum() + 5))
    kept = [len(clip) for clip in thin(clips, budget)]
    assert sum(kept) == min(budget, lengths.sum())
    assert all(1 <= count <= length for count, length in zip(kept, lengths, strict=True))
    # no frame could move to another clip and make the shares more even: Sainte-Laguë
    next_one = max(length / (2 * count + 1) for count, length in zip(kept, lengths, strict=True))
    last_one = [length / (2 * count - 1) for count, length in zip(kept, lengths, strict=True) if count > 1]
    assert sum(kept) == lengths.sum() or next_one <= min(last_one, default=np.inf)
    for clip, thinned in zip(clips, thin(clips, budget), strict=True):
        places = thinned[:, 0]
        assert set(places) <= set(clip[:, 0])
        steps = np.diff(places)
        assert len(steps) == 0 or (steps.min() >= 1 and np.ptp(steps) <= 1), "even distances"
        first, last = places[0], len(clip) - 1 - places[-1]
        assert abs(first - last) <= 1, "and as much before the first as after the last"


def test_thinning_that_is_not_needed_or_not_possible() -> None:
    clips = [np.zeros((4, 2, 2, 3), np.uint8), np.ones((8, 2, 2, 3), np.uint8)]
    for budget in (None, 12, 100):
        assert all(one is other for one, other in zip(thin(clips, budget), clips, strict=True))
    assert [len(clip) for clip in thin(clips, 6)] == [2, 4]
    assert [len(clip) for clip in thin(clips, 2)] == [1, 1]
    assert thin([np.arange(10)], 5)[0].tolist() == [1, 3, 5, 7, 9]
    with pytest.raises(LongVPOError, match="2 clips do not fit into a budget of 1 frames: raise frame_budget"):
        thin(clips, 1)


def test_a_clip_shorter_than_a_tick_has_a_rate() -> None:
    told = shown([(1.0, 1.0004)], [1])
    assert (told.times, told.seconds, told.fps) == ((0.0,), 0.0, 1000.0)


def test_no_frame_is_decoded_that_is_thinned_out(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = frames.read_frames
    counting = lambda path, times, *more: asked.append(len(times)) or real(path, times, *more)  # noqa: E731
    monkeypatch.setattr(frames, "read_frames", counting)
    clips = [{"source": "drawn", "video": f"videos/{i:05d}.mp4", "start": 0.0, "end": 4.0} for i in range(4)]
    section = VideoSection(fps=4)  # 16 frames a clip
    whole = [ClipFrames(section, {"drawn": world})(clip) for clip in clips]
    expected = thin(whole, 10)
    asked.clear()
    frames_of = ClipFrames(section, {"drawn": world})
    for _ in range(2):  # the second time from memory
        found = read(frames_of, clips, 10)
        assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    assert sum(asked) == 10
    # a clip that is whole in memory is not decoded again
    frames_of = ClipFrames(section, {"drawn": world})
    assert read(frames_of, clips, None)[0].shape[0] == 16
    asked.clear()
    assert all(np.array_equal(one, other) for one, other in zip(read(frames_of, clips, 10), expected, strict=True))
    assert asked == []
