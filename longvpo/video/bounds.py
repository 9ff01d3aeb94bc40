"""What a video may be, so that no file of a stranger takes the memory or the time of this machine.

The rule: a file beyond a bound is refused with the number, before memory is taken for it. The bounds leave room for
what cameras and films are: pictures of 8K (33 megapixels), a day of recording.
"""

from __future__ import annotations

from typing import Any

from longvpo.errors import VideoError

PIXELS = 2**26  # pixels of a picture
SIDE = 2**14  # pixels: frames are scaled by their shorter side
SECONDS = 100_000.0  # a day has 90,000 where clocks are set back, and a recorder ends a little late
STREAMS = 256  # fonts and subtitles of a film are streams too
PACKETS = 20_000_000  # packets of all streams: a day at 120 pictures per second, with sound


def check_size(width: int, height: int, name: str) -> None:
    """Raises VideoError where a picture is too large."""
    if width * height > PIXELS or max(width, height) > SIDE:
        raise VideoError(
            f"cannot read {name}: its pictures have {width}x{height} pixels, more than {PIXELS // 10**6} million or "
            f"{SIDE} a side"
        )


def check_container(container: Any, name: str) -> None:
    """Raises VideoError where a file has too many streams."""
    if len(container.streams) > STREAMS:
        raise VideoError(f"cannot read {name}: it has {len(container.streams)} streams, more than {STREAMS}")


def check_packets(number: int, name: str) -> None:
    """Raises VideoError where a file has too many packets."""
    if number > PACKETS:
        raise VideoError(f"cannot read {name}: it has more than {PACKETS // 10**6} million packets")


def check_length(seconds: float, name: str) -> None:
    """Raises VideoError where pictures last too long, or their header says so."""
    if not seconds <= SECONDS:
        raise VideoError(f"cannot read {name}: it lasts {seconds:.6g} s, more than {SECONDS:.0f}")
