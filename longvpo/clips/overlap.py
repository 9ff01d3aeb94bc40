"""Videos that must not be used, such as those of a benchmark: the list, and what it refuses."""

from __future__ import annotations

from pathlib import Path

from longvpo.clips.rows import Refusal
from longvpo.errors import LongVPOError, VideoError
from longvpo.io.names import composed


class OverlapError(VideoError):
    """A video that is part of a benchmark."""


def refusal_of(error: VideoError) -> Refusal:
    """What refuses a clip or a long video that cannot be used."""
    overlaps = isinstance(error, OverlapError)
    return Refusal("overlap" if overlaps else "video", str(error), 1.0 if overlaps else None)


def read_overlap(path: Path | None) -> frozenset[str]:
    """The entries of an overlap list. Raises LongVPOError when it is missing."""
    if path is None:
        return frozenset()
    try:
        # with the mark that editors of Windows put in front, the first name would never be found
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return frozenset(composed(line) for line in lines if line.strip())
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not in UTF-8"
        raise LongVPOError(
            f"filters.overlap: cannot read {path}: {why}; give a text of video names or sha256, one a line"
        ) from error
