"""Stage 2 on ten minutes of real footage: real cuts, a real language model that asks under the JSON schema, kills."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset
from support.scribe import content, run

KILLS = 20

PROGRAM = """
import json, sys
from pathlib import Path
import datasets, matplotlib.pyplot, pyarrow.parquet
from support.world import FOOTAGE
from support.forked import killed
from longvpo.dataset.run import build
from support.embedders import RealEmbedder
from support.watcher import Watcher, recipe

film, output, asked, journal = map(Path, sys.argv[1:5])
made, watcher, embedder = recipe(film, sys.argv[5]), Watcher(FOOTAGE, json.loads(sys.argv[6]), asked), RealEmbedder()

def start():
    build(made, output, writer=watcher, embedder=embedder, journal=journal)

print(json.dumps(killed(start, output, asked, int(sys.argv[7]), at_the_end=2)))
"""


@pytest.fixture
def film(ten_minutes: tuple[Path, list[float]], tmp_path: Path) -> Path:
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "joined.mp4").symlink_to(ten_minutes[0])
    (tmp_path / "film" / "metadata.jsonl").write_text('{"file_name": "joined.mp4"}\n')
    return tmp_path / "film"


@pytest.mark.soak
def test_a_film_through_kills(
    footage: Path,
    film: Path,
    ten_minutes: tuple[Path, list[float]],
    llama: str,
    tmp_path: Path,
) -> None:
    joins, journal = ten_minutes[1], tmp_path / "journal"

    def built(name: str, kills: int) -> dict[str, int]:
        asked = tmp_path / f"asked-{name}"
        started = run(PROGRAM, film, tmp_path / name, asked, journal, llama, json.dumps(joins), kills)
        said, errors = started.communicate(timeout=900)
        assert said, errors[-3000:]
        result: dict[str, int] = json.loads(said.splitlines()[-1])
        assert (result["kills"], result["code"]) == (kills, 0), errors[-3000:]
        return result

    print(built("killed", KILLS))
    assert len(list(journal.iterdir())) > 10, "the kills came at different moments"
    requests = (tmp_path / "asked-killed").read_text().splitlines()
    assert len(requests) - len(set(requests)) <= KILLS, "one a kill is asked twice, no more"
    # a build that nobody kills, with the same answers, ends with the same bytes, and asks for none
    built("whole", 0)
    assert not (tmp_path / "asked-whole").exists()
    assert content(tmp_path / "whole") == content(tmp_path / "killed")
    facts = json.loads((tmp_path / "whole" / "facts.json").read_text())
    check(facts["stage2"], tmp_path / "whole", joins)


def check(facts: dict[str, Any], output: Path, joins: list[float]) -> None:
    scenes = load_dataset(str(output), "scenes", split="train").to_list()
    rows = load_dataset(str(output), "stage2", split="train").to_list()
    dropped = load_dataset(str(output), "dropped", split="train").to_list()
    for step in facts["funnel"]:
        print(f"{step['step']:20}{step['dropped']:>8}{step['left']:>8}")
    for row in [*rows[:2], *dropped[:6]]:
        print(row.get("filter", "let in"), row["prompt"], [place + 1 for place in row["anchors"]], row.get("reason"))
    assert facts["questions_tried"] == len(rows) + len(dropped)
    assert all(row["reason"] for row in dropped)
    assert facts["question_writer"] == "SmolLM2-135M-Instruct@main"
    assert 1 <= len(rows) <= 6

    # scenes follow each other without a gap, and the joins are among their edges
    assert [scene["scene"] for scene in scenes] == list(range(1, len(scenes) + 1))
    assert scenes[0]["start"] == 0
    assert scenes[-1]["end"] == pytest.approx(600, abs=1)
    assert all(one["end"] == other["start"] for one, other in pairwise(scenes))
    assert all(scene["end"] - scene["start"] <= 30.001 for scene in scenes)
    starts = np.array([scene["start"] for scene in scenes])
    found = sum(abs(starts - join).min() <= 0.5 for join in joins)
    print(f"{len(scenes)} scenes; {found} of {len(joins)} joins are edges of scenes")
    assert found >= 0.8 * len(joins)

    # captions are a person's of the part that a scene lies in, and older ones were folded
    assert facts["folds"] >= 3
    assert scenes[-1]["summary"].startswith("A film of many parts")
    for row in rows:
        assert len(row["anchors"]) >= 2
        assert row["rejection"] in ("partial", "irrelevant")
        assert row["chosen"] != row["rejected"]
        starts_of = [clip["start"] for clip in row["context"]]
        places = {starts_of.index(clip["start"]) for clip in row["rejected_clips"]}
        relevant = set(row["anchors"])
        assert places < relevant if row["rejection"] == "partial" else not places & relevant
