"""Long videos as scenes in order: whole videos that are cut where they are opened, or scenes that were cut before.

The rule: the order of events has no hole. A scene that cannot be used takes its whole video with it, and what is
dropped is kept with its reason. Listing reads only the table; a video is fetched, cut and opened when its turn comes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from longvpo.clips.archives import fetch_archives
from longvpo.clips.cells import writable
from longvpo.clips.overlap import OverlapError
from longvpo.clips.rows import Clip, Dropped
from longvpo.clips.sources import Candidate, drawn, list_candidates, open_clip
from longvpo.errors import VideoError
from longvpo.io import private
from longvpo.io.files import text_hash
from longvpo.io.names import video_file
from longvpo.recipe.sources import LongSourceSection
from longvpo.video.cuts import cut_into_scenes, load_detector
from longvpo.video.probe import SLACK, probe

# Tables of cuts round their seconds: spans that overlap by less follow each other.
ROUNDING = 0.1


@dataclass(frozen=True)
class LongVideo:
    """A video of many scenes, in order; where the source is still to be cut, one candidate stands for the whole."""

    source: str
    name: str  # unique in its source
    scenes: list[Candidate]


def list_long_videos(
    source: LongSourceSection, seed: int, limit: int | None = None
) -> tuple[list[LongVideo], list[Dropped]]:
    """The long videos of a source, in the order of its table, and the rows that cannot be used. No video is opened.

    Args:
        seed: draws the videos where the recipe uses a part of them.
        limit: read no more rows than this, for a look at the source; the last video may lack scenes then.

    Raises:
        LongVPOError: the table or the dataset cannot be read, a column is missing, or the detector is not installed.
    """
    if source.scenes is not None:
        load_detector(source.scenes)
    # rows that hold their videos are written as they are read: where a row is a video, no more than are used
    drawn_as_rows = source.scenes is not None and source.videos == "bytes"
    rows = source if drawn_as_rows else source.model_copy(update={"clips": None})
    columns = () if source.group is None else (source.group,)
    candidates, dropped = list_candidates(rows, seed, columns, limit)
    groups: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        name = candidate.video if source.group is None else _group(str(candidate.row[source.group]))
        groups[writable(name)].append(replace(candidate, row={}))
    videos: list[LongVideo] = []
    for name, members in groups.items():
        scenes, refused = _in_order(source, members)
        dropped += [Dropped(scene.clip_id(source.name), "table", why) for scene, why in refused]
        if source.scenes is None:
            videos += [LongVideo(source.name, name, scenes)] if scenes else []
        else:
            videos += [LongVideo(source.name, _name_of(scene), [scene]) for scene in scenes]
    return drawn(videos, source.clips, seed), dropped


def _group(text: str) -> str:
    """The name of a long video. An address, or a path of a machine, is cut; some digits tell those apart."""
    told = private.cut(text)
    return told if told == text else f"{told}#{text_hash(text)[:8]}"


def _name_of(scene: Candidate) -> str:
    """The name of a whole video, or of the part of a file that its row bounds."""
    return scene.clip_id("").removeprefix("/")


def _in_order(
    source: LongSourceSection, scenes: list[Candidate]
) -> tuple[list[Candidate], list[tuple[Candidate, str]]]:
    """Scenes by file, as people count, and by time within a file; and those whose span cannot be, each with why."""
    refused = [(scene, _no_span(scene)) for scene in scenes if _no_span(scene)]
    scenes = [scene for scene in scenes if not _no_span(scene)]
    if source.videos != "bytes":  # whose files have no names of their own: they follow each other as in the table
        scenes.sort(key=lambda scene: (_natural(scene.address or scene.video), scene.start or 0.0))
    ordered: list[Candidate] = []
    for scene in scenes:
        before = ordered[-1] if ordered and ordered[-1].video == scene.video else None
        if before is not None and _span(scene)[0] < _span(before)[1] - ROUNDING:
            refused.append((scene, f"{_name_of(scene)} overlaps {_name_of(before)}"))
        else:
            ordered.append(scene)
    return ordered, refused


def _no_span(scene: Candidate) -> str:
    """Why a scene's span cannot be, whatever its video; empty where it can."""
    start, end = _span(scene)
    return "" if 0 <= start < end else f"{scene.video} can have no span from {start:g} to {end:g} s"


def _span(scene: Candidate) -> tuple[float, float]:
    return scene.start or 0.0, inf if scene.end is None else scene.end


def _natural(name: str) -> tuple[list[str | int], str]:
    """Orders names as people count: scene 2 before scene 10."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"(\d+)", name))], name


def unpack_long_videos(source: LongSourceSection, videos: list[LongVideo]) -> tuple[list[LongVideo], list[Dropped]]:
    """Take all files of some long videos out of the source's archives, where it has such.

    Returns:
        The videos of which every scene is there, and the others with the reason.

    Raises:
        LongVPOError: no archive matches, or one cannot be read.
    """
    if source.tars is None:
        return videos, []
    missing = fetch_archives(source, {scene.video for video in videos for scene in video.scenes})
    whole: list[LongVideo] = []
    dropped: list[Dropped] = []
    for video in videos:
        gone = [scene.video for scene in video.scenes if scene.video in missing]
        if gone:
            why = f"{len(gone)} of its {len(video.scenes)} files are in no archive {source.tars}: {gone[0]}"
            if not missing[gone[0]].endswith(f" is in no archive {source.tars}"):
                why = missing[gone[0]]
            dropped.append(Dropped(f"{source.name}/{video.name}", "table", why))
        else:
            whole.append(video)
    return whole, dropped


def open_long_video(
    source: LongSourceSection, video: LongVideo, kept: Path, overlap: frozenset[str] = frozenset()
) -> list[Clip]:
    """Fetch a long video, cut it where it is not cut yet, and open its scenes, in order, without captions.

    Args:
        kept: folder that keeps the cuts, so that no video is searched twice.
        overlap: names, with or without suffix, and sha256 of videos that must not be used.

    Raises:
        VideoError: the video, or one of its scenes, cannot be used.
        OverlapError: the video is one that must not be used.
        LongVPOError: the detector is not installed, or the Hub cannot be reached.
    """
    scenes = video.scenes if source.scenes is None else _cut(source, video.scenes[0], kept, overlap)
    clips: list[Clip] = []
    for number, scene in enumerate(scenes, 1):
        try:
            clips.append(open_clip(source, scene, overlap))
        except OverlapError:
            raise
        except VideoError as error:
            raise VideoError(
                f"scene {number} of the {len(scenes)} of {video.name} cannot be used, and without it the order of "
                f"events would have a hole: {error}"
            ) from error
    return clips


def _cut(source: LongSourceSection, whole: Candidate, kept: Path, overlap: frozenset[str]) -> list[Candidate]:
    assert source.scenes is not None, "the source is to be cut"
    clip = open_clip(source, whole, overlap)  # hours of a benchmark's video would be searched in vain
    path = video_file(source.folder, clip.video)
    shown = probe(path).end
    if clip.end > shown + max(SLACK, source.scenes.min_seconds):
        raise VideoError(
            f"the pictures of {clip.video} end at {shown:.1f} s, its header says {clip.end:.1f} s: it is cut short"
        )
    spans = cut_into_scenes(path, source.scenes, kept, clip.start, clip.end)
    return [replace(whole, start=start, end=end) for start, end in spans]
