"""What JPEG costs: the loss of rows whose frames are kept as JPEG, beside that of the same frames as decoded.

    python benchmarks/jpeg.py VIDEOS [--json]

A row has two 4-second clips from the mp4 videos in a folder. Frames have 448 pixels on the shorter side. The model is
the tiny one with a fresh adapter. The loss is that of stage 1: sigmoid and sft.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from longvpo.models.load import load_processor
from longvpo.recipe.file import load_recipe
from longvpo.recipe.training import TrainRecipe
from longvpo.training.arguments import training_arguments
from longvpo.training.run import make_trainer
from longvpo.training.tokens import row_lengths
from longvpo.video.frames import ClipFrames, duration

SECONDS = 4
QUALITIES = (90, 75)


def rows_of(folder: Path) -> Dataset:
    clips: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.mp4")):
        for start in range(0, min(int(duration(path)), 60) - SECONDS + 1, SECONDS):
            clips.append({"source": "s", "video": path.name, "start": float(start), "end": float(start + SECONDS)})
    answer = {"prompt": "what color is it?", "chosen": "red", "rejected": "blue", "anchors": [0]}
    pairs = zip(clips[::2], clips[1::2], strict=False)
    return Dataset.from_list([{**answer, "context": list(pair), "reference": "anchor"} for pair in pairs])


def losses(folder: Path, kept: Path) -> dict[str, list[float]]:
    """The loss of each row, by quality; `exact` without JPEG."""
    plain = ["video.short_side=448", "base.quantization=null", "vision_cache_gb=0"]
    recipe = load_recipe(TrainRecipe, "tiny/stage1", plain)
    rows, processor = rows_of(folder), load_processor(recipe.base)
    arguments = training_arguments(recipe.training, kept / "run")
    exact = ClipFrames(recipe.video, {"s": folder})
    lengths = row_lengths(recipe, rows, processor, exact)
    trainer = make_trainer(recipe, arguments, rows, None, processor, exact, lengths)
    found = {}
    for name in ("exact", *QUALITIES):
        if name != "exact":
            section = recipe.video.model_copy(update={"frames": kept, "frames_quality": name})
            trainer.data_collator.frames_of = ClipFrames(section, {"s": folder})
        with torch.no_grad():
            found[str(name)] = [
                trainer.compute_loss(trainer.model, trainer.data_collator([row])).item() for row in rows
            ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, help="folder of mp4 videos")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="longvpo-") as folder:
        found = {name: np.array(one) for name, one in losses(given.videos, Path(folder)).items()}
    exact = found["exact"]
    said: dict[str, Any] = {"rows": len(exact), "loss": round(float(exact.mean()), 4)}
    said["spread_of_rows"] = round(float(exact.std()), 4)
    for quality in QUALITIES:
        away = found[str(quality)] - exact
        said[str(quality)] = {"mean": round(float(away.mean()), 5), "mean_absolute": round(float(abs(away).mean()), 5)}
    print(json.dumps(said) if given.json else "\n".join(f"{name}: {value}" for name, value in said.items()))


if __name__ == "__main__":
    main()
