"""lmms-eval's results as its version 0.7.3 writes them with our model class, without what nobody reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from longvpo.io.files import as_json, write_text
from longvpo.release.benchmarks import BENCHMARKS

METRICS = {one.task: (one.metric, one.parts) for one in BENCHMARKS}


def results(scores: dict[str, float], adapter: str | None, **said: Any) -> dict[str, Any]:
    """Results of an adapter, by the sha256 of its weights, or of the base.

    Args:
        scores: as lmms-eval gives them, by task; that of a group is the score of each of its parts.
        said: what is otherwise than here, by the names of our model class, `limit`, `offset` and `date`.
    """
    tasks: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[str]] = {}
    for task, score in scores.items():
        metric, parts = METRICS.get(task, ("right", ()))
        groups[task] = list(parts)
        if parts:
            tasks[task] = {"alias": task, " ": " "}
        for part in parts or (task,):
            tasks[part] = {"alias": part, f"{metric},none": score, f"{metric}_stderr,none": 0.01}
    asked = {
        **{"longvpo": "0.1.0", "lmms_eval": "0.7.3", "date": "2026-11-27", "model": "tiny@main", "adapter": adapter},
        **{"dtype": "float32", "quantization": None, "frames": 128, "fps": 1.0, "short_side": 448},
        **{"attention": None, "fit": "letterbox", "backend": "auto", "frames_quality": None},
    }
    limit = said.pop("limit", None)
    return {
        "results": tasks,
        "group_subtasks": groups,
        "n-samples": {
            task: {"original": 1500, "effective": min(limit or 1500, 1500)} for task in tasks if " " not in tasks[task]
        },
        "config": {
            "model": "longvpo",
            "model_args": "recipe=/home/alice/tiny.yaml,adapter=/home/alice/my-stage1",
            "batch_sizes": [asked | said],
            **{"limit": limit, "offset": said.pop("offset", 0), "gen_kwargs": ""},
        },
    }


def write_results(folder: Path, values: dict[str, Any], date: str = "20261127_061500") -> Path:
    """The file of a run."""
    file = folder / f"{date}_results.json"
    write_text(file, as_json(values))
    return file
