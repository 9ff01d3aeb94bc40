"""The videos of the triplets, looked at before training starts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tqdm import tqdm

from longvpo.errors import LongVPOError, VideoError
from longvpo.io.names import existing_file
from longvpo.video.frames import ClipFrames, check_reach, sample_times

NAMES = ("source", "video", "start", "end")  # what names a clip


def check_videos(rows: Any, frames_of: ClipFrames) -> None:
    """Probe every video of the triplets, each once, before training starts: no run ends in the middle for one.

    Raises:
        LongVPOError: some are missing, are not videos, or end before a clip of theirs. It says how many, names the
            first three, and says what to do.
    """
    section = frames_of.section
    last: dict[tuple[str, str], float] = {}  # the time in seconds of the last frame that is asked for, by video
    spans = {tuple(clip[name] for name in NAMES) for context in rows["context"] for clip in context}
    for source, video, start, end in sorted(spans):
        frames_of.folder_of(source)
        seconds = sample_times(start, end, section.fps, section.max_frames)[-1]
        last[source, video] = max(last.get((source, video), 0.0), seconds)

    def bad(named: tuple[str, str]) -> str | None:
        source, video = named
        try:
            check_reach(existing_file(frames_of.folder_of(source), video), last[named])
        except VideoError as error:
            return str(error)
        return None

    videos = sorted(last)
    with ThreadPoolExecutor(section.workers) as pool:
        reasons = list(tqdm(pool.map(bad, videos), "videos", len(videos), leave=False, disable=None))
    faults = {video: reason for video, reason in zip(videos, reasons, strict=True) if reason}
    if faults:
        hit = sum(any((clip["source"], clip["video"]) in faults for clip in context) for context in rows["context"])
        shown = "; ".join(list(faults.values())[:3])
        source, _ = next(iter(faults))
        raise LongVPOError(
            f"{hit} of {len(rows)} triplets need videos that cannot be used, {len(faults)} of {len(videos)}"
            f"{', such as' if len(faults) > 3 else ''}: {shown}. "
            f"Set data.videos.{source} to the folder that holds them, or build the dataset again without them"
        )
