"""How fast a row is read: from videos, from frames that are kept, and from frames that a dataset published.

    python benchmarks/input.py [--json] [--small] [--videos FOLDER]

A row has 128 frames in 8 clips of 16 s, at 1 frame per second. They are scaled from 1280x720 to 796x448, for
InternVL's processor (448x448, 256 tokens per frame). Without --videos, four videos are drawn: H.264 with 30 frames per
second and about 6 Mbit/s, and things that move over a noisy ground. A keyframe comes every 250 frames, as x264 has it
by default. With --videos, the longest videos of 720p in a folder are taken. Each clip is another video, or another
part of one.

Seconds are CPU seconds of all threads of the process, so that threads inside a row are not counted as cores. `reading`
is decoding, or pictures to frames. `rest` is what else a collator does: joining and tokens. Frames go to the device as
uint8, and the device makes numbers from them; the seconds for that here are `processor`. Files are in the page cache,
videos have been probed, and no frame is in memory. `gpu_waits` is the share of its time that a GPU waits for rows:
where one core reads, and where 15 of 16 do. A row keeps it busy for the seconds in STEPS, an estimate.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import datasets
import numpy as np
import step_parts

from longvpo.clips.published import frames_of_dataset
from longvpo.clips.rows import features
from longvpo.io.files import as_yaml, file_hash, write_text
from longvpo.recipe.sections import VideoSection
from longvpo.release.parquet import write_shards
from longvpo.training.collator import AnchoredCollator
from longvpo.training.rows import SCORES
from longvpo.video.children import HERE
from longvpo.video.container import local
from longvpo.video.frames import ClipFrames
from longvpo.video.pictures import as_column
from longvpo.video.probe import probe

CLIPS, SECONDS, FPS, KEYFRAMES = 8, 16, 30, 250
DRAWN, SIZE = 4, (1280, 720)
CORES = 16
STEPS = {"1B": 1.5, "8B": 6.5}  # seconds per row of 128 frames on an H100, estimated from its arithmetic
TURNS = 3


def draw(path: Path, seconds: int, size: tuple[int, int], seed: int) -> None:
    """A video of things that move over a ground with film grain."""
    import av

    width, height = size
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (height // 16 + 2, 2 * width // 16 + 2, 3), np.uint8)
    ground = np.kron(coarse, np.ones((16, 16, 1), np.uint8))[:height]
    grain = rng.integers(-12, 13, (8, height, width, 1), np.int16)
    with av.open(local(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "b": "6M", "g": str(KEYFRAMES)}
        for number in range(seconds * FPS):
            left = 2 * number % width
            image = ground[:, left : left + width].astype(np.int16) + grain[number % 8]
            x, y = 5 * number % (width - width // 5), 3 * number % (height - height // 4)
            image[y : y + height // 4, x : x + width // 5] = 40 + 160 * np.array([number % 90 < 45, 1, 0])
            frame = av.VideoFrame.from_ndarray(image.clip(0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def clips_in(folder: Path, number: int, seconds: int) -> list[dict[str, Any]]:
    """Clips of the videos in a folder, by turns, each after the last one of its video; videos of 720p first."""
    lengths = {}
    for path in sorted(folder.glob("*.mp4")):
        file = probe(path)
        if file.seconds >= seconds:
            lengths[path] = (min(file.width, file.height) == SIZE[1], file.seconds)
    videos = sorted(lengths, key=lambda path: lengths[path], reverse=True)[:DRAWN]
    found = []
    for place in range(number):
        video = videos[place % len(videos)]
        # where a video is too short for as many, its clips overlap
        steps = -(-number // len(videos))
        start = round((place // len(videos)) * (lengths[video][1] - seconds) / max(steps - 1, 1), 3)
        found.append({"source": "s", "video": video.name, "start": start, "end": start + seconds})
    return found


def publish(folder: Path, frames_of: ClipFrames, clips: list[dict[str, Any]], videos: Path) -> None:
    """A dataset of only its clips, with their frames."""
    rows = [
        {
            **clip,
            "clip_id": str(place),
            "caption": "",
            "license": "",
            "sha256": file_hash(videos / clip["video"]),
            "frames": as_column(frames_of.pictures(clip)),
        }
        for place, clip in enumerate(clips)
    ]
    write_shards(folder / "clips", rows, features("clips", frames=True))
    recipe = {"sources": [{"name": "s"}], "stage2": None, "video": frames_of.section.model_dump(mode="json")}
    write_text(folder / "recipe.yaml", as_yaml(recipe))
    write_text(folder / "README.md", "---\nconfigs:\n- config_name: clips\n  data_files: clips/*.parquet\n---\n")


def measure(processor: Any, frames_of: Callable[[], ClipFrames], row: dict[str, Any], turns: int) -> dict[str, float]:
    """CPU seconds of a row by part; the least of some turns, each with nothing in memory."""
    reading, rest, numbers = [], [], []
    for _ in range(turns):
        one = frames_of()
        started = time.process_time()
        frames = [one(clip) for clip in row["context"]]
        read = time.process_time()
        batch = AnchoredCollator(processor, one, later=True)([row])  # the frames are in memory now
        done = time.process_time()
        AnchoredCollator(processor, one, later=False)([row])
        reading.append(read - started)
        rest.append(done - read)
        numbers.append(max(time.process_time() - done - rest[-1], 0.0))
        assert len(frames) == len(batch["clips"][0])
    return {"reading": min(reading), "joining_and_tokens": min(rest), "processor": min(numbers)}


def measured(folder: Path, videos: Path | None, small: bool) -> dict[str, Any]:
    """Seconds of a row by where its frames come from, and what follows."""
    seconds, size, number = (4, (160, 96), 2) if small else (SECONDS, SIZE, CLIPS)
    if videos is None:
        videos = folder / "videos"
        videos.mkdir()
        for place in range(1 if small else DRAWN):
            draw(videos / f"{place}.mp4", seconds * 2 + 1, size, place)
    clips = clips_in(videos, number, seconds)
    step_parts.SIDE = 56 if small else 448
    _, processor = step_parts.small_internvl()
    plain = VideoSection(max_frames=SECONDS)
    kept = plain.model_copy(update={"frames": folder / "kept"})
    hashes = {("s", clip["video"]): file_hash(videos / clip["video"]) for clip in clips}
    filling = ClipFrames(kept, {"s": videos}, hashes)
    publish(folder / "dataset", filling, clips, videos)
    published = frames_of_dataset(str(folder / "dataset"), None, ["stage1"], plain, {}).published
    ways = {
        "videos": lambda: ClipFrames(plain, {"s": videos}),
        "kept": lambda: ClipFrames(kept, {}, hashes),
        "published": lambda: ClipFrames(plain, {}, hashes, published),
    }
    row = {
        "prompt": "What is done before the end?",
        "chosen": "it is lifted",
        "rejected": "it falls",
        "context": clips,
    }
    row |= {"anchors": [0], "reference": "full", **dict.fromkeys(SCORES, -1.0)}
    parts = {name: measure(processor, way, row, 1 if small else TURNS) for name, way in ways.items()}
    first = probe(videos / clips[0]["video"])
    found: dict[str, Any] = {
        "frames": sum(filling.count(clip) for clip in clips),
        "clips": len(clips),
        "pixels": [first.width, first.height],
        "megabytes_of_pictures": round(sum(filling.kept_bytes(clip) for clip in clips) / 1e6, 2),
        "cores": CORES,
        "seconds_a_step": STEPS,
    }
    for name, part in parts.items():
        row_seconds = part["reading"] + part["joining_and_tokens"]
        found[name] = {key: round(value, 4) for key, value in part.items()} | {
            "rows_a_second_a_core": round(1 / row_seconds, 3),
            "gpu_waits": {
                model: [round(max(0.0, 1 - step * cores / row_seconds), 3) for cores in (1, CORES - 1)]
                for model, step in STEPS.items()
            },
        }
    for name in ("kept", "published"):
        ratio = found[name]["rows_a_second_a_core"] / found["videos"]["rows_a_second_a_core"]
        found[name]["times_the_videos"] = round(ratio, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--small", action="store_true", help="a row that shows only that this runs")
    parser.add_argument("--videos", type=Path, help="folder of mp4 videos to take instead of drawn ones")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="longvpo-") as folder,
        patch.dict(os.environ, {HERE: "1"}),  # the CPU seconds of other processes are not counted
        patch.object(datasets.config, "HF_DATASETS_CACHE", Path(folder) / "cache"),
    ):
        found = measured(Path(folder), given.videos, given.small)
    if given.json:
        return print(json.dumps(found))
    print(f"{found['frames']} frames of {found['pixels']} in {found['clips']} clips, CPU seconds per row:")
    print(f"{'':10}{'reading':>9}{'rest':>8}{'processor':>11}{'rows/s':>9}{'GPU waits, %: 1B, 8B':>24}")
    for name in ("videos", "kept", "published"):
        one = found[name]
        waits = ", ".join(f"{100 * shares[-1]:.0f}" for shares in one["gpu_waits"].values())
        values = f"{one['reading']:9.3f}{one['joining_and_tokens']:8.3f}{one['processor']:11.3f}"
        print(f"{name:10}{values}{one['rows_a_second_a_core']:9.2f}{waits:>24}")


if __name__ == "__main__":
    main()
