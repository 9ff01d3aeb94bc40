"""The frames of the triplets, looked at before training starts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
from tqdm import tqdm

from longvpo.clips.published import NAMES
from longvpo.clips.triplets import places_of
from longvpo.errors import LongVPOError, VideoError, say
from longvpo.io.home import meant_folder
from longvpo.io.names import video_file
from longvpo.training.rows import SCORES
from longvpo.video.extent import look_at
from longvpo.video.frames import ClipFrames
from longvpo.video.joined import left

Asked = tuple[dict[str, Any], np.ndarray | None]  # a clip, and which of its frames; None: all


def asked_of(row: dict[str, Any], frames_of: ClipFrames, budget: int | None) -> Iterator[Asked]:
    """The frames that a row's reference sees, where it is scored, and the policy's."""
    for kind in dict.fromkeys(["full"] if SCORES[0] in row else [row["reference"], "full"]):
        clips = [row["context"][place] for place in places_of(row, kind)]
        yield from zip(clips, left(frames_of, clips, budget), strict=True)


def check_videos(rows: Any, frames_of: ClipFrames, budget: int | None = None) -> None:
    """Look at every video of the triplets before training starts, each once: no run ends in the middle for one.

    A video that is missing is none that is missed where all that is seen of it is kept, or published.

    Args:
        budget: maximum number of frames per context.

    Raises:
        LongVPOError: some are missing, are not videos, or end before a clip of theirs. It says how many, names the
            first three, and says what to do.
    """
    spans = {tuple(clip[name] for name in NAMES): clip for context in rows["context"][:] for clip in context}
    videos: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for (source, video, *_), clip in sorted(spans.items()):
        videos.setdefault((source, video), []).append(clip)

    paths = []
    for source, video in videos:
        with suppress(VideoError):  # a file cannot have its name
            if source in frames_of.folders:
                paths.append(video_file(frames_of.folders[source], video))
    for _ in tqdm(look_at(paths, frames_of.section.workers), "videos", len(paths), leave=False, disable=None):
        pass
    faults: dict[tuple[str, str], LongVPOError] = {}
    for named, clips in videos.items():
        try:
            frames_of.check(clips)
        except LongVPOError as error:
            faults[named] = error
    if frames_of.kept:
        firsts = [clips[0] for clips in videos.values()]
        with ThreadPoolExecutor(frames_of.section.workers) as pool:  # the first time each is read whole
            found = tqdm(pool.map(frames_of.is_another, firsts), "hashes", len(firsts), leave=False, disable=None)
            others = [clip["video"] for clip, another in zip(firsts, found, strict=True) if another]
        if others:
            say(
                f"warning: {len(others)} of {len(videos)} videos, such as {others[0]}, are other files than those "
                "that the dataset was written from: their frames are kept apart"
            )
    if faults and frames_of.kept:
        faults = _not_kept(faults, rows, frames_of, budget)
    for fault in faults.values():
        if not isinstance(fault, VideoError):
            raise fault
    if faults:
        hit = sum(any((clip["source"], clip["video"]) in faults for clip in context) for context in rows["context"])
        shown = "; ".join(map(str, list(faults.values())[:3]))
        source, _ = next(iter(faults))
        folder = frames_of.folders.get(source)
        raise LongVPOError(
            f"{hit} of {len(rows)} triplets need videos that cannot be used, {len(faults)} of {len(videos)} in "
            f"{folder}{meant_folder(folder) if folder else ''}"
            f"{', such as' if len(faults) > 3 else ''}: {shown}. Set data.videos.{source} to the folder that holds "
            "them, or build the dataset again without them, or set data.videos={} where it has its frames (embed)"
        )


def _not_kept(
    faults: dict[tuple[str, str], LongVPOError], rows: Any, frames_of: ClipFrames, budget: int | None
) -> dict[tuple[str, str], LongVPOError]:
    """The videos of which frames are needed that are not kept."""
    missed = {}
    for row in rows:
        if any((clip["source"], clip["video"]) in faults for clip in row["context"]):
            for clip, places in asked_of(row, frames_of, budget):
                video = (clip["source"], clip["video"])
                if video in faults and video not in missed and not _is_kept(frames_of, clip, places):
                    missed[video] = faults[video]
    return {video: error for video, error in faults.items() if video in missed}


def _is_kept(frames_of: ClipFrames, clip: dict[str, Any], places: np.ndarray | None) -> bool:
    try:
        return frames_of.kept_bytes(clip, places) > 0
    except LongVPOError:  # its sha256 is not known
        return False
