"""The build: what a row says is what was done, and what was refused is kept with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset
from scipy.stats import chisquare
from support.scribe import Scribe, content
from support.scribe import recipe as small_blocks

from longvpo.clips.rows import features
from longvpo.dataset.plan import plan_build
from longvpo.dataset.replies import Verdict
from longvpo.dataset.run import build
from longvpo.errors import LongVPOError
from longvpo.models.text import AnswerVerdict
from longvpo.models.writer import Request
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe, recipe_hash


def test_the_built_folder(dataset: Path, dataset_recipe: DatasetRecipe, rows: list[dict[str, Any]]) -> None:
    all_facts = json.loads((dataset / "facts.json").read_text())
    facts = all_facts["stage1"]
    assert facts["triplets"] == len(rows) == 40
    clips = load_dataset(str(dataset), "clips", split="train")
    dropped = load_dataset(str(dataset), "dropped", split="train")
    assert clips.features == features("clips")
    assert load_dataset(str(dataset), "stage1", split="train").features == features("stage1")
    assert sum(facts["dropped"].values()) == len(dropped)
    assert facts["anchors_tried"] == len(rows) + len(dropped)
    assert facts["funnel"][-1]["left"] == len(rows)
    assert [step["left"] for step in facts["funnel"]] == sorted(
        (step["left"] for step in facts["funnel"]), reverse=True
    )
    assert (dataset / "contact_sheet.png").stat().st_size > 10_000
    assert sorted(path.name for path in dataset.parent.iterdir()) == ["dataset"]

    card = (dataset / "README.md").read_text()
    assert "| `stage1` | 40 |" in card
    for prompt in all_facts["prompts"].values():
        assert isinstance(prompt, dict) or prompt in card
    assert f"| equal | {facts['dropped'].get('equal', 0)} |" in card
    assert "None" not in card

    captions = {clip["clip_id"]: clip["caption"] for clip in clips}
    for row in rows:
        assert row["recipe"] == recipe_hash(dataset_recipe)
        context = [clip["clip_id"] for clip in row["context"]]
        place = row["anchors"][0]
        assert len(context) in (1, 2, 4, 8)
        # the question names the anchor's shape, and no other clip of the context shows that shape
        shape = captions[context[place]].split()[2]
        assert shape in row["prompt"]
        assert row["chosen"] in captions[context[place]]
        assert all(captions[c].split()[2] != shape for i, c in enumerate(context) if i != place)
        assert row["similarity"][place] == pytest.approx(1, abs=1e-5)
        assert all(score <= 0.6 for i, score in enumerate(row["similarity"]) if i != place)
        # the rejected answer is what the writer saw in a distractor
        assert row["rejected_clips"][0]["clip_id"] != context[place]
        assert row["rejected"] != row["chosen"]
        if len(context) > 1:
            assert row["rejected_clips"][0] in row["context"]


def test_a_large_build_is_balanced(world: Path, tmp_path: Path) -> None:
    overrides = [f"sources.0.folder={world}", "stage1.triplets=600", "context.clips=[2, 3, 6, 8]", "stage2=null"]
    overrides.append("filters.balance=false")  # a clip's caption is always right, and never wrong
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", overrides)
    facts = build(recipe, tmp_path / "out", Scribe(tmp_path / "asked"))["stage1"]
    depth = facts["anchor_depth"]
    assert sum(depth["observed"]) == pytest.approx(sum(depth["expected"]), abs=0.1) == 600
    assert chisquare(depth["observed"], np.array(depth["expected"]) * 600 / sum(depth["expected"])).pvalue > 0.01
    rows = load_dataset(str(tmp_path / "out"), "stage1", split="train").to_list()
    for number in (2, 3, 6, 8):
        places = [row["anchors"][0] for row in rows if len(row["context"]) == number]
        assert chisquare(np.bincount(places, minlength=number)).pvalue > 0.01
    found = facts["rejected_depth"]["distractor"]
    assert sum(found["observed"]) == 600
    expected = np.array(found["expected"]) * 600 / sum(found["expected"])
    assert chisquare(found["observed"], expected).pvalue > 0.01, "the rejected answer's clip stands anywhere too"
    assert facts["clips_used_as_anchor"] == facts["clips"] == 60
    assert facts["times_an_anchor"]["most"] <= 12, "ten each, and a few that replace dropped ones"
    used = facts["times_a_distractor"]
    assert used["p95"] - used["p5"] <= 0.2 * used["mean"]


def test_the_same_recipe_builds_the_same_rows(
    dataset_recipe: DatasetRecipe, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    # a folder of the same name with other content: load_dataset must not answer from its cache
    build(dataset_recipe, tmp_path / "again" / "dataset")
    assert load_dataset(str(tmp_path / "again" / "dataset"), "stage1", split="train").to_list() == rows
    other = dataset_recipe.model_copy(update={"seed": 1})
    build(other, tmp_path / "other" / "dataset")
    others = load_dataset(str(tmp_path / "other" / "dataset"), "stage1", split="train").to_list()
    assert [row["context"] for row in others] != [row["context"] for row in rows]
    with pytest.raises(LongVPOError, match=f"{recipe_hash(dataset_recipe)}, this one's {recipe_hash(other)}"):
        build(other, tmp_path / "again" / "dataset")
    before = (tmp_path / "again" / "dataset" / "facts.json").stat().st_mtime_ns
    build(dataset_recipe, tmp_path / "again" / "dataset")
    assert (tmp_path / "again" / "dataset" / "facts.json").stat().st_mtime_ns == before, "nothing is done twice"


class Branch(Scribe):
    """A model at one commit of a branch, whose answers say which; it may be killed after some of them."""

    def __init__(self, asked: Path, commit: str, answers: int = 10_000) -> None:
        super().__init__(asked)
        self.name, self.left = f"model@{commit}", answers

    def answer(self, request: Request) -> str:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return f"{super().answer(request)} by {self.name.rpartition('@')[2]}"


def test_no_build_mixes_the_answers_of_two_models(world: Path, tmp_path: Path, capsys: Any) -> None:
    """A branch moved, or a model in a folder was trained again, between a kill and the same command again."""
    made = small_blocks(world)
    with pytest.raises(KeyboardInterrupt):
        build(made, tmp_path / "out", Branch(tmp_path / "asked", "old", 150))
    assert len(list((tmp_path / "out" / "work" / "blocks").iterdir())) >= 1
    build(made, tmp_path / "out", Branch(tmp_path / "asked", "new"))
    assert "00000.npz is by model@old, and model@new writes it again" in capsys.readouterr().err
    build(made, tmp_path / "whole", Branch(tmp_path / "asked", "new"))
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_shortcut_is_said_on_the_terminal_and_in_the_card(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [f"sources.0.folder={world}", "stage1.triplets=120", "context.clips=[8]", "stage2=null"]
    overrides += ["filters.balance=false", "text_only=0"]
    said = {}
    for place in ("random", "first"):
        recipe = load_recipe(DatasetRecipe, "tiny/dataset", [*overrides, f"context.rejected_clip={place}"])
        facts = build(recipe, tmp_path / place, Scribe(tmp_path / "asked"))
        said[place] = [warning for warning in facts["warnings"] if "the first clip points at the rejected" in warning]
        printed, card = capsys.readouterr().err, (tmp_path / place / "README.md").read_text()
        assert all(f"warning: {one}" in printed and f"> **Note:** {one}." in card for one in said[place])
        found = {one["rule"]: one for one in facts["stage1"]["shortcuts"]}["first clip"]
        assert f"| first clip | {100 * found['chosen']:.1f} % ± {100 * found['error']:.1f} | {found['rows']} |" in card
    assert [len(said[place]) for place in ("random", "first")] == [0, 1]


class Judge(Scribe):
    """Finds every question specific, and the rejected answers of every third draft right as well."""

    name = "judge@1"

    def answer(self, request: Request) -> str:
        if request.expects is Verdict:
            return json.dumps({"reason": "so", "specific": True})
        assert request.expects is AnswerVerdict
        return json.dumps({"reason": "it fits", "right": request.seed % 3 == 0})


def test_rejected_answers_are_judged(world: Path, tmp_path: Path) -> None:
    overrides = [f"sources.0.folder={world}", "stage1.triplets=20", "context.clips=[2, 4]", "stage2=null"]
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", overrides)
    facts = build(recipe, tmp_path / "out", Scribe(tmp_path / "asked"), Judge(tmp_path / "judged"))
    asked = (tmp_path / "judged").read_text()
    rows = load_dataset(str(tmp_path / "out"), "stage1", split="train").to_list()
    assert len(rows) == 20
    assert all(row["seed"] % 3 for row in rows)
    dropped = load_dataset(str(tmp_path / "out"), "dropped", split="train").to_list()
    wrong = [row for row in dropped if row["filter"] == "judge"]
    assert {row["reason"] for row in wrong} == {"the rejected answer is right: it fits"}
    assert facts["calls"]["judge_calls"] == 2 * (len(rows) + len(wrong))
    assert f"Answer B: {rows[0]['rejected']}" in asked
    assert "clip_pair" in facts["prompts"]
    less = load_recipe(DatasetRecipe, "tiny/dataset", [*overrides, "filters.judge_rejected=false"])
    facts = build(less, tmp_path / "less", Scribe(tmp_path / "asked"), Judge(tmp_path / "judged"))
    assert facts["calls"]["judge_calls"] == facts["stage1"]["anchors_tried"] == 20, "only the questions are judged"
    assert "clip_pair" not in facts["prompts"]


def test_a_rejected_answer_from_all_distractors(world: Path, tmp_path: Path) -> None:
    """The writer sees every clip of the context but the anchor, in their order, and no other."""
    seen: dict[int, list[Request]] = {}

    class Watching(Scribe):
        def answer(self, request: Request) -> str:
            seen.setdefault(request.seed, []).append(request)
            return super().answer(request)

    overrides = [f"sources.0.folder={world}", "stage1.triplets=40", "context.clips=[1, 2, 4]", "stage2=null"]
    overrides += ["stage1.rejected_from=all", "context.frame_budget=16", "text_only=0"]
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", overrides)
    build(recipe, tmp_path / "out", Watching(tmp_path / "asked"))
    clips = {clip["clip_id"]: clip for clip in load_dataset(str(tmp_path / "out"), "clips", split="train")}
    rows = load_dataset(str(tmp_path / "out"), "stage1", split="train").to_list()
    assert {len(row["context"]) for row in rows} == {1, 2, 4}
    for row in rows:
        others = [clip for place, clip in enumerate(row["context"]) if place != row["anchors"][0]]
        if others:
            assert row["rejected_clips"] == others
        assert len(row["rejected_clips"]) == max(len(others), 1)
        asked = seen[row["seed"]][-1]
        assert [part.split()[0] for part in asked.media.split(" + ")] == [
            clips[clip["clip_id"]]["sha256"] for clip in row["rejected_clips"]
        ]
        assert asked.count <= 16
    card = (tmp_path / "out" / "README.md").read_text()
    assert "It answers the same question from all other clips: `rejected`." in card


def test_contexts_out_of_blocks_never_lack_clips(world: Path, tmp_path: Path) -> None:
    """Neither because a round has few drafts left to write, nor because blocks are small."""
    overrides = [f"sources.0.folder={world}", "stage1.triplets=30", "context.clips=[12]", "stage2=null"]
    overrides += ["stage1.rejected_from=all", "text_only=0", "filters.visual_threshold=null"]
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", [*overrides, "filters.specificity=false"])

    class Silent(Scribe):
        def answer(self, request: Request) -> str:
            return "" if request.seed % 4 == 0 else super().answer(request)

    facts = build(recipe, tmp_path / "out", Silent(tmp_path / "asked"))["stage1"]
    assert facts["triplets"] == 30
    assert facts["clips_a_context"] == {"12": 30}
    assert "frame_budget" not in facts["dropped"]

    small = recipe.model_copy(update={"video": recipe.video.model_copy(update={"cache_gb": 0.001})})
    for told in (plan_build, lambda recipe: build(recipe, tmp_path / "small")):
        with pytest.raises(
            LongVPOError, match=r"block of 8 clips, and context\.clips asks for 12. Raise video\.cache_gb"
        ):
            told(small)
    assert not (tmp_path / "small").exists()
