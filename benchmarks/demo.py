"""The demo's figures over several seeds, each with clips, long videos, test pool and training of its own.

    python benchmarks/demo.py [--json] [--seeds 0 1 2] [--output FOLDER]

The base is the same in all: the embedded checkpoint. A run takes some twelve minutes on 2 cores; one that is finished
in the folder is not made again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from longvpo.cli.demo import run_demo

MEASURES = ("needle", "multi")


def summary(results: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Mean, least and most over the seeds, by measure, model and number of clips or scenes."""
    first = next(iter(results.values()))
    return {
        measure: {
            model: {
                number: {
                    "mean": round(statistics.mean(values), 1),
                    "least": min(values),
                    "most": max(values),
                }
                for number in row
                for values in [[result[measure][model][number] for result in results.values()]]
            }
            for model, row in first[measure].items()
        }
        for measure in MEASURES
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("longvpo-demo-seeds"))
    options = parser.parse_args()
    results = {seed: run_demo(options.output / str(seed), seed) for seed in options.seeds}
    said = {"seeds": options.seeds, "summary": summary(results), "runs": {str(k): v for k, v in results.items()}}
    if options.json:
        print(json.dumps(said))
        return
    for measure, models in said["summary"].items():
        print(f"{measure}, %: mean (least-most) of {len(results)} seeds")
        print(" " * 8 + "".join(f"{number:>15}" for number in next(iter(models.values()))))
        for model, row in models.items():
            cells = (f"{v['mean']:.0f} ({v['least']:.0f}-{v['most']:.0f})" for v in row.values())
            print(f"{model:8}" + "".join(f"{cell:>15}" for cell in cells))


if __name__ == "__main__":
    main()
