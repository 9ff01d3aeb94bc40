"""Videos that are spoiled by chance, each by its number: bytes, boxes of the container, or packets."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import av
import numpy as np

INSIDE = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"dinf"}  # boxes that hold boxes
CODECS = {".mp4": "libx264", ".mkv": "libx264", ".avi": "mpeg4", ".webm": "libvpx"}
LARGEST = 420_000  # bytes of real footage that is spoiled: more takes longer to read, and holds nothing else
ODD_NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 2**31 - 1, 2**31, 2**32 - 1)


def originals(folder: Path, footage: Path | None) -> list[Path]:
    """Whole videos: drawn ones in four containers, and the smaller files of real footage."""
    written = []
    for suffix, codec in CODECS.items():
        path = folder / f"drawn{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=8, width=96, height=64, pix_fmt="yuv420p")
            stream.codec_context.thread_count = 1
            for number in range(24):
                image = np.full((64, 96, 3), 10 * number, np.uint8)
                image[number : number + 20, 2 * number : 2 * number + 20] = (200, 40, 90)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
            container.mux(stream.encode())
        written.append(path)
    real = [] if footage is None else [*footage.glob("*.*"), *footage.glob("odd/*.*"), *footage.glob("bad/*.*")]
    videos = [path for path in sorted(real) if path.suffix not in (".md", ".tsv", ".py", ".txt")]
    return written + [path for path in videos if 0 < path.stat().st_size <= LARGEST]


def mutant(number: int, paths: list[Path], folder: Path) -> Path:
    """Write the mutant of a number; it goes through the originals, and through the ways to spoil them."""
    draw = random.Random(number)
    path = paths[number % len(paths)]
    way = WAYS[number // len(paths) % len(WAYS)]
    spoiled = folder / f"{number:05d}-{way.__name__}{path.suffix}"
    way(path, spoiled, draw)
    if not spoiled.is_file() or not spoiled.stat().st_size:  # no such container is written
        bytes_of(path, spoiled, draw)
    return spoiled


def bytes_of(path: Path, to: Path, draw: random.Random) -> None:
    """Some are others, gone, doubled, or zeros; or the end is missing."""
    data = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.randrange(max(len(data), 1))
        length = min(draw.choice((1, 4, 100, 5000)), len(data) - at)
        what = draw.randrange(6)
        if what <= 1:
            data[at : at + 1] = bytes([draw.randrange(256)])
        elif what == 2:
            data[at : at + length] = draw.randbytes(length)
        elif what == 3:
            data[at : at + length] = bytes(length)
        elif what == 4:
            data[at:at] = data[at : at + length]
        else:
            del data[at : at + length]
    if draw.random() < 0.1:
        del data[draw.randrange(max(len(data), 1)) :]
    to.write_bytes(data)


def boxes_of(path: Path, to: Path, draw: random.Random) -> None:
    """Sizes, kinds and numbers in what describes the pictures."""
    data = bytearray(path.read_bytes())
    found = list(_boxes(data, 0, len(data)))
    if len(found) < 3:  # not of mp4's kind: its head, and its end, where an index lies
        places = [draw.randrange(min(len(data), 1500)), max(len(data) - draw.randrange(1, 1500), 0)]
        for at in draw.choices(places, k=draw.choice((1, 3))):
            number = draw.choice(ODD_NUMBERS)
            data[at : at + 4] = struct.pack(draw.choice("<>") + "I", number)
    else:
        for _ in range(draw.choice((1, 1, 2))):
            start, end, _kind = draw.choice(found)
            what = draw.randrange(5)
            if what == 0:
                data[start : start + 4] = struct.pack(">I", draw.choice((*ODD_NUMBERS, end - start + 1)))
            elif what == 1:
                data[start + 4 : start + 8] = draw.choice([kind for *_, kind in found])
            elif what == 2:
                data[end:end] = data[start:end][:100_000]
                break
            else:
                at = draw.randrange(start + 8, max(end, start + 9))
                data[at : at + 4] = struct.pack(">I", draw.choice(ODD_NUMBERS))
    to.write_bytes(data)


def _boxes(data: bytearray, start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    while start + 8 <= end:
        size, kind = int.from_bytes(data[start : start + 4], "big"), bytes(data[start + 4 : start + 8])
        if not 8 <= size <= end - start or not kind.isalnum():
            return
        yield start, start + size, kind
        if kind in INSIDE:
            yield from _boxes(data, start + 8, start + size)
        start += size


def packets_of(path: Path, to: Path, draw: random.Random) -> None:
    """Packets are gone, twice there, in another order, of other bytes, or at another time."""
    with suppress(av.error.FFmpegError, ValueError, IndexError, OverflowError), av.open(str(path)) as film:
        stream = film.streams.video[0]
        packets = [packet for packet in film.demux(stream) if packet.size]
        with av.open(str(to), "w") as copy:
            target = copy.add_stream_from_template(stream)
            for _ in range(draw.choice((1, 3, 10))):
                at, other = draw.randrange(len(packets)), draw.randrange(len(packets))
                what, content = draw.randrange(6), bytearray(bytes(packets[at]))
                if what == 0 and len(packets) > 2:
                    del packets[at]
                elif what == 1:
                    packets[at], packets[other] = packets[other], packets[at]
                else:
                    if what == 2:
                        content = content[: draw.randrange(len(content))]
                    elif what == 3:
                        content += bytes(packets[other])
                    else:
                        for _ in range(draw.choice((1, 20))):
                            content[draw.randrange(len(content))] = draw.randrange(256)
                    packets[at] = _like(packets[at], bytes(content) or b"\0")
                if what == 5:
                    packets[at].pts = draw.choice((0, 1, 2**20, 2**31, 2**40))
            for packet in packets:
                packet.stream = target
                with suppress(av.error.FFmpegError, ValueError):  # the container refuses it
                    copy.mux(packet)


def _like(packet: av.Packet, content: bytes) -> av.Packet:
    made = av.Packet(content)
    made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
    made.duration, made.is_keyframe = packet.duration, packet.is_keyframe
    return made


WAYS: list[Callable[[Path, Path, random.Random], None]] = [bytes_of, boxes_of, packets_of]
