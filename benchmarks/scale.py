"""What 16K, 160K and 1.6M triplets take on 1, 8 and 64 GPUs, from what a unit was measured to cost.

    python benchmarks/scale.py [--out FILE] [--gpu-price 4] [--server-tokens 10000] [--cores 16] [--frames 30] ...

A cost is read from benchmarks/results, where each file says what it was measured on. Others are measured here, on one
core, in the same run: decoding, kept frames, the journal, comparing questions, and the calls for a triplet. What was
neither measured nor read is an option; its default is an assumption, and is printed as one. The Hub's pages state its
limits (LIMITS). All is projected, not run; `scale_build.py` runs builds, with models that answer at once.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any
from unittest.mock import patch

import input as reading  # its videos
import numpy as np

from longvpo.dataset.costs import SPEED
from longvpo.dataset.drafts import TOGETHER
from longvpo.dataset.run import build
from longvpo.models.journal import Journal
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sections import VideoSection
from longvpo.release.hub import MANY
from longvpo.release.parquet import SHARD_BYTES
from longvpo.tiny.stories import write_stories
from longvpo.tiny.world import write_world
from longvpo.video.children import HERE
from longvpo.video.frames import ClipFrames
from longvpo.video.pictures import encoded

RESULTS = Path(__file__).parent / "results"
SIZES, GPUS = (16_000, 160_000, 1_600_000), (1, 8, 64)
SHARE = 10 / 16  # the share of stage 1 among the triplets, as in longvpo-16k
ALONE = ("contexts", "near duplicates", "facts and files", "journal, at a start")  # parts that one process does
ROW = 128  # frames of a row in training
EXAM = 10_000, 3  # questions of 128 frames, models
LIMITS = {  # read on 2026-11-27
    "files in a folder": (10_000, "https://huggingface.co/docs/hub/storage-limits"),
    "files in a repository": (100_000, "https://huggingface.co/docs/hub/storage-limits"),
    "GB of a file": (20, "https://huggingface.co/docs/hub/storage-limits"),
    "private GB, free": (100, "https://huggingface.co/docs/hub/storage-limits"),
    "downloads in 5 minutes, free": (5_000, "https://huggingface.co/docs/hub/rate-limits"),
}


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RESULTS / name).read_text().splitlines()]


def read_costs() -> dict[str, tuple[float, str]]:
    """Costs of a unit that were measured before, and where they stand."""
    steps = [one for one in lines("gpu_step-h100.jsonl") if one.get("side") == "ours"]
    by_frames = {one["frames"]: one for one in steps}
    tokens = (by_frames[256]["tokens"] - by_frames[64]["tokens"]) / (256 - 64)
    (batch,) = [one for one in lines("gpu_asking-h100.jsonl") if one.get("case") == "batch"]
    (alone,) = [
        one for one in lines("gpu_asking-h100.jsonl") if (one.get("case"), one.get("frames")) == ("greedy", [ROW])
    ]
    builds = [one for one in lines("scale_build.jsonl") if one["engine"] == "local"]
    few, many = min(builds, key=lambda one: one["rows"]), max(builds, key=lambda one: one["rows"])
    parts = many["cpu_seconds_a_thousand_rows"]
    grown = (many["mb_after"]["files"] - few["mb_after"]["files"]) * 1e6 / (many["rows"] - few["rows"])
    asked = "gpu_asking-h100.jsonl"
    return {
        "tokens a frame": (tokens, "gpu_step-h100.jsonl"),
        "GPU s a row of 128 frames, trained": (by_frames[ROW]["seconds"], "gpu_step-h100.jsonl"),
        "GPU s a frame, written": (batch["seconds_a_question"] * len(batch["frames"]) / sum(batch["frames"]), asked),
        "GPU s a question of 128 frames": (alone["seconds_a_question"], asked),
        "CPU s a row, contexts": (parts["contexts"] / 1e3, "scale_build.jsonl"),
        "CPU s a row, facts and files": ((parts["facts"] + parts["files"]) / 1e3, "scale_build.jsonl"),
        "bytes of memory a row": (grown, "scale_build.jsonl"),
        "bytes of memory, at the start": (many["started_mb"] * 1e6, "scale_build.jsonl"),
        **{f"bytes of {name} a row": (size, "scale_build.jsonl") for name, size in many["bytes_a_row"].items()},
    }


def measure() -> dict[str, tuple[float, str]]:
    """Costs of a unit that are measured now."""
    here = "measured in this run"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reading.draw(folder / "film.mp4", 20, reading.SIZE, 0)
        section = VideoSection(fps=1, max_frames=64, short_side=448)
        clip = {"clip_id": "c", "source": "s", "video": "film.mp4", "start": 1.0, "end": 17.0}
        with patch.dict(os.environ, {HERE: "1"}):  # the CPU seconds of other processes are not counted
            ClipFrames(section, {"s": folder})(clip)  # it is probed and hashed once
            began = time.process_time()
            frames = ClipFrames(section, {"s": folder})(clip)
            decoding = (time.process_time() - began) / len(frames)
        kept = sum(map(len, encoded(frames, section.frames_quality))) / len(frames)
        answers = 20_000
        with (folder / "one.jsonl").open("w") as file:
            for number in range(answers):
                answer = {"text": f"at {number:06d}, in some ten words as an answer is", "form": "text"}
                file.write(json.dumps({"key": f"{number:064x}", "writer": "w@1", "answer": answer}) + "\n")
        began = time.process_time()
        Journal(folder)
        loading = (time.process_time() - began) / answers
        tracemalloc.start()
        journal = Journal(folder)
        held = tracemalloc.get_traced_memory()[0] / len(journal)
        tracemalloc.stop()
        calls = {f"calls of stage {stage} a triplet": (made, here) for stage, made in calls_of(folder).items()}
    rows, batch = np.ones((TOGETHER, 384), np.float32), np.ones((384, 256), np.float32)
    began = time.process_time()
    for _ in range(5):
        rows @ batch
    compared = (time.process_time() - began) / (5 * TOGETHER * 256)
    return {
        "CPU s a frame of 720p, decoded": (decoding, here),
        "bytes a kept frame": (kept, here),
        "CPU s an answer, read from the journal": (loading, here),
        "bytes of memory an answer": (held, here),
        "CPU s a pair of questions, compared": (compared, here),
        **calls,
    }


def calls_of(folder: Path) -> dict[int, float]:
    """How often the writers are asked for a triplet, by stage, in builds with the embedded model."""
    write_world(folder / "clips", clips=40, seed=0, split="train")
    write_stories(folder / "films", [6] * 5, seed=0, split="train")
    found = {}
    for stage, other in ((1, "stage2=null"), (2, "stage1=null")):
        section = [f"sources.0.folder={folder / 'clips'}"] if stage == 1 else ["sources=[]"]
        section += [f"stage2.sources.0.folder={folder / 'films'}"] if stage == 2 else []
        section += [other, f"stage{stage}.triplets=30", "context.clips=[2, 4]", "text_only=0"]
        facts = build(load_recipe(DatasetRecipe, "tiny/dataset", section), folder / f"out{stage}")
        calls = sum(count for name, count in facts["calls"].items() if name.endswith("_calls"))
        found[stage] = calls / facts[f"stage{stage}"]["triplets"]
    return found


def project(triplets: int, gpus: int, cost: dict[str, float], said: argparse.Namespace) -> dict[str, Any]:
    """Hours, money, storage and requests."""
    cores = gpus * said.cores
    calls = triplets * (SHARE * cost["calls of stage 1 a triplet"] + (1 - SHARE) * cost["calls of stage 2 a triplet"])
    videos = triplets * (SHARE + (1 - SHARE) / said.triplets_a_film)
    seconds = triplets * (SHARE * said.frames + (1 - SHARE) / said.triplets_a_film * said.film_minutes * 60)
    tokens = calls * said.frames * cost["tokens a frame"]
    hours = {
        "decode": seconds * cost["CPU s a frame of 720p, decoded"] / cores / 3600,
        "write, models here": calls * said.frames * cost["GPU s a frame, written"] / gpus / 3600,
        "write, servers": tokens / said.server_tokens / gpus / 3600,
        "contexts": triplets * cost["CPU s a row, contexts"] / 3600,
        "near duplicates": triplets**2 / 2 * cost["CPU s a pair of questions, compared"] / said.cores / 3600,
        "facts and files": triplets * cost["CPU s a row, facts and files"] / 3600,
        "journal, at a start": calls * cost["CPU s an answer, read from the journal"] / 3600,
        "train": triplets * cost["GPU s a row of 128 frames, trained"] / gpus / 3600,
        "evaluate": math.prod(EXAM) * cost["GPU s a question of 128 frames"] / gpus / 3600,
    }
    work = hours["decode"], min(hours["write, models here"], hours["write, servers"])
    built = max(work) + sum(hours[name] for name in ALONE)
    published = triplets * cost["bytes of published a row"] / 1e9
    frames = seconds * cost["bytes a kept frame"] / 1e9
    shards = math.ceil((published + frames) * 1e9 / SHARD_BYTES)
    downloads = LIMITS["downloads in 5 minutes, free"][0]
    return {
        "triplets": triplets,
        "gpus": gpus,
        "hours": {name: float(f"{value:.3g}") for name, value in hours.items()},
        "build_hours": float(f"{built:.3g}"),
        "build_waits_for": "decoding" if work[0] >= work[1] else "the writer",
        "one_process_share": round(sum(hours[name] for name in ALONE) / built, 3),
        "money": round((built + hours["train"] + hours["evaluate"]) * gpus * said.gpu_price),
        "cores_a_gpu": round(work[0] / work[1] * said.cores, 1),
        "gigabytes": {
            "videos": round(seconds * said.mbit / 8e3),
            "kept frames": round(frames, 1),
            "journal": round(calls * cost["bytes of journal a row"] / 2 / 1e9, 2),
            "blocks": round(triplets * SHARE * cost["bytes of blocks a row"] / 1e9, 2),
            "dataset": round(published, 3),
        },
        "memory_gb": round(
            (
                cost["bytes of memory, at the start"]
                + triplets * cost["bytes of memory a row"]
                + (calls - 2 * triplets) * cost["bytes of memory an answer"]
            )
            / 1e9,
            1,
        ),
        "server": {"requests": round(calls), "a_second": round(calls / max(work[1], 1e-9) / 3600, 1)},
        "hub": {
            "shards_with_frames": shards,
            "commits_of_100_files": math.ceil(shards / MANY),
            "video_downloads_hours_at_limit": round(videos / downloads * 5 / 60, 2),
        },
    }


def changes(found: list[dict[str, Any]], said: argparse.Namespace) -> list[str]:
    """What saturates, and what would have to change."""
    told, free = [], LIMITS["private GB, free"][0]
    for one in found:
        size, hours = f"{one['triplets']:,}", one["hours"]
        where = f"{size} on {one['gpus']}"
        if one["cores_a_gpu"] > said.cores:
            told.append(
                f"{where}: decoding needs {one['cores_a_gpu']} cores a GPU. Machines without GPUs could decode "
                "beforehand (`video.frames`)"
            )
        if one["one_process_share"] > 0.1:
            most = max(ALONE, key=lambda name: hours[name])
            told.append(
                f"{where}: {100 * one['one_process_share']:.0f} % of the build is in the one process that plans it, "
                f"most of it {most}, {hours[most]} h. More GPUs do not help: workers would have to take parts of it"
            )
        if one["gpus"] > GPUS[0]:
            continue
        if one["memory_gb"] > 64:
            told.append(f"{size}: {one['memory_gb']} GB in the process that plans. Rows and vectors would go to disk")
        frames, shards = one["gigabytes"]["kept frames"], one["hub"]["shards_with_frames"]
        if frames > free:
            told.append(f"{size}: {frames} GB with frames, in {shards} files; {free} GB are free in private")
        if shards > LIMITS["files in a folder"][0]:
            told.append(f"{size}: {shards} files in a folder. They would have to be larger")
    return told


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    assumed = parser.add_argument_group("assumptions")
    assumed.add_argument("--gpu-price", type=float, default=4.0, help="dollars for an hour of an H100")
    assumed.add_argument(
        "--server-tokens", type=float, default=SPEED, help="prompt tokens per second of a server on a GPU"
    )
    assumed.add_argument("--cores", type=int, default=16, help="cores beside a GPU")
    assumed.add_argument("--frames", type=int, default=30, help="frames that a writer is shown, and seconds of a clip")
    assumed.add_argument("--film-minutes", type=float, default=10, help="minutes of a long video")
    assumed.add_argument("--triplets-a-film", type=float, default=3, help="as 6,000 of 2,000 films")
    assumed.add_argument("--mbit", type=float, default=2.5, help="Mbit per second of video")
    parser.add_argument("--out", type=Path, help="write all as JSON")
    return parser


def main() -> None:
    said = parser().parse_args()
    with contextlib.redirect_stderr(io.StringIO()):
        costs = read_costs() | measure()
    cost = {name: value for name, (value, _) in costs.items()}
    found = [project(triplets, gpus, cost, said) for triplets in SIZES for gpus in GPUS]
    told = changes(found, said)
    given = {name: value for name, value in vars(said).items() if name != "out"}
    if said.out:
        record = {"assumed": given, "costs": costs, "limits": LIMITS, "projected": found, "saturates": told}
        said.out.write_text(json.dumps(record, indent=1) + "\n")
    print("assumed:", ", ".join(f"{name} {value}" for name, value in given.items()))
    for name, (value, source) in costs.items():
        print(f"{name}: {value:.4g} ({source})")
    head = (
        "triplets",
        "GPUs",
        "decode h",
        "write h",
        "servers h",
        "one process h",
        "build h",
        "train h",
        "$",
        "memory GB",
    )
    print("\n| " + " | ".join(head) + " |\n|" + "---:|" * len(head))
    for one in found:
        hours = one["hours"]
        alone = one["one_process_share"] * one["build_hours"]
        cells = [
            f"{one['triplets']:,}",
            one["gpus"],
            hours["decode"],
            hours["write, models here"],
            hours["write, servers"],
        ]
        cells += [f"{alone:.2g}", one["build_hours"], hours["train"], f"{one['money']:,}", one["memory_gb"]]
        print("| " + " | ".join(map(str, cells)) + " |")
    print(*(f"\n- {one}" for one in told), sep="")


if __name__ == "__main__":
    main()
