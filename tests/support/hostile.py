"""A small dataset of both stages whose texts try to become more than text on a page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset
from support.world import GOLDEN

from longvpo.clips.rows import features

TAG = "<img src=x onerror=\"document.title='hacked'\"> which colour?"
SCRIPT = "</script><script>document.title='hacked'</script> red"
LINES = "a line\u2028and\u2029another \\u003c \" ' ` ${1} \u202e and back"
NAME = "__proto__"  # of a source
IDS = ("stage1-000000", 'stage1/"><b>%41&#x27;')


def hostile_dataset(folder: Path, dataset: Path, rows: int = 130) -> Path:
    """Rows of a built dataset of drawn clips under new ids, the first two hostile; some of stage 2; dropped ones."""
    from longvpo.clips.stored import load_rows

    found = load_rows(str(dataset), "stage1", "train", None).to_list()
    clips = load_rows(str(dataset), "clips", "train", None).to_list()
    one = [found[n % len(found)] | {"id": f"stage1-{n:06}"} for n in range(rows)]
    one[0] |= {"prompt": TAG, "chosen": SCRIPT, "rejected": LINES}
    one[1] |= {"id": IDS[1]}
    clips[0] |= {"caption": TAG, "license": SCRIPT}
    several = [row for row in one if len(row["context"]) == 4][: rows // 10]
    two = [_second(row, n) for n, row in enumerate(several)]
    two[0]["task"] = TAG
    told = {name: one[0][name] for name in ("prompt", "chosen", "rejected", "context", "anchors")}
    nothing = dict.fromkeys(told)
    dropped = [
        {"id": "stage1-000900", "filter": "equal", "reason": TAG, "score": 1.0} | told,
        {"id": "stage2-000901", "filter": "video", "reason": "no such video", "score": None} | nothing,
        {"id": "stage1-000902", "filter": NAME, "reason": "a strange one", "score": float("nan")} | told,
    ]
    tables = {"stage1": one, "stage2": two, "clips": clips, "dropped": dropped}
    front = []
    for config, items in tables.items():
        (folder / config).mkdir(parents=True)
        rows_of = Dataset.from_list([{n: row.get(n) for n in features(config)} for row in items], features(config))
        rows_of.to_parquet(folder / config / "train-00000-of-00001.parquet")
        front.append({"config_name": config, "data_files": f"{config}/*.parquet"})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': front})}---\n")
    facts = json.loads((GOLDEN / "dataset" / "facts.json").read_text())
    facts |= {"name": "<b>hostile</b>", "warnings": [SCRIPT]}
    facts["sources"][0] |= {"about": TAG, "redistribution": False}
    (folder / "facts.json").write_text(json.dumps(facts))
    (folder / "recipe.yaml").write_bytes((dataset / "recipe.yaml").read_bytes())
    return folder


def value_of(script: str) -> tuple[str, Any]:
    """Name and value of a part, as JavaScript reads it: both are JSON literals, which are literals of its own."""
    call = re.fullmatch(r'longvpo\.part\(("[^"]*"), (".*")\);\n', script)
    assert call, script
    return json.loads(call[1]), json.loads(json.loads(call[2]))


def _second(row: dict[str, Any], number: int) -> dict[str, Any]:
    """A row of stage 2 with the clips of one of stage 1: two relevant scenes, and one of them seen for rejected."""
    partial = number % 2 == 0
    return row | {
        "id": f"stage2-{number:06}",
        "stage": 2,
        "rejection": "partial" if partial else "irrelevant",
        "anchors": [1, 2],
        "rejected_clips": [row["context"][1 if partial else 3]],
        "task": "pair",
        "answer_type": "list",
        "trace": "Scene #2 shows a red ring. Scene #3 shows a blue disc.",
        "scenes": [3, 4, 5, 6],
        "question_writer": "rules@1",
    }
