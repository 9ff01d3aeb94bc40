"""Videos and pictures beyond a bound are refused with the number, before memory is taken for them."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from longvpo.errors import VideoError
from longvpo.video import bounds, children, container, pictures
from longvpo.video.frames import read_frames, write_video
from longvpo.video.pictures import decoded, encoded, size_of
from longvpo.video.probe import probe


def png(width: int, height: int) -> bytes:
    """A picture of zeros, of one bit a pixel: 50,000 times smaller than its frame."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", data) + part(b"IEND", b"")


def of_packets(path: Path, codec: str, packets: list[tuple[int, bytes]], size: tuple[int, int] = (64, 64)) -> Path:
    """A video of packets at so many seconds, whatever they hold."""
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=1, width=size[0], height=size[1], pix_fmt="rgb24")
        for seconds, content in packets:
            packet = av.Packet(content)
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, seconds, seconds, True
            packet.time_base = stream.time_base or 1
            film.mux(packet)
    return path


def small() -> bytes:
    return encoded(np.zeros((1, 64, 64, 3), np.uint8), None)[0]


def wide(folder: Path) -> Path:
    return of_packets(folder / "wide.mov", "png", [(0, png(30_000, 30_000)), (1, small())])


def narrow(folder: Path) -> Path:
    return of_packets(folder / "narrow.mov", "png", [(0, png(20_000, 64)), (1, small())])


def long(folder: Path) -> Path:
    with av.open(str(folder / "long.mkv"), "w") as film:
        stream = film.add_stream("libx264", rate=1, width=64, height=64, pix_fmt="yuv420p")
        for seconds in (0, 1_000_000):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
            frame.pts, frame.time_base = seconds, Fraction(1)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return folder / "long.mkv"


REFUSED: dict[Callable[[Path], Path], str] = {
    wide: r"cannot read wide\.mov",  # its header says 64x64, and its decoder is told the bound
    narrow: "its pictures have 20000x64 pixels, more than 67 million or 16384 a side",
    long: r"it lasts 1e\+06 s, more than 100000",
}


@pytest.mark.parametrize("make", REFUSED)
def test_a_video_beyond_a_bound_is_refused(make: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=REFUSED[make]):
        probe(make(tmp_path))


def test_a_day_of_recording_is_read_also_the_longest_of_a_year(tmp_path: Path) -> None:
    write_video(tmp_path / "day.mp4", np.zeros((3, 64, 64, 3), np.uint8), Fraction(1, 30_000))
    assert read_frames(tmp_path / "day.mp4", np.array([89_999.0])).shape == (1, 64, 64, 3)


def test_streams_and_packets_are_counted(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(children.HERE, "1")
    monkeypatch.setattr("longvpo.video.probe._probes._values", type(probe.__globals__["_probes"]._values)())
    monkeypatch.setattr(bounds, "PACKETS", 4)
    with pytest.raises(VideoError, match="it has more than 0 million packets"):
        probe(film)
    monkeypatch.setattr(bounds, "STREAMS", 0)
    with pytest.raises(VideoError, match="it has 1 streams, more than 0"):
        probe(film)


def test_a_stream_whose_pictures_grow_is_read_until_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header and the first pictures are small."""
    monkeypatch.setenv(children.HERE, "1")
    films = []
    for size in (64, 256):
        write_video(tmp_path / f"{size}.mp4", np.full((8, size, size, 3), size // 2, np.uint8), 4)
        with av.open(str(tmp_path / f"{size}.mp4")) as film, av.open(str(tmp_path / f"{size}.h264"), "w") as raw:
            stream = raw.add_stream_from_template(film.streams.video[0])
            for packet in film.demux(video=0):
                packet.stream = stream
                if packet.size:
                    raw.mux(packet)
        films.append((tmp_path / f"{size}.h264").read_bytes())
    (tmp_path / "grows.h264").write_bytes(b"".join(films))
    both = read_frames(tmp_path / "grows.h264", np.array([0.0, 0.5]), backend="pyav")
    assert both.shape == (2, 64, 64, 3), "one size for all"
    monkeypatch.setattr(container, "PIXELS", 64 * 64)
    assert len(read_frames(tmp_path / "grows.h264", np.array([0.0]), backend="pyav")) == 1
    with pytest.raises(VideoError, match=r"cannot decode grows\.h264"):
        read_frames(tmp_path / "grows.h264", np.array([0.0, 0.5]), backend="pyav")


def test_a_picture_that_is_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    for width, height in ((30_000, 30_000), (12_000, 8_000)):
        bomb = png(width, height)
        tracemalloc.start()
        for read in (size_of, lambda one: decoded([one])):
            with pytest.raises(VideoError, match=r"a picture has .* pixels, more than 67 million"):
                read(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2e6
        tracemalloc.stop()
    monkeypatch.setattr(pictures, "CLIP_PIXELS", 3 * 64 * 64)
    assert decoded([small()] * 3).shape == (3, 64, 64, 3)
    with pytest.raises(VideoError, match=r"4 pictures of a\.mp4 of 64x64 are more than one clip may have"):
        decoded([small()] * 4, "a.mp4")


def test_a_picture_is_of_a_known_kind_and_may_be_damaged() -> None:
    """PostScript would be given to another program; others raise what their bytes lead to."""
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%pipe%touch /tmp/never) run\n"
    draw = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"):
        file = io.BytesIO()
        Image.fromarray(draw.integers(0, 255, (32, 32, 3), np.uint8)).save(file, kind)
        whole = file.getvalue()
        assert decoded([whole]).shape == (1, 32, 32, 3)
        for _ in range(60):
            spoiled = bytearray(whole)
            for at in draw.integers(0, min(len(whole), 200), 4):
                spoiled[at] = draw.integers(0, 256)
            with suppress(VideoError):  # and nothing else
                decoded([bytes(spoiled)])
    with pytest.raises(VideoError, match="is damaged"):
        decoded([script])
