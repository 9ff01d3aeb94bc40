"""Where anchors and the clips of rejected answers stand, against where they would by chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from longvpo.clips.rows import Dropped, Triplet
from longvpo.dataset.facts import anchor_depth, rejected_depth, short_of, sources_of
from longvpo.dataset.outcome import Outcome
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe


def row(rejection: str, anchors: list[int], rejected: list[int], count: int) -> Triplet:
    clips: list[dict[str, Any]] = [{"clip_id": f"{place}"} for place in range(count)]
    shown = [clips[place] if place < count else {"clip_id": "elsewhere"} for place in rejected]
    return Triplet("0", 1, "q", "a", "b", rejection, clips, anchors, shown, "w", "", 0, "r")


def test_depths_by_kind() -> None:
    rows = [row("distractor", [0], [4], 5), row("distractor", [4], [0], 5), row("partial", [0, 2, 4], [2], 5)]
    rows += [row("irrelevant", [0, 1], [3, 4], 5), row("distractor", [0], [9], 1)]
    assert anchor_depth(rows)["observed"] == [4, 1, 1, 0, 2]
    found = rejected_depth(rows)
    assert found["distractor"] == {"observed": [1, 0, 0, 0, 1], "expected": [0.25, 0.5, 0.5, 0.5, 0.25]}
    assert found["partial"] == {"observed": [0, 0, 1, 0, 0], "expected": [0.33, 0, 0.33, 0, 0.33]}
    assert found["irrelevant"] == {"observed": [0, 0, 0, 1, 1], "expected": [0, 0, 0.67, 0.67, 0.67]}


def test_fewer_triplets_than_were_asked_for_are_told() -> None:
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", ["stage1.triplets=3"])
    made = Outcome(1, triplets=[row("distractor", [0], [4], 5)] * 2)
    made.dropped = [Dropped(str(number), name, "why") for number, name in enumerate(("judge", "cut", "judge"))]
    (said,) = short_of(recipe, "stage1", made)
    assert said.startswith(
        "stage1 has 2 of the 3 triplets that were asked for: 3 rows and drafts were dropped, most of them 2 by judge "
        "(set filters.judge_rejected=false, or judge=null), 1 by cut (raise writer.max_new_tokens). Give more clips"
    )
    assert "raise stage1.attempts" in said
    made.triplets *= 2
    assert short_of(recipe, "stage1", made) == []


def test_a_folder_of_this_machine_is_no_dataset_that_others_can_get(tmp_path: Path) -> None:
    for dataset, told in ((str(tmp_path), ""), ("me/clips", "me/clips@v1")):
        said = [f"sources.0.dataset={dataset}", "sources.0.revision=v1"]
        source, _ = sources_of(load_recipe(DatasetRecipe, "tiny/dataset", said), [])
        assert source["dataset"] == told
