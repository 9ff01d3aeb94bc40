"""Datasets of triplets over sixty drawn clips, without a build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from longvpo.clips.rows import Scene, features
from longvpo.recipe.dataset import Stage2Section

ANSWERS = ("red", "red and blue", "in the sea", "in the sea and in the fog", "green")


def triplets(config: str, number: int, clips: int) -> list[dict[str, Any]]:
    """Rows of a config over sixty drawn clips: contexts of one to eight clips, each source one half of the time."""
    rng = np.random.default_rng(clips)
    empty: dict[str, Any] = {"string": "", "float64": 0.0, "int8": 1, "int64": 0}
    rows = []
    for row in range(number):
        count = 1 + row % clips
        places = rng.choice(60, size=count, replace=False)
        named = [
            {
                "clip_id": f"{place:05}",
                "source": ("drawn", "stories")[row % 2],
                "video": f"videos/{place:05}.mp4",
                "start": 0.0,
                "end": 4.0,
            }
            for place in places
        ]
        chosen, rejected = rng.choice(len(ANSWERS), size=2, replace=False)
        anchors = sorted(rng.choice(count, size=min(count, 2 if config == "stage2" else 1), replace=False).tolist())
        kinds = {name: getattr(kind, "dtype", "list") for name, kind in features(config).items()}
        values = {name: [] if kind == "list" else empty[kind] for name, kind in kinds.items()}
        values |= {"id": f"{config}-{row}", "prompt": f"what color is the ring {row}?"}
        values |= {"chosen": ANSWERS[chosen], "rejected": ANSWERS[rejected], "context": named, "anchors": anchors}
        rows.append(values)
    return rows


def write_dataset(folder: Path, **configs: Dataset) -> Path:
    """A dataset with these configs, as load_dataset finds them."""
    lines = ["---", "configs:"]
    for name, rows in configs.items():
        (folder / name).mkdir(parents=True)
        rows.to_parquet(folder / name / "train.parquet")
        lines += [f"- config_name: {name}", f"  data_files: {name}/train.parquet"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
    return folder


def rows_of(config: str, number: int, clips: int) -> Dataset:
    return Dataset.from_list(triplets(config, number, clips), features=features(config))


def scenes(count: int, video: str = "film") -> list[Scene]:
    """Scenes of four seconds with a caption each."""
    return [
        Scene(f"{video}#{n}", "long", video, 4.0 * n, 4.0 * n + 4, f"a caption {n}", sha256=video, scene=n + 1)
        for n in range(count)
    ]


def section(**values: Any) -> Stage2Section:
    return Stage2Section.model_validate({"sources": [{"name": "long", "folder": "x"}]} | values)


class SameFrames:
    """Stands for ClipFrames: every clip shows these frames, of shape (frames, height, width, 3)."""

    def __init__(self, frames: np.ndarray) -> None:
        self.frames = frames

    def count(self, clip: Any) -> int:
        return len(self.frames)

    def __call__(self, clip: Any, places: np.ndarray | None = None) -> np.ndarray:
        return self.frames if places is None else self.frames[places]


def add_validation(folder: Path, rows: Dataset) -> None:
    """A split `validation` of the config stage1, beside `train`."""
    rows.to_parquet(folder / "stage1" / "validation.parquet")
    files = "".join(f"\n  - split: {name}\n    path: stage1/{name}.parquet" for name in ("train", "validation"))
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: stage1\n  data_files:{files}\n---\n")
