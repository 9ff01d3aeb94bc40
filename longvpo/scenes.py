"""Cut long videos into clips where PySceneDetect sees a cut."""

from __future__ import annotations

import hashlib
import json
import math
from itertools import pairwise
from pathlib import Path

from longvpo.errors import VideoError, first_line
from longvpo.folder import whole_file
from longvpo.recipe import SceneSection
from longvpo.video import duration

Span = tuple[float, float]  # seconds


def cut(path: Path, section: SceneSection, kept: Path) -> list[Span]:
    """The scenes of a video, in order, without gaps.

    Args:
        kept: folder that keeps the cuts of every video that was searched.

    Raises:
        VideoError: the video cannot be read.
    """
    stat = path.stat() if path.is_file() else None
    said = [str(path.resolve()), stat.st_size if stat else 0, section.model_dump()]
    file = kept / f"{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]}.json"
    if file.is_file():
        return [(start, end) for start, end in json.loads(file.read_text())]
    spans = fit(find_cuts(path, section), duration(path), section)
    with whole_file(file) as unfinished:
        unfinished.write(json.dumps(spans).encode())
    return spans


def find_cuts(path: Path, section: SceneSection) -> list[float]:
    """Seconds of the cuts, ascending, the beginning and the end left out; frames pass one by one, scaled down."""
    from scenedetect import AdaptiveDetector, ContentDetector, SceneManager, open_video

    duration(path)  # says what is wrong with a broken file
    given = {} if section.threshold is None else {"threshold": section.threshold}
    detector = (
        ContentDetector(**given)
        if section.detector == "content"
        else AdaptiveDetector(**{f"adaptive_{name}": value for name, value in given.items()})
    )
    try:
        video = open_video(str(path), backend="pyav")
        manager = SceneManager()
        manager.add_detector(detector)
        manager.detect_scenes(video)
        return [start.seconds for start, _ in manager.get_scene_list()][1:]
    except Exception as error:  # of scenedetect and of PyAV: no common base
        raise VideoError(f"cannot cut {path.name} into scenes: {first_line(error)}") from error


def fit(cuts: list[float], seconds: float, section: SceneSection) -> list[Span]:
    """Spans from cut to cut, none shorter than min_seconds (but a whole video) and none longer than max_seconds."""
    edges = [0.0]
    for cut_at in cuts:
        if cut_at - edges[-1] >= section.min_seconds and seconds - cut_at >= section.min_seconds:
            edges.append(cut_at)
    edges.append(seconds)
    spans: list[Span] = []
    for start, end in pairwise(edges):
        parts = math.ceil((end - start) / section.max_seconds)
        marks = [round(start + (end - start) * i / parts, 3) for i in range(parts + 1)]
        spans += list(pairwise(marks))
    return spans
