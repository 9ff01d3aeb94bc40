"""Every backend shows the frames that reading in order shows, or refuses the file."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
from support.world import TWO_SIZES, has_torchcodec

from longvpo.errors import VideoError
from longvpo.video import decoders
from longvpo.video.children import HERE
from longvpo.video.container import open_container
from longvpo.video.frames import duration, read_frames, sample_times, write_video
from longvpo.video.probe import probe

SHORT_SIDE = 96
# Mean differences of 256 grey levels. Decoders differ in their arithmetic and scale down with other filters; a frame
# counts as another one if that one is nearer by more than the filters can explain.
SAME_FRAME = {"pyav": 0.01, "decord": 2.5, "auto": 2.5, "torchcodec": 3.5}
NEARER = {"pyav": 0.01, "decord": 0.02, "auto": 0.02, "torchcodec": 0.3}
AROUND = 3  # frames before and after
CONTAINERS = {".mp4", ".mov", ".mkv", ".webm", ".3gp", ".avi", ".ogv", ".mpg", ".ts"}


class Truth(NamedTuple):
    path: Path
    times: np.ndarray  # seconds asked for
    places: np.ndarray  # index of the frame on screen at each
    frames: dict[int, np.ndarray]  # by index, those on screen and around: int16 (height, width, 3)


def in_order(path: Path, times: np.ndarray | None = None) -> Truth:
    """Decoded from the first packet to the last: a frame for each packet that is shown, by rising time.

    Without `times`, 24 of equal distance and two at the very end.
    """
    if times is None:
        length = duration(path)
        times = np.append(sample_times(0, length, 1000, 24), [max(length - 0.05, 0), max(length - 0.001, 0)])
        times.sort()
    with open_container(path) as container:
        packets = container.demux(video=0)
        shown_from = np.sort([float(p.pts * p.time_base) for p in packets if p.size and not p.is_discard])
    places = np.searchsorted(shown_from - shown_from[0], times + 0.001, side="right") - 1
    frames, number = {}, -1
    with open_container(path) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if np.abs(places - number).min() <= AROUND:
                scale = min(1.0, SHORT_SIDE / min(frame.width, frame.height))
                width, height = round(frame.width * scale), round(frame.height * scale)
                image = frame.to_ndarray(format="rgb24", width=width, height=height)
                frames[number] = np.rot90(image, round(frame.rotation / 90)).astype(np.int16)
    assert number + 1 == len(shown_from)
    return Truth(path, times, places, frames)


in_order_once = cache(in_order)


@pytest.fixture(scope="module")
def paths(footage: Path) -> list[Path]:
    return sorted(path for path in (*footage.glob("*"), *footage.glob("odd/*")) if path.suffix in CONTAINERS)


def wrong_frames(truth: Truth, backend: str) -> int:
    """How many of the frames are not those of the truth."""
    read = read_frames(truth.path, truth.times, SHORT_SIDE, backend)
    wrong = 0
    for image, place in zip(read, truth.places, strict=True):
        around = [truth.frames.get(place + step) for step in range(-AROUND, AROUND + 1)]
        own, *near = [np.abs(frame - image).mean() for frame in (truth.frames[place], *around) if frame is not None]
        wrong += own > SAME_FRAME[backend] or own > min(near) + NEARER[backend]
    return wrong


@TWO_SIZES
def test_auto_is_exact_on_every_file(soak: bool, paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """With decord, unless that would be wrong. In short, on the odd files and on every eighth of the others."""
    taken, some = [], [path for n, path in enumerate(paths) if soak or n % 8 == 1 or path.parent.name == "odd"]
    real = decoders.read_decord
    monkeypatch.setenv(HERE, "1")
    monkeypatch.setattr(decoders, "read_decord", lambda path, *rest: taken.append(path) or real(path, *rest))
    assert len(paths) >= 50
    assert {path.name: count for path in some if (count := wrong_frames(in_order_once(path), "auto"))} == {}
    assert taken == [path for path in some if not probe(path).not_decord]
    assert len(taken) > (30 if soak else 10)


@TWO_SIZES
def test_pyav_is_exact_on_every_file(soak: bool, paths: list[Path]) -> None:
    """In short, on every sixth: what decord does not read is in the test above."""
    some = paths if soak else paths[1::6]
    assert {path.name: count for path in some if (count := wrong_frames(in_order_once(path), "pyav"))} == {}


def test_decord_refuses_what_auto_does_not_give_it(paths: list[Path]) -> None:
    refused = [path for path in paths if probe(path).not_decord]
    odd = {"editlist_midgop.mp4", "opengop_bpyramid.mp4", "av1.webm", "start100s.ts", "mjpeg.avi"}
    assert odd < {path.name for path in refused}
    for path in refused:
        with pytest.raises(VideoError, match=rf"decord .*{re.escape(path.name)}.*video\.backend"):
            read_frames(path, np.array([0.0]), SHORT_SIDE, "decord")


@TWO_SIZES
def test_torchcodec_is_exact_on_every_file_that_it_does_not_refuse(soak: bool, paths: list[Path]) -> None:
    if not has_torchcodec():
        pytest.skip("torchcodec or FFmpeg's libraries are not installed")
    wrong, read = {}, 0
    for path in paths if soak else paths[1::12]:
        if probe(path).not_sought:
            with pytest.raises(VideoError, match=rf"torchcodec .*{re.escape(path.name)}.*video\.backend"):
                read_frames(path, np.array([0.0]), SHORT_SIDE, "torchcodec")
            continue
        read += 1
        if count := wrong_frames(in_order_once(path), "torchcodec"):
            wrong[path.name] = count
    assert wrong == {}
    assert read > (30 if soak else 2)


@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_a_clock_shows_the_time_that_was_asked_for(footage: Path, backend: str) -> None:
    """A countdown film of one frame a second, whose time stamps decord does not understand."""
    path = footage / "hachoir__10min.mkv"
    times = np.array([0.5, 59.5, 300.5, 599.5])
    truth = in_order(path, times)
    read = read_frames(path, times, SHORT_SIDE, backend)
    assert truth.places.tolist() == [0, 59, 300, 599]
    assert np.array_equal(read, np.stack([truth.frames[place] for place in truth.places]))
    assert not np.array_equal(read[0], read[2]), "the clock runs"


def test_every_bad_file_is_refused_by_name(footage: Path) -> None:
    bad = sorted((footage / "bad").iterdir())
    assert len(bad) == 17
    for path in bad:
        with pytest.raises(VideoError) as error:
            read_frames(path, sample_times(0, duration(path), 1, 64))
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["truncated_50pct.mkv", "truncated_faststart_50pct.mp4"])
def test_the_good_part_of_a_file_that_is_cut_short(footage: Path, name: str) -> None:
    times = sample_times(0, 5, 2, 10)
    read = read_frames(footage / "bad" / name, times, SHORT_SIDE, "pyav")
    expected = read_frames(footage / "pytorch-vision__basketball.mp4", times, SHORT_SIDE, "pyav")
    assert np.abs(read.astype(int) - expected).mean() < 0.5
    with pytest.raises(VideoError, match=r"end at 5\.7 s, its header says 11\.1 s: the file is cut short"):
        read_frames(footage / "bad" / name, np.array([1.0, 7.0]))


def test_threads_read_at_once(paths: list[Path]) -> None:
    names = ["gradio__b.mp4", "pylivestream__bunny.avi", "opengop_bpyramid.mp4", "vp9.webm"]
    chosen = [in_order_once(path) for path in paths if path.name in names] * 4
    assert len(chosen) == 16
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda truth: wrong_frames(truth, "auto"), chosen)) == 0


@pytest.fixture(scope="module")
def moving() -> np.ndarray:
    """Smooth noise that moves by four pixels a frame: uint8 (200, 96, 128, 3)."""
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 255, (12, 116)), np.ones((8, 8))).astype(np.uint8)
    return np.stack([np.repeat(wide[:, 4 * i : 4 * i + 128, None], 3, axis=2) for i in range(200)])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("x264", ["open-gop=1:bframes=5:b-pyramid=normal", "intra-refresh=1", "open-gop=0"])
def test_keyframes_that_are_no_fresh_start(moving: np.ndarray, tmp_path: Path, suffix: str, x264: str) -> None:
    """The container says the same of open groups and slow refreshes as of others; decord believes it."""
    path = tmp_path / f"film{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, width=128, height=96, pix_fmt="yuv420p")
        stream.options = {"x264-params": f"keyint=20:scenecut=0:{x264}"}
        for frame in encoded(moving):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    truth = in_order(path)
    assert wrong_frames(truth, "auto") == wrong_frames(truth, "pyav") == 0
    assert bool(probe(path).not_decord) == (x264 != "open-gop=0")


def encoded(images: np.ndarray) -> Iterator[av.VideoFrame]:
    for number, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 20)
        yield frame


PEAK = """
import resource, sys
from functools import cache
from pathlib import Path
import numpy as np
from longvpo.video.frames import read_frames, sample_times
peaks = []
for name, seconds in ((sys.argv[2], 10), (sys.argv[3], 1800)):
    for _ in range(3):
        read_frames(Path(name), sample_times(0, seconds, 1000, 16), backend=sys.argv[1])
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[1] - peaks[0])
"""


@pytest.mark.parametrize(("backend", "suffix"), [("auto", ".mp4"), ("pyav", ".mp4"), ("pyav", ".ts")])
def test_memory_does_not_grow_with_a_video(moving: np.ndarray, tmp_path: Path, backend: str, suffix: str) -> None:
    """Half an hour against ten seconds; its 36,000 frames would fill 1.3 GB."""
    write_video(tmp_path / "once.mp4", moving, fps=20)
    for name, times in (("short", 1), ("long", 180)):
        repeated(tmp_path / "once.mp4", tmp_path / f"{name}{suffix}", times)
    files = [str(tmp_path / f"{name}{suffix}") for name in ("short", "long")]
    run = subprocess.run([sys.executable, "-c", PEAK, backend, *files], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 24_000, "KiB"


def repeated(source: Path, target: Path, times: int) -> None:
    """The packets of a film of ten seconds, one copy after the other."""
    with av.open(str(source)) as film, av.open(str(target), "w") as container:
        stream = film.streams.video[0]
        copy = container.add_stream_from_template(stream)
        for number in range(times):
            film.seek(0)
            for packet in film.demux(stream):
                if packet.size:
                    packet.pts += round(10 * number / packet.time_base)
                    packet.dts += round(10 * number / packet.time_base)
                    packet.stream = copy
                    container.mux(packet)
