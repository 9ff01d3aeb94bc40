"""What else is in a file beside its pictures: other streams do not make it longer, and are not shown for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.world import has_torchcodec

from longvpo.errors import VideoError
from longvpo.recipe.sources import SceneSection
from longvpo.video.cuts import find_cuts
from longvpo.video.frames import duration, read_frames
from longvpo.video.probe import probe

RATE, SOUND_RATE = 10, 48_000


def pictures(count: int, first: int = 0, step: int = 4, size: tuple[int, int] = (64, 96)) -> np.ndarray:
    """Frames of one grey each, the next brighter by `step`: uint8 (count, height, width, 3)."""
    greys = (first + step * np.arange(count)).astype(np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (count, *size, 3))


def write(
    path: Path, *films: np.ndarray, codec: str = "libx264", sound: float = 0, subtitle: float = 0, **more: Any
) -> Path:
    """A film of 10 pictures a second with as many streams of pictures, `sound` seconds of silence, and a subtitle.

    Args:
        subtitle: the seconds at which it ends; it begins at 1 s.
        more: `default`, the places of the films that are marked as default; the first, where it is not given.
    """
    with av.open(str(path), "w", options=more.get("options", {})) as container:
        streams = []
        for place, film in enumerate(films):
            stream = container.add_stream(codec, rate=RATE)
            stream.height, stream.width = film.shape[1:3]
            stream.pix_fmt = more.get("pix_fmt", "yuv420p")
            stream.options = {"crf": "10", "x264-params": "no-asm=1:bframes=0"} if codec == "libx264" else {}
            stream.bit_rate = 4_000_000
            stream.disposition = av.stream.Disposition.default if place in more.get("default", (0,)) else 0
            streams.append(stream)
        voice = container.add_stream(more.get("voice", "aac"), rate=SOUND_RATE, layout="mono") if sound else None
        if subtitle:
            titles = container.add_mux_stream("subrip")
        if more.get("cover"):
            container.add_attachment("cover.jpg", "image/jpeg", more["cover"])
        packets = []
        for film, stream in zip(films, streams, strict=True):
            for image in film:
                packets += stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"))
            packets += stream.encode()
        if voice:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, int(sound * SOUND_RATE)), np.int16), layout="mono")
            silence.sample_rate = SOUND_RATE
            packets += [*voice.encode(silence), *voice.encode()]
        if subtitle:
            packet = av.Packet(b"a word")
            packet.stream, packet.time_base = titles, Fraction(1, 1000)
            packet.pts = packet.dts = 1000
            packet.duration = int(1000 * (subtitle - 1))
            packets.append(packet)
        for packet in packets:
            container.mux(packet)
    return path


CONTAINERS = [
    (".mkv", "libx264", "aac"),
    (".webm", "libvpx-vp9", "libopus"),
    (".flv", "libx264", "aac"),
    (".mp4", "libx264", "aac"),
    (".mov", "libx264", "aac"),
    (".ts", "libx264", "aac"),
    (".avi", "mpeg4", "mp2"),
    (".wmv", "wmv2", "aac"),
    (".nut", "mpeg4", "mp2"),
    (".mpg", "mpeg2video", "mp2"),
]


@pytest.mark.parametrize(("suffix", "codec", "voice"), CONTAINERS)
@pytest.mark.parametrize("sound", [6.4, 12])
def test_a_film_is_as_long_as_its_pictures(suffix: str, codec: str, voice: str, sound: float, tmp_path: Path) -> None:
    film = write(tmp_path / f"film{suffix}", pictures(60), codec=codec, sound=sound, voice=voice)
    assert duration(film) == pytest.approx(6.0, abs=0.001)
    assert greys(read_frames(film, np.array([0.05, 3.05, 5.95]))) == [0, 120, 236]
    with pytest.raises(VideoError, match=r"end at 6\.0 s, but the one at 11\.0 s was asked for"):
        read_frames(film, np.array([11.0]))


@pytest.mark.parametrize("sound", [0, 6.02])
def test_a_longer_subtitle_is_no_damage(sound: float, tmp_path: Path) -> None:
    film = write(tmp_path / "film.mkv", pictures(60), sound=sound, subtitle=20)
    assert duration(film) == pytest.approx(6.0, abs=0.001)
    assert probe(film).not_decord == ""


@pytest.mark.parametrize(("sound", "subtitle"), [(0, 0), (6, 0), (12, 0), (0, 6), (0, 20), (12, 20)])
@pytest.mark.parametrize("suffix", [".mkv", ".flv", ".mp4"])
def test_a_film_that_is_cut_short_is_still_told(suffix: str, sound: float, subtitle: float, tmp_path: Path) -> None:
    """Whatever fills the header's length: half of the file's bytes are gone."""
    if subtitle and suffix != ".mkv":
        return
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (60, 64, 96, 3), np.uint8)
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    film = write(tmp_path / f"film{suffix}", noise, sound=sound, subtitle=subtitle, options=options)
    os.truncate(film, film.stat().st_size // 2)
    with pytest.raises(VideoError, match="the file is cut short"):
        read_frames(film, np.array([5.5]))


def test_a_film_that_begins_late_is_whole(tmp_path: Path) -> None:
    film = write(tmp_path / "film.mkv", pictures(60), sound=6, options={"output_ts_offset": "5"})
    assert duration(film) == pytest.approx(6.0, abs=0.001)


def greys(frames: np.ndarray) -> list[int]:
    return [int(grey) for grey in 4 * np.round(frames.mean(axis=(1, 2, 3)) / 4)]


BACKENDS = ["auto", "pyav", "decord", "torchcodec"]


def shown(film: Path, backend: str) -> list[int]:
    """The greys on screen at 0.5 and 1.5 s, or none where the backend refuses the file or is not installed."""
    if backend == "torchcodec" and not has_torchcodec():
        pytest.skip("torchcodec or FFmpeg's libraries are not installed")
    with suppress(VideoError):
        return greys(read_frames(film, np.array([0.55, 1.55]), backend=backend))
    return []


def cut_film(first: int, second: int, **more: Any) -> np.ndarray:
    return np.concatenate([pictures(10, first, 0, **more), pictures(10, second, 0, **more)])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("default", [(0,), (1,), (0, 1), ()])
def test_the_default_stream_of_two_is_shown(
    suffix: str, default: tuple[int, ...], backend: str, tmp_path: Path
) -> None:
    """The other one has more pixels, more bytes and the same time stamps: whoever chooses by these, chooses it."""
    first, noisy = cut_film(40, 200), cut_film(220, 20, size=(128, 192)).copy()
    noisy += np.random.default_rng(0).integers(0, 3, noisy.shape, np.uint8)
    film = write(tmp_path / f"film{suffix}", first, noisy, default=default)
    marked = suffix != ".ts" and default == (1,)  # a transport stream has no such mark
    expected = [220, 20] if marked else [40, 200]
    assert shown(film, backend) in ([expected] if backend in ("auto", "pyav") else [expected, []])
    assert (probe(film).height, find_cuts(film, SceneSection(detector="content"))) == (128 if marked else 64, [1.0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_cover_is_not_what_is_shown(suffix: str, backend: str, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "cover.jpg"), "w", format="image2") as container:
        stream = container.add_stream("mjpeg", rate=1, width=640, height=480, pix_fmt="yuvj420p")
        container.mux([*stream.encode(av.VideoFrame(640, 480, "yuvj420p")), *stream.encode()])
    cover = (tmp_path / "cover.jpg").read_bytes()
    film = write(tmp_path / f"film{suffix}", cut_film(40, 200), cover=cover if suffix == ".mkv" else None)
    assert shown(film, backend) == [40, 200]
    assert duration(film) == pytest.approx(2.0, abs=0.001)


def test_sound_with_a_cover_is_no_video(tmp_path: Path) -> None:
    song = write(tmp_path / "song.mkv", sound=2, cover=b"\xff\xd8\xff\xe0" + bytes(99))
    with pytest.raises(VideoError, match=r"song\.mkv: it has no video stream"):
        probe(song)


def not_coded(number: int) -> bytes:
    """A packet of MPEG-4 at 10 pictures a second that says: the picture before stays."""
    bits = f"01{'1' * (number % RATE == 0)}01{number % RATE:04b}10" + "0"
    bits += "1" * (-len(bits) % 8)
    return b"\0\0\1\xb6" + int(bits, 2).to_bytes(len(bits) // 8, "big")


@pytest.mark.parametrize(
    ("suffix", "packet"),
    [(".nut", lambda number: b""), *((suffix, not_coded) for suffix in (".avi", ".mp4", ".mkv", ".ts", ".nut"))],
)
@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_a_packet_without_a_picture_repeats_the_one_before(
    suffix: str, packet: Callable[[int], bytes], backend: str, tmp_path: Path
) -> None:
    """Every third of 29 pictures, and so the last, is told to be the one before it."""
    path = tmp_path / f"film{suffix}"
    repeated = [number % 3 == 1 for number in range(29)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE, width=96, height=64, pix_fmt="yuv420p", bit_rate=4_000_000)
        for number, image in enumerate(pictures(29, step=8)):
            if repeated[number]:
                repeats = av.Packet(packet(number))
                repeats.stream, repeats.time_base = stream, Fraction(1, RATE)
                repeats.pts = repeats.dts = number
                repeats.duration = 1
                container.mux(repeats)
                continue
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    expected = [8 * (number - repeats) for number, repeats in enumerate(repeated)]
    times = (np.arange(29) + 0.5) / RATE
    assert greys(read_frames(path, times, backend=backend)) == expected
    assert greys(read_frames(path, times[:9], backend=backend)) == expected[:9]
    assert duration(path) == pytest.approx(2.9, abs=0.11)  # NUT's header leaves the last picture out
    cuts = find_cuts(path, SceneSection(detector="content", threshold=5))  # where two steps are taken at once
    assert cuts == pytest.approx(np.arange(2, 29, 3) / RATE)


@pytest.mark.parametrize("count", [1, 2, 6])
@pytest.mark.parametrize("between", [0, 2])
def test_a_tiny_packet_may_be_a_picture(count: int, between: int, tmp_path: Path) -> None:
    """Black pictures of 16x16 take 7 to 18 bytes; with pictures in between, a decoder keeps the first one back."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE, width=16, height=16, pix_fmt="yuv420p")
        stream.codec_context.max_b_frames = between
        for image in pictures(count, step=0, size=(16, 16)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())
    assert len(probe(path).shown) == count
    assert greys(read_frames(path, (np.arange(count) + 0.5) / RATE)) == [0] * count
