"""Pictures of clips: one strip a clip, its frames side by side in one small JPEG, so that a page has few files.

The rule: a strip is whole or not there, and is made once. A clip that cannot be read has none, and ends nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from longvpo.errors import LongVPOError, say
from longvpo.io.files import whole_file
from longvpo.io.private import cut_within
from longvpo.video.frames import ClipFrames

HIGH = 160  # pixels of a frame
WIDEST = 480  # pixels of a frame
FRAMES = 8  # frames of a clip, at most
QUALITY = 78
AT_ONCE = 4  # threads; most of the time is spent in decoders, which let others run
FOLDER = "frames"

Strip = list[Any]  # its file's name without .jpg, width and height of a frame in pixels, number of frames


def strips(folder: Path, clips: Sequence[Mapping[str, Any]], frames_of: ClipFrames) -> dict[int, Strip]:
    """Write the strips of clips into a folder; those that are there are only looked at.

    Returns:
        The strips, by the clip's place in `clips`.
    """
    before = sum(1 for _ in folder.rglob("*.jpg"))
    if before:
        say(f"resumed: pictures of {before} clips are there")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = pool.map(lambda clip: _strip(folder, clip, frames_of), clips)
        found = dict(enumerate(tqdm(made, "pictures", len(clips))))
    failed = Counter(one for one in found.values() if isinstance(one, str))
    if failed:
        reason, _ = failed.most_common(1)[0]
        say(f"warning: {failed.total()} of {len(clips)} clips have no pictures; most often: {reason}")
    return {place: one for place, one in found.items() if not isinstance(one, str)}


def name_of(clip: Mapping[str, Any]) -> str:
    """The name of a clip's strip: a part of a hash, as names of strangers' files are no names for ours."""
    text = json.dumps([clip["source"], clip["video"], clip["start"], clip["end"]])
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{digest[:2]}/{digest[2:18]}"


def _strip(folder: Path, clip: Mapping[str, Any], frames_of: ClipFrames) -> Strip | str:
    """A clip's strip, or why it has none."""
    name = name_of(clip)
    path = folder / f"{name}.jpg"
    try:
        places = _places(frames_of.count(clip))
        if path.is_file():
            with Image.open(path) as image:
                return [name, image.width // len(places), image.height, len(places)]
        frames = [_small(frame) for frame in frames_of(clip, places)]
        wide, high = frames[0].size
        sheet = Image.new("RGB", (wide * len(frames), high))
        for number, frame in enumerate(frames):
            sheet.paste(frame, (number * wide, 0))
        file = io.BytesIO()
        sheet.save(file, "JPEG", quality=QUALITY, optimize=True)
        with whole_file(path) as written:
            written.write(file.getvalue())
        return [name, wide, high, len(frames)]
    except LongVPOError as error:
        return cut_within(str(error))


def _places(count: int) -> np.ndarray:
    """Which of a clip's frames are shown: all, or some that are as far apart."""
    places: np.ndarray = np.unique(np.linspace(0, count - 1, min(count, FRAMES)).round().astype(int))
    return places


def _small(frame: np.ndarray) -> Image.Image:
    image = Image.fromarray(frame)
    scale = min(1.0, HIGH / image.height, WIDEST / image.width)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return image if scale == 1.0 else image.resize(size, Image.Resampling.LANCZOS)
