"""The videos of the triplets, looked at before training starts."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from tqdm import tqdm

from longvpo.errors import LongVPOError, VideoError
from longvpo.io.names import video_file
from longvpo.video.extent import look_at
from longvpo.video.frames import ClipFrames

NAMES = ("source", "video", "start", "end")  # what names a clip


def check_videos(rows: Any, frames_of: ClipFrames) -> None:
    """Look at every video of the triplets, each once, before training starts: no run ends in the middle for one.

    Raises:
        LongVPOError: some are missing, are not videos, or end before a clip of theirs. It says how many, names the
            first three, and says what to do.
    """
    spans = {tuple(clip[name] for name in NAMES): clip for context in rows["context"] for clip in context}
    videos: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for (source, video, *_), clip in sorted(spans.items()):
        videos.setdefault((source, video), []).append(clip)

    paths = []
    for source, video in videos:
        with suppress(VideoError):  # its name is no name of a file
            paths.append(video_file(frames_of.folder_of(source), video))
    for _ in tqdm(look_at(paths, frames_of.section.workers), "videos", len(paths), leave=False, disable=None):
        pass
    faults = {}
    for named, clips in videos.items():
        try:
            frames_of.check(clips)
        except VideoError as error:
            faults[named] = str(error)
    if faults:
        hit = sum(any((clip["source"], clip["video"]) in faults for clip in context) for context in rows["context"])
        shown = "; ".join(list(faults.values())[:3])
        source, _ = next(iter(faults))
        raise LongVPOError(
            f"{hit} of {len(rows)} triplets need videos that cannot be used, {len(faults)} of {len(videos)}"
            f"{', such as' if len(faults) > 3 else ''}: {shown}. "
            f"Set data.videos.{source} to the folder that holds them, or build the dataset again without them"
        )
