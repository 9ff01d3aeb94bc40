"""How long `longvpo train` takes until it loads weights: the first time, and the second.

    python benchmarks/startup.py [--rows 10000] [--videos 2000] [--sizes 60] [--json] [--small]

The dataset looks as build-dataset writes it. Each row has 2 to 16 clips of 4 to 30 seconds. Videos have one minute at
25 frames per second, and pictures of 60 sizes. The base is a Qwen2.5-VL with its 151,936 token ids and its limits of
pixels, without weights. Each start is a process of its own, which ends where it would load the weights; imports are
not counted. The first has an empty cache of huggingface_hub. `--small`: 40 rows of 3 sizes, in some seconds.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.errors import LongVPOError

SECONDS, FPS = 60, 25  # seconds and rate of a video
SMALL = 40, 6, 3  # rows, videos, sizes
PHASES = ("train_and_eval_rows", "check_videos", "row_lengths")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--videos", type=int, default=2_000)
    parser.add_argument("--sizes", type=int, default=60)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args()
    if options.start:
        print(json.dumps(start(options.start)))
        return
    rows, videos, sizes = SMALL if options.small else (options.rows, options.videos, options.sizes)
    with tempfile.TemporaryDirectory(prefix="longvpo-startup-") as temporary:
        folder = Path(temporary)
        write_case(folder, rows, videos, sizes)
        starts = {name: one_start(folder) for name in ("first", "second")}
    facts = {"rows": rows, "videos": videos, "sizes": sizes, "cores": os.cpu_count()} | starts
    if options.json:
        print(json.dumps(facts))
        return
    print(f"{rows} rows, {videos} videos of {sizes} sizes, {facts['cores']} cores: seconds")
    for name, one in starts.items():
        print(f"{name:7}", *(f"{phase} {seconds}" for phase, seconds in one.items()), sep="  ")


def one_start(folder: Path) -> dict[str, float]:
    """Seconds of a start by phase, in a process of its own."""
    environment = os.environ | {"HF_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--start", str(folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


class WeightsError(LongVPOError):
    """The weights would be loaded now."""


def start(folder: Path) -> dict[str, float]:
    """Seconds until weights would be loaded."""
    from longvpo.recipe.file import load_recipe
    from longvpo.recipe.training import TrainRecipe
    from longvpo.training import run

    spent: Counter[str] = Counter()

    def timed(name: str) -> None:
        call = getattr(run, name)

        @functools.wraps(call)
        def measured(*values: Any, **named: Any) -> Any:
            began = time.monotonic()
            try:
                return call(*values, **named)
            finally:
                spent[name] += time.monotonic() - began

        setattr(run, name, measured)

    def stop(*_: Any, **__: Any) -> None:
        raise WeightsError

    for name in PHASES:
        timed(name)
    run.make_trainer = stop
    overrides = [
        f"base.model={folder / 'base'}",
        "base.quantization=null",
        f"data.dataset={folder / 'dataset'}",
        f"data.videos={{drawn: {folder / 'videos'}}}",
        "training.bf16=false",
    ]
    recipe = load_recipe(TrainRecipe, "internvl3-8b/stage1", overrides)
    began = time.monotonic()
    try:
        run.train(recipe, folder / "adapter")
    except WeightsError:
        whole = time.monotonic() - began
    spent["rest"] = whole - spent.total()
    return {"all": round(whole, 2)} | {name: round(seconds, 2) for name, seconds in spent.items()}


def write_case(folder: Path, rows: int, videos: int, sizes: int) -> None:
    """`base`, `videos` and `dataset` in a folder."""
    from datasets import Dataset, disable_progress_bars
    from peer_case import make_model
    from transformers import Qwen2VLVideoProcessor

    from longvpo.clips.rows import features

    model, processor = make_model()
    limits = {"shortest_edge": 4 * 28 * 28, "longest_edge": 16_384 * 28 * 28}
    processor.video_processor = Qwen2VLVideoProcessor(size=limits)
    model.config.save_pretrained(folder / "base")
    processor.save_pretrained(folder / "base")

    (folder / "videos").mkdir()
    for number in range(videos):
        path = folder / "videos" / f"{number:05}.mp4"
        if number < sizes:
            write_minute(path, 640 + 16 * (number % 10), 352 + 16 * (number // 10))
        else:
            os.link(folder / "videos" / f"{number % sizes:05}.mp4", path)

    draw = np.random.default_rng(0)
    clips = []
    for number in range(5 * videos):
        begin, length = draw.uniform(0, 30), draw.uniform(4, 30)
        name = f"{number % videos:05}.mp4"
        spans = {"start": round(begin, 2), "end": round(begin + length, 2)}
        clips.append({"clip_id": f"{name}#{number}", "source": "drawn", "video": name, **spans})
    words = ["what", "happens", "cook", "onions", "after", "the", "pan", "water", "blue", "jug", "door", "car"]

    def said(least: int, most: int) -> str:
        return " ".join(draw.choice(words, draw.integers(least, most)))

    about = [clip | {"caption": said(10, 60), "license": "", "sha256": clip["video"]} for clip in clips]
    triplets = []
    for number in range(rows):
        context = [clips[place] for place in draw.choice(len(clips), draw.integers(2, 17), replace=False)]
        pair = {"prompt": said(6, 20), "chosen": said(10, 60), "rejected": said(10, 60)}
        triplets.append({"id": str(number), **pair, "context": context, "anchors": [0]})
    columns = {name: features("stage1")[name] for name in triplets[0]}
    disable_progress_bars()
    lines = ["---", "configs:"]
    for config, made, kinds in (("stage1", triplets, columns), ("clips", about, features("clips"))):
        place = folder / "dataset" / config
        place.mkdir(parents=True)
        Dataset.from_list(made, features=type(features("clips"))(kinds)).to_parquet(place / "train.parquet")
        lines += [f"- config_name: {config}", f"  data_files: {config}/train.parquet"]
    (folder / "dataset" / "README.md").write_text("\n".join([*lines, "---", ""]))


def write_minute(path: Path, width: int, height: int) -> None:
    """A minute of video: one second of it is encoded, and stored again and again."""
    import av

    from longvpo.video.frames import write_video

    frames = np.full((FPS, height, width, 3), 127, np.uint8)
    frames[:, : height // 2, :, 0] = np.arange(FPS)[:, None, None] * 10
    second = path.with_suffix(".second.mp4")
    write_video(second, frames, FPS)
    unit = Fraction(1, FPS)
    with av.open(str(second)) as given, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        packets = [
            (bytes(packet), packet.pts * packet.time_base / unit, packet.dts * packet.time_base / unit, packet)
            for packet in given.demux(video=0)
            if packet.size
        ]
        for number in range(SECONDS):
            for data, pts, dts, old in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = stream, unit, old.is_keyframe
                packet.pts, packet.dts = int(pts) + number * FPS, int(dts) + number * FPS
                packet.duration = 1
                made.mux(packet)
    second.unlink()


if __name__ == "__main__":
    main()
