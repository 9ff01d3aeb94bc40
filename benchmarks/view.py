"""The page of `longvpo view` with many rows, opened from disk in a real Chromium: seconds.

    PYTHONPATH=tests python benchmarks/view.py [--rows 16000] [--json]

Rows are made up: contexts of 8 to 32 clips, a question of 12 words, answers of 30, and half as many dropped rows. They
have no pictures. `open` ends when the list and the first row can be used. `cpu` is the page's own part of it, which
other programs of the machine do not change. `filter` ends when the list shows what is left; `search` when all answers
were looked through, whose parts are read for it.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset, disable_progress_bars
from support.browser import browser

from longvpo.clips.rows import features
from longvpo.viewer.run import view

WORDS = (
    "the",
    "a",
    "red",
    "blue",
    "man",
    "woman",
    "walks",
    "runs",
    "into",
    "kitchen",
    "before",
    "after",
    "cup",
    "door",
)
PICK = "[...document.querySelectorAll('.field')].find((one) => one.innerText.startsWith('stage')).lastChild"


def made_up(rows: int, config: str) -> list[dict[str, Any]]:
    draw = random.Random(config)
    clips = [
        {"clip_id": f"v/{n:06}.mp4#0-8", "source": "v", "video": f"v/{n:06}.mp4", "start": 0.0, "end": 8.0}
        for n in range(max(rows, 100))
    ]

    def said(count: int) -> str:
        return " ".join(draw.choices(WORDS, k=count))

    found = []
    for number in range(rows):
        context = draw.sample(clips, draw.choice((8, 16, 24, 32)))
        found.append(
            {
                **{"id": f"{config}-{number:06}", "stage": int(config[-1]), "prompt": said(12)},
                **{"chosen": said(30), "rejected": said(30), "rejection": "distractor", "context": context},
                **{"anchors": [draw.randrange(len(context))], "rejected_clips": [draw.choice(context)]},
                **{"similarity": [draw.random() for _ in context], "specificity": [draw.random() for _ in context]},
                **{"writer": "someone/model@main", "judge": "", "seed": number, "recipe": "0123456789ab"},
                **{"task": "order", "answer_type": "text", "trace": said(40), "question_writer": "x@main"},
                "scenes": list(range(1, len(context) + 1)),
            }
        )
    return found


def write(folder: Path, rows: int) -> None:
    tables = {"stage1": made_up(rows * 5 // 8, "stage1"), "stage2": made_up(rows - rows * 5 // 8, "stage2")}
    dropped = [row | {"filter": "equal", "reason": "equal", "score": 1.0} for row in tables["stage1"][: rows // 2]]
    front = []
    for config, items in (tables | {"dropped": dropped}).items():
        (folder / config).mkdir(parents=True)
        kept = [{name: row[name] for name in features(config)} for row in items]
        Dataset.from_list(kept, features(config)).to_parquet(folder / config / "train-00000-of-00001.parquet")
        front.append({"config_name": config, "data_files": f"{config}/*.parquet"})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': front})}---\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=16_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    disable_progress_bars()
    with tempfile.TemporaryDirectory(prefix="longvpo-") as temporary:
        folder = Path(temporary)
        write(folder / "dataset", asked.rows)
        started = time.monotonic()
        page = Path(view(str(folder / "dataset"), folder / "page", rows=0)["page"])
        found = {"rows": asked.rows, "make": time.monotonic() - started}
        found["megabytes"] = sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file()) / 1e6
        with browser(folder) as tab:
            tab.size(1280, 900)
            tab.post("url", url="about:blank")
            tab.cdp("Performance.enable", timeDomain="threadTicks")
            started = time.monotonic()
            tab.open(page)
            assert tab.texts("article h2")
            found["open"] = time.monotonic() - started
            metrics = {one["name"]: one["value"] for one in tab.cdp("Performance.getMetrics")["metrics"]}
            found["cpu"] = metrics["TaskDuration"]
            started = time.monotonic()
            tab.run(f"((one) => {{ one.selectedIndex = 1; one.dispatchEvent(new Event('change')); }})({PICK})")
            tab.wait("document.querySelector('.status').innerText.includes(' of ')")
            found["filter"] = time.monotonic() - started
            tab.keys("/cup door cup")
            started = time.monotonic()
            tab.wait("document.querySelector('.status').innerText.startsWith('searching')")
            tab.wait("!document.querySelector('.status').innerText.startsWith('searching')")
            found["search"] = time.monotonic() - started
            assert tab.errors() == []
    found = {name: round(value, 2) for name, value in found.items()}
    print(json.dumps(found) if asked.json else ", ".join(f"{name} {value:g}" for name, value in found.items()))


if __name__ == "__main__":
    main()
