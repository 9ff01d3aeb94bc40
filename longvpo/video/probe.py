"""What a video file holds, found from its packets: when its pictures come on screen, and who reads them exactly."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from longvpo.errors import VideoError
from longvpo.video.bounds import PACKETS, check_container, check_length, check_packets, check_size
from longvpo.video.children import asked, isolated, work_of
from longvpo.video.container import check_exists, is_cover, is_end, open_container, picture_stream
from longvpo.video.recent import Recent

# Containers whose index leads a seek to the right picture; in AVI, MPEG, ASF and Ogg one misses by up to 60 pictures.
SEEKABLE = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
# decord 0.6 cannot open AV1; codecs that are not here were never held against reading in order.
DECORD_CODECS = {"h264", "hevc", "vp9", "h263"}
# A header may promise this many seconds more than the pictures last: it rounds, or counts the sound.
SLACK = 0.5
# Bytes of an MPEG-4 packet that may hold no picture, as FFmpeg has it.
TINY = 19
PROBES_KEPT_BYTES = 64e6


class Extent(NamedTuple):
    """What decides whether a time can be asked for, and how large its picture is."""

    width: int  # pixels of a picture as it is shown
    height: int
    end: float  # seconds, as Probe's
    header: float
    step: float  # the longest time in seconds from one picture to the next


@dataclass(frozen=True)
class Probe:
    """One video file. Time stamps are in units of `unit` seconds."""

    stream: int  # which of the file's streams holds the pictures
    width: int  # pixels of a picture as it is shown, after rotation
    height: int
    turns: int  # quarter turns against the clock that put a stored picture upright
    unit: float
    shown: np.ndarray  # int64 time stamps of the pictures that are shown, ascending, of shape (pictures,)
    keys: np.ndarray  # int64 time stamps of the keyframes, ascending, hidden ones too
    counted: bool  # pictures bear no time stamps of their own: their order tells them apart
    end: float  # seconds from the first picture until the last one leaves the screen
    header: float  # seconds that the header promises for the pictures, 0 where it promises nothing
    not_sought: str  # why a seek could miss in this file; empty where it cannot
    not_decord: str  # why decord could be wrong on this file; empty where it is exact

    @property
    def seconds(self) -> float:
        """Length of the pictures: what the header says of them, or until the last one leaves the screen."""
        return self.header or self.end

    @property
    def times(self) -> np.ndarray:
        """Seconds from the first picture to each, of shape (pictures,)."""
        return (self.shown - self.shown[0]) * self.unit

    @property
    def extent(self) -> Extent:
        step = float(np.diff(self.times).max(initial=0))
        return Extent(self.width, self.height, self.end, self.header, step)


_probes: Recent[Probe] = Recent(PROBES_KEPT_BYTES, lambda kept: kept.shown.nbytes + kept.keys.nbytes)


def probe(path: Path) -> Probe:
    """What a file holds. Each file is probed once, while its probe is among the last 64 MB; threads may share them.

    Raises:
        VideoError: the file is missing, is not a video, or holds no picture.
    """
    check_exists(path)
    facts = path.stat()
    key = (path, facts.st_size, facts.st_mtime_ns)
    found = _probes.get(key)
    if found is None:
        found = _probe(path)
        _probes.put(key, found)
    return found


def packed(file: Probe) -> tuple[dict[str, Any], tuple[np.ndarray, ...]]:
    """A probe as it is sent to another process, and from one."""
    values = dict(vars(file))
    return {"file": values}, (values.pop("shown"), values.pop("keys"))


def unpacked(values: dict[str, Any], arrays: tuple[np.ndarray, ...]) -> Probe:
    """The probe that was `packed`."""
    return Probe(**values, shown=arrays[0], keys=arrays[1])


def _probe(path: Path) -> Probe:
    if not isolated():
        return look_into(path)
    room = 2 * PACKETS * np.dtype(np.int64).itemsize
    [found] = asked(path, {"what": "probe"}, most=room, work=work_of(path.stat().st_size))
    return unpacked(found["file"], found.arrays)


def look_into(path: Path) -> Probe:
    """What a file holds, found in this process. Raises VideoError."""
    packets: list[tuple[int, int, bool, int]] = []  # time stamp, duration, hidden, place in the stream; as stored
    keys: list[int] = []
    first, place, repeated_until, others_until = None, 0, 0, 0.0
    unstamped = damaged = open_groups = tiny = packed = False
    with open_container(path) as container:
        check_container(container, path.name)
        stream = picture_stream(container)
        check_size(stream.codec_context.width, stream.codec_context.height, path.name)
        stream.codec_context.thread_count = 1
        name, codec, index = container.format.name, stream.codec_context.name, stream.index
        covers = sum(is_cover(one) for one in container.streams.video)
        films = len(container.streams.video) - covers
        header, late, own = _promise(container, stream)
        others = [] if own else [one for one in container.streams if one.index != index and not is_cover(one)]
        for number, packet in enumerate(container.demux((stream, *others))):
            check_packets(number, path.name)
            until = (packet.pts or packet.dts or 0) + (packet.duration or 0)
            if packet.stream_index != index:
                others_until = max(others_until, float(until * (packet.time_base or 0)))
                continue
            if first is None and (packet.size or is_end(packet)):
                first = next(iter(packet.decode()), None)
            if packet.size:
                unstamped |= packet.pts is None
                stamp = place if packet.pts is None else packet.pts
                packets.append((stamp, packet.duration or 0, packet.is_discard, place))
                damaged |= packet.is_corrupt
                if packet.is_keyframe:
                    keys.append(stamp)
                    open_groups |= codec == "h264" and not _is_idr(bytes(packet))
                open_groups |= not keys or stamp < keys[-1]
                if codec == "mpeg4":
                    tiny |= packet.size <= TINY and not packed
                    packed = bytes(packet).count(b"\0\0\1\xb6") > 1  # two pictures; the next packet only counts
            elif not is_end(packet):  # the picture before it stays
                repeated_until = max(repeated_until, until)
            place += 1
        unit, rate, reorders = stream.time_base, stream.average_rate, stream.codec_context.has_b_frames
    if tiny and (stay := _staying(path)):
        repeated_until = max(stamp + length for stamp, length, _, place in packets if place in stay)
        packets = [packet for packet in packets if packet[3] not in stay]
    if first is None or not packets:
        raise VideoError(f"cannot read {path.name}: it holds no picture")
    if unstamped:
        if not rate:
            raise VideoError(f"cannot read {path.name}: its pictures have no time stamps")
        packets = [(place, 1, hidden, place) for _, _, hidden, place in packets]
        unit, header, repeated_until = 1 / rate, 0.0, 0

    stored = [stamp for stamp, *_ in packets]
    # AVI has no place for time stamps; elsewhere, those of a stream that reorders its pictures cannot rise
    counted = (
        unstamped
        or name == "avi"
        or len(set(stored)) < len(stored)
        or (reorders and len(stored) > 1 and stored == sorted(stored))
    )
    # pictures before the first that decodes are lost: a recording that began within a group has some
    origin = first.pts if first.pts is not None and not counted else min(stored)
    shown = np.array(sorted(stamp for stamp, _, hidden, _ in packets if not hidden and stamp >= origin), np.int64)
    if not len(shown):
        raise VideoError(f"cannot read {path.name}: it shows no picture")
    end = float((max(int(shown[-1]) + max(packets)[1], repeated_until) - int(shown[0])) * unit)
    header = max(header - late, min(header, end))
    others_until -= float(shown[0] * unit)
    if not own and others_until > max(end, header - SLACK) and not _is_cut_off(path):
        header = min(header, end)  # another stream is what fills it
    if end > header + SLACK:
        header = 0.0  # it was written before the last pictures were
    check_length(max(end, header), path.name)
    check_size(first.width, first.height, path.name)
    complete = end + max(SLACK, float(np.diff(shown).max(initial=0) * unit)) > header

    reasons = {
        f"a seek in {name} can miss": name not in SEEKABLE,
        "its time stamps are not those of its pictures": counted,
    }
    not_sought = next((why for why, found in reasons.items() if found), "")
    reasons |= {
        "it chooses among several streams of pictures by itself": films > 1 or (len(shown) == 1 and covers > 0),
        f"its codec is {codec}": codec not in DECORD_CODECS,
        "its groups of pictures are open": open_groups,
        "an edit list hides pictures": len(shown) < len(packets),
        "its stream is damaged": damaged or not complete,
    }
    not_decord = next((why for why, found in reasons.items() if found), "")
    turns = round(first.rotation / 90) % 4
    width, height = (first.height, first.width) if turns % 2 else (first.width, first.height)
    return Probe(
        stream=index,
        width=width,
        height=height,
        turns=turns,
        unit=float(unit),
        shown=shown,
        keys=np.array(sorted(keys), np.int64),
        counted=counted,
        end=end,
        header=header,
        not_sought=not_sought,
        not_decord=not_decord,
    )


def _is_idr(packet: bytes) -> bool:
    """Whether no picture after this H.264 keyframe refers to one before it: not so in open groups and slow refreshes.

    Its units lie behind their lengths of 4 bytes, as in mp4 and Matroska.
    """
    place = 0
    while place + 4 < len(packet):
        if packet[place + 4] & 31 == 5:
            return True
        place += 4 + int.from_bytes(packet[place : place + 4], "big")
    return False


def _staying(path: Path) -> set[int]:
    """Places of the packets of MPEG-4 that only say that the picture before them stays; found by decoding all."""
    stay = set()
    with open_container(path) as container:
        stream = picture_stream(container)
        stream.codec_context.thread_count = 1
        for place, packet in enumerate(container.demux(stream)):
            with suppress(ValueError):  # damaged
                if packet.size and not packet.decode() and packet.size <= TINY and place:  # the first may be kept back
                    stay.add(place)
    return stay


def _promise(container: Any, stream: Any) -> tuple[float, float, bool]:
    """Seconds that a header promises from the first picture on, 0 where it gives none or guesses from the bit rate.

    Matroska and FLV promise one length for all their streams, and ASF repeats that with each.

    Returns:
        The seconds; how many fewer they are, where the header counts from 0, not from the beginning; and whether they
        belong to this stream.
    """
    start = float((stream.start_time or 0) * (stream.time_base or 0))
    if stream.start_time is None and container.format.name not in SEEKABLE:
        return 0.0, 0.0, True
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base), 0.0, container.format.name != "asf"
    begin = (container.start_time or 0) / 1e6
    header = max((container.duration or 0) / 1e6 - max(start - begin, 0.0), 0.0)
    return header, min(max(begin, 0.0), header), False


def _is_cut_off(path: Path) -> bool:
    """Whether bytes of a Matroska file are gone. A subtitle of what is left may last to the end that was."""
    with path.open("rb") as file:
        head = file.read(4096)
    place = head.find(b"\x18\x53\x80\x67") + 4  # the segment's id; its length has as many bytes as zero bits lead
    if not head.startswith(b"\x1a\x45\xdf\xa3") or place < 4:
        return False
    length = 9 - head[place].bit_length()
    bits = 7 * length
    size = int.from_bytes(head[place : place + length], "big") & ((1 << bits) - 1)
    unknown = size == (1 << bits) - 1
    return not unknown and place + length + size > path.stat().st_size
