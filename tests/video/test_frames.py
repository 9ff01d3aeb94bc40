"""Frames are asked for by time, and every backend answers the same."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from pathlib import Path
from shutil import copyfile
from typing import Any

import av
import numpy as np
import pytest
from support.world import has_torchcodec

from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.sections import VideoSection
from longvpo.video import probe
from longvpo.video.children import HERE
from longvpo.video.frames import ClipFrames, duration, read_frames, sample_times, scaled_size, write_video
from longvpo.video.recent import Recent


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty frames at 10 a second, frame i of grey 6 * i."""
    path = tmp_path_factory.mktemp("video") / "counting.mp4"
    frames = np.repeat(np.arange(40, dtype=np.uint8) * 6, 128 * 192 * 3).reshape(40, 128, 192, 3)
    write_video(path, frames, fps=10)
    return path


def numbers(frames: np.ndarray) -> list[int]:
    return np.round(frames.mean(axis=(1, 2, 3)) / 6).astype(int).tolist()


@pytest.mark.parametrize("backend", ["decord", "pyav"])
def test_a_process_that_is_forked_after_frames_were_read_reads_them_too(counting: Path, backend: str) -> None:
    """As the workers of a DataLoader are: what a decoder keeps for the next call may have lost its threads there."""
    times = np.array([0.05, 1.25])
    here = read_frames(counting, times, 64, backend)
    child = os.fork()
    if child == 0:
        os._exit(0 if (read_frames(counting, times, 64, backend) == here).all() else 1)
    until = time.monotonic() + 60
    while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < until:
        time.sleep(0.01)
    if not ended[0]:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended == (child, 0)


@pytest.mark.parametrize("backend", ["auto", "decord", "pyav"])
def test_frames_on_screen(counting: Path, backend: str) -> None:
    times = np.array([0.0, 0.05, 0.1, 1.25, 3.95, 4.0])
    frames = read_frames(counting, times, backend=backend)
    assert frames.shape == (6, 128, 192, 3)
    assert numbers(frames) == [0, 0, 1, 12, 39, 39]
    assert duration(counting) == pytest.approx(4.0)
    assert numbers(read_frames(counting, np.array([2.0, 2.0, 2.0]), backend=backend)) == [20, 20, 20]
    with pytest.raises(VideoError, match=r"counting\.mp4 end at 4\.0 s, but the one at 9\.0 s was asked for"):
        read_frames(counting, np.array([0.0, 9.0]), backend=backend)


def test_torchcodec_shows_the_same_or_says_what_it_needs(counting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if has_torchcodec():
        times = np.array([0.0, 0.05, 0.1, 1.25, 3.95])
        assert numbers(read_frames(counting, times, backend="torchcodec")) == [0, 0, 1, 12, 39]
        assert read_frames(counting, times, short_side=64, backend="torchcodec").shape == (5, 64, 96, 3)
    monkeypatch.setenv(HERE, "1")
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(LongVPOError, match="pip install torchcodec") as error:
        read_frames(counting, np.array([0.0]), backend="torchcodec")
    assert not isinstance(error.value, VideoError), "no fault of the video, so no clip is dropped for it"


@pytest.mark.parametrize("missing", [None, OSError("libavcodec.so.58: cannot open shared object file")])
def test_without_decord_pyav_reads_and_nothing_is_said(
    missing: OSError | None, counting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """Where decord has no wheel, its library does not load, or nobody installed it."""
    monkeypatch.setenv(HERE, "1")
    if missing is None:
        monkeypatch.setitem(sys.modules, "decord", None)
    else:
        (tmp_path / "decord.py").write_text(f"raise OSError({str(missing)!r})")
        monkeypatch.delitem(sys.modules, "decord", raising=False)
        monkeypatch.syspath_prepend(tmp_path)
    times = np.array([0.05, 1.25, 3.95])
    assert np.array_equal(read_frames(counting, times), read_frames(counting, times, backend="pyav"))
    assert capfd.readouterr() == ("", "")
    with pytest.raises(LongVPOError, match=r"package decord.*cannot be.*: pip install decord, or"):
        read_frames(counting, times, backend="decord")


def test_a_file_is_probed_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probed = []
    real = probe._probe
    monkeypatch.setattr(probe, "_probe", lambda path: probed.append(path) or real(path))
    for seconds in (1, 2):
        write_video(tmp_path / "film.mp4", np.full((5 * seconds, 64, 96, 3), 90, np.uint8), fps=5)
        for backend in ("auto", "pyav"):
            read_frames(tmp_path / "film.mp4", np.array([seconds - 0.5]), backend=backend)
    assert len(probed) == 2


def test_probes_are_kept_within_a_limit(counting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Recent(3 * 40 * 8, probe._probes.size)
    monkeypatch.setattr(probe, "_probes", kept)
    for number in range(6):
        copyfile(counting, tmp_path / f"{number}.mp4")
        assert duration(tmp_path / f"{number}.mp4") == probe.probe(tmp_path / f"{number}.mp4").end
    assert [path.name for path, *_ in kept._values] == ["4.mp4", "5.mp4"]


def test_a_damaged_picture_is_refused_and_those_before_it_are_read(counting: Path, tmp_path: Path) -> None:
    with av.open(str(counting)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        place, size = packets[20].pos, packets[20].size  # the keyframe at 2 s
    data = bytearray(counting.read_bytes())
    data[place + 6 : place + size] = bytes(size - 6)
    (tmp_path / "damaged.mp4").write_bytes(data)
    assert numbers(read_frames(tmp_path / "damaged.mp4", np.array([1.0]), backend="pyav")) == [10]
    with pytest.raises(VideoError, match=r"damaged\.mp4"):
        read_frames(tmp_path / "damaged.mp4", np.array([1.0, 2.0]), backend="pyav")


def test_a_stream_without_time_stamps_is_read_by_its_rate(counting: Path, tmp_path: Path) -> None:
    with av.open(str(counting)) as source, av.open(str(tmp_path / "raw.h264"), "w") as target:
        stream = target.add_stream("libx264", rate=10, width=192, height=128, pix_fmt="yuv420p")
        for frame in source.decode(video=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    raw = tmp_path / "raw.h264"
    rate = 25  # what a raw stream is taken for
    assert duration(raw) == pytest.approx(40 / rate)
    assert numbers(read_frames(raw, np.array([0.5, 12.5, 39.5]) / rate)) == [0, 12, 39]
    with pytest.raises(VideoError, match="a seek in h264 can miss"):
        read_frames(raw, np.array([0.0]), backend="decord")


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "libx264"), (".avi", "mpeg4"), (".ts", "libx264")])
def test_other_containers_hold_the_same_frames(counting: Path, tmp_path: Path, suffix: str, codec: str) -> None:
    copy = tmp_path / f"copy{suffix}"
    with av.open(str(counting)) as source, av.open(str(copy), "w") as target:
        stream = target.add_stream(codec, rate=10, width=192, height=128, pix_fmt="yuv420p", bit_rate=4_000_000)
        for frame in source.decode(video=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    assert numbers(read_frames(copy, np.array([0.05, 1.25, 3.95]))) == [0, 12, 39]


def test_pictures_too_narrow_for_decord_are_read(tmp_path: Path) -> None:
    write_video(tmp_path / "narrow.mp4", np.full((5, 32, 48, 3), 90, np.uint8), fps=5)
    frames = read_frames(tmp_path / "narrow.mp4", np.array([0.5]))
    assert frames.shape == (1, 32, 48, 3)
    assert abs(frames.mean() - 90) < 3
    with pytest.raises(VideoError, match="with decord"):
        read_frames(tmp_path / "narrow.mp4", np.array([0.5]), backend="decord")


def test_sampling_takes_the_middle_of_equal_intervals() -> None:
    assert sample_times(0, 4, fps=1, max_frames=64).tolist() == [0.5, 1.5, 2.5, 3.5]
    assert sample_times(10, 12, fps=1, max_frames=1).tolist() == [11.0]
    assert sample_times(0, 0.2, fps=1, max_frames=64).tolist() == [0.1]
    assert len(sample_times(0, 3600, fps=1, max_frames=64)) == 64


def test_large_frames_are_scaled_down_and_small_ones_kept(counting: Path) -> None:
    assert scaled_size(1920, 1080, 448) == (796, 448)
    assert scaled_size(64, 96, 448) == (64, 96)
    for backend in ("decord", "pyav"):
        assert read_frames(counting, np.array([1.0]), short_side=64, backend=backend).shape == (1, 64, 96, 3)


def test_clips_are_decoded_once_within_the_cache_limit(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from longvpo.video import frames as video

    decoded = []
    real = video.read_frames
    monkeypatch.setattr(video, "read_frames", lambda path, *rest: decoded.append(path.name) or real(path, *rest))
    clip_bytes = 4 * 96 * 96 * 3
    frames_of = ClipFrames(VideoSection(cache_gb=2.5 * clip_bytes / 1e9), {"drawn": world})
    clips = [{"source": "drawn", "video": f"videos/{i:05d}.mp4", "start": 0.0, "end": 4.0} for i in range(3)]
    for index in (0, 1, 0, 1, 2, 1, 0):
        frames_of(clips[index])
    assert decoded == ["00000.mp4", "00001.mp4", "00002.mp4", "00000.mp4"]
    with pytest.raises(LongVPOError, match=r"data\.videos\.elsewhere"):
        frames_of(clips[0] | {"source": "elsewhere"})


def test_clips_go_to_workers_that_are_no_forks(counting: Path) -> None:
    frames_of = ClipFrames(VideoSection(), {"drawn": counting.parent})
    clip = {"source": "drawn", "video": counting.name, "start": 0.0, "end": 4.0}
    frames = frames_of(clip)
    assert np.array_equal(pickle.loads(pickle.dumps(frames_of))(clip), frames)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.mp4", None, "no such video"),
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"this is no video\n" * 50, "cannot"),
        ("text.avi", b"this is no video\n" * 50, "cannot"),
    ],
)
def test_unreadable_videos_say_why(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for read in (duration, lambda path: read_frames(path, np.array([0.0]))):
        with pytest.raises(VideoError, match=message) as error:
            read(tmp_path / name)
        assert name in str(error.value)
        assert "\n" not in str(error.value)
