"""The build: what a row says is what was done, and what was refused is kept with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, load_dataset
from scipy.stats import chisquare
from support.scribe import Scribe

from longvpo.clips.filters import Refusal, not_specific, too_similar
from longvpo.clips.pool import Pool, choose_context, evenly, mixed
from longvpo.clips.rows import Clip, features
from longvpo.clips.sources import read_clips, read_table
from longvpo.dataset.drafts import asked_before, no_pair
from longvpo.dataset.facts import warnings
from longvpo.dataset.replies import parse_question, parse_verdict
from longvpo.dataset.run import build
from longvpo.errors import LongVPOError
from longvpo.recipe.dataset import ContextSection, DatasetRecipe
from longvpo.recipe.file import load_recipe, recipe_hash
from longvpo.recipe.sections import FilterSection, SourceSection


def pool(visual: np.ndarray, captions: np.ndarray, frames: list[int]) -> Pool:
    clips = [Clip(f"clip{i}", "s", f"{i}.mp4", 0, 1, "") for i in range(len(frames))]
    return Pool(clips, np.array(frames), visual.astype(np.float32), captions.astype(np.float32))


def test_a_similar_clip_is_replaced_and_an_answering_caption_too() -> None:
    # clips 0 and 1 look alike; clip 2 answers the question as well as clip 0 does
    visual = np.array([[1, 0], [0.9, 0.436], [0, 1], [0, 1], [0, 1]])
    captions = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [0, 1]])
    clips = pool(visual, captions, [4] * 5)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        context = choose_context(clips, 0, captions[0], ContextSection(clips=(3,)), FilterSection(), rng)
        assert not isinstance(context, Refusal)
        assert sorted(context.clips) == [0, 3, 4]
        assert context.clips[context.place] == 0
    # four clips cannot be found: dropped, with the filter that refused
    refusal = choose_context(clips, 0, captions[0], ContextSection(clips=(4,)), FilterSection(), rng)
    assert isinstance(refusal, Refusal)
    assert refusal.filter in ("visual_similarity", "specificity")
    # with both filters off they can
    off = FilterSection(visual_threshold=None, specificity=False)
    assert not isinstance(choose_context(clips, 0, captions[0], ContextSection(clips=(5,)), off, rng), Refusal)


def test_contexts_keep_to_the_frame_budget() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(1, 20, size=200)
    clips = pool(np.eye(200), np.eye(200), frames.tolist())
    lengths = []
    for anchor in range(200):
        context = choose_context(
            clips, anchor, np.eye(200)[anchor], ContextSection(frame_budget=64), FilterSection(), rng
        )
        assert not isinstance(context, Refusal)
        lengths.append(int(frames[context.clips].sum()))
        assert len(set(context.clips)) == len(context.clips) >= 2
    assert max(lengths) <= 64
    assert np.ptp(lengths) > 40, "the length varies"


def test_a_distractor_that_must_be_there_is_and_little_used_ones_come_first() -> None:
    clips = pool(np.eye(50), np.eye(50), [4] * 50)
    uses = np.arange(50)
    rng = np.random.default_rng(0)
    section = ContextSection(clips=(4,))
    context = choose_context(clips, 7, np.eye(50)[7], section, FilterSection(), rng, first=40, uses=uses)
    assert not isinstance(context, Refusal)
    assert sorted(context.clips) == [0, 1, 7, 40]
    alone = choose_context(clips, 7, np.eye(50)[7], ContextSection(clips=(1,)), FilterSection(), rng, first=40)
    assert not isinstance(alone, Refusal)
    assert (alone.clips, alone.place) == ([7], 0)


def test_anchors_are_reused_evenly() -> None:
    anchors = evenly(7, np.random.default_rng(0))
    drawn = [next(anchors) for _ in range(21)]
    assert [drawn.count(i) for i in range(7)] == [3] * 7


def test_sources_are_mixed_by_size_and_weight() -> None:
    order = mixed([10, 30, 0], [1, 2, 5], np.random.default_rng(0))
    drawn = [next(order) for _ in range(140)]
    assert [drawn.count(i) for i in range(10)] == [2] * 10
    assert [drawn.count(i) for i in range(10, 40)] == [4] * 30
    assert sum(i < 10 for i in drawn[:14]) == 2, "mixed from the start"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Question: What is it? Answer: A dog.", ("What is it?", "A dog.")),
        ("Sure!\n**Question:** What is it?\n**Answer:** A dog.\n", ("What is it?", "A dog.")),
        ('{"question": "What is it?", "answer": "A dog."}', ("What is it?", "A dog.")),
        (
            '```json\n{"question": "What is {it}?", "answer": "A dog."}\n``` I hope it helps',
            ("What is {it}?", "A dog."),
        ),
        ('{"question": "What is it?"}', "form"),
        ('{"question": "", "answer": "A dog."}', "form"),
        ('{"question": ["What is it?"], "answer": "A dog."}', "form"),
        ('{"question": "What is it?", "ans', "form"),
        ("What is it? A dog.", "form"),
        ("Question: Answer: a dog", "form"),
    ],
)
def test_parse_question(text: str, expected: Any) -> None:
    parsed = parse_question(text)
    assert (parsed.filter if isinstance(parsed, Refusal) else parsed) == expected


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ('{"specific": true, "reason": "it names the red scarf"}', None),
        ('{"specific": false, "reason": "clip 2 has one too"}', "clip 2 has one too"),
        ("Yes, it is.", None),
        ("No. Any of them.", "Any of them"),
        ("I am not sure", "gave no verdict"),
        ('{"specific": "maybe"}', "gave no verdict"),
    ],
)
def test_parse_verdict(text: str, refused: str | None) -> None:
    refusal = parse_verdict(text)
    assert refused in refusal.reason if refusal and refused else refusal is refused


def test_filters_of_clips() -> None:
    assert too_similar(np.array([0.59, 0.61]), 0.6).tolist() == [False, True]
    assert too_similar(np.array([0.59, 0.61]), None).tolist() == [False, False]
    assert not_specific(np.array([0.5, 0.5, 0.4]), 0, True).tolist() == [True, True, False]
    assert not_specific(np.array([0.5, 0.5, 0.4]), 0, False).tolist() == [False] * 3


OFF = FilterSection(answer_threshold=None, refusals=False, length_ratio=None)


@pytest.mark.parametrize(
    ("chosen", "rejected", "similarity", "filter", "score"),
    [
        ("red", "blue", 0.3, None, None),
        ("Red.", "red", 1.0, "equal", 1.0),
        ("red", " ?! ", 0.0, "empty", 0.0),
        ("a red ring", "a red hoop", 0.97, "near_equal", 0.97),
        ("A dog runs.", "I'm sorry, but I cannot see a dog.", 0.2, "refusal", 1.0),
        ("A dog runs.", "The colour of the dog is not visible.", 0.2, "refusal", 1.0),
        ("A dog runs.", "The video doesn't show a dog.", 0.2, "refusal", 1.0),
        ("A dog runs.", "The video shows a dog that sits still.", 0.2, None, None),
        ("one two three four five six seven eight nine", "one two", 0.2, "length_ratio", 4.5),
    ],
)
def test_filters_of_answers(
    chosen: str, rejected: str, similarity: float, filter: str | None, score: float | None
) -> None:
    refusal = no_pair(chosen, rejected, similarity, FilterSection())
    assert (refusal.filter, refusal.score) == (filter, score) if refusal else filter is None
    switched_off = no_pair(chosen, rejected, similarity, OFF)
    assert (switched_off is None) == (filter not in ("equal", "empty")), "equal and empty answers are never a pair"


def test_a_question_that_was_asked_before() -> None:
    before = np.array([[1.0, 0.0], [0.0, 1.0]])
    close = np.array([0.98, 0.199])
    refusal = asked_before(close, before, 0.95)
    assert refusal is not None
    assert refusal.score == pytest.approx(0.98)
    assert asked_before(close, before, None) is None
    assert asked_before(close, before[1:], 0.95) is None
    assert asked_before(close, before[:0], 0.95) is None


def test_length_that_predicts_chosen_is_said() -> None:
    assert warnings("stage1", {"chosen_is_longer": 0.8}, 200) != []
    assert "shorter" in warnings("stage1", {"chosen_is_longer": 0.1}, 200)[0]
    assert warnings("stage1", {"chosen_is_longer": 0.55}, 10_000) == [], "a small bias"
    assert warnings("stage1", {"chosen_is_longer": 0.8}, 10) == [], "ten rows prove nothing"


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
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", overrides)
    facts = build(recipe, tmp_path / "out", Scribe(tmp_path / "asked"))["stage1"]
    depth = facts["anchor_depth"]
    assert sum(depth["observed"]) == pytest.approx(sum(depth["expected"]), abs=0.1) == 600
    assert chisquare(depth["observed"], np.array(depth["expected"]) * 600 / sum(depth["expected"])).pvalue > 0.01
    rows = load_dataset(str(tmp_path / "out"), "stage1", split="train").to_list()
    for number in (2, 3, 6, 8):
        places = [row["anchors"][0] for row in rows if len(row["context"]) == number]
        assert chisquare(np.bincount(places, minlength=number)).pvalue > 0.01
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


def test_an_anchor_larger_than_the_budget_is_dropped() -> None:
    clips = pool(np.eye(3), np.eye(3), [40, 4, 4])
    for section in (ContextSection(frame_budget=32), ContextSection(frame_budget=32, clips=(2,))):
        refusal = choose_context(clips, 0, np.eye(3)[0], section, FilterSection(), np.random.default_rng(0))
        assert isinstance(refusal, Refusal)
        assert refusal.filter == "frame_budget"
        assert "40 frames" in refusal.reason


def test_rows_of_a_table_that_are_no_clips(world: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").symlink_to(world / "videos")
    rows = [
        {"file_name": "videos/00000.mp4", "caption": "whole"},
        {"file_name": "videos/00001.mp4", "caption": "a part", "start": 1, "end": 2.5},
        {"file_name": "videos/00001.mp4", "caption": "to its end", "start": "1", "end": "4.4"},
        {"file_name": "videos/00000.mp4", "caption": "again"},
        {"file_name": "videos/00002.mp4", "caption": ""},
        {"caption": "nothing to see"},
        {"file_name": "videos/00003.mp4", "caption": "after the end", "start": 7, "end": 9},
        {"file_name": "videos/00003.mp4", "caption": "backwards", "start": 3, "end": 1},
        {"file_name": "videos/00003.mp4", "caption": "in words", "start": "soon"},
        {"file_name": "videos/none.mp4", "caption": "gone"},
    ]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    clips, kept, dropped = read_clips(SourceSection(name="s", folder=tmp_path), ("caption",))
    assert [(clip.start, clip.end) for clip in clips] == [(0, 4), (1, 2.5), (1, 4)]
    assert [row["caption"] for row in kept] == ["whole", "a part", "to its end"]
    assert [item.reason.split("/")[-1] for item in dropped] == [
        "00000.mp4 is in the table twice",
        "00002.mp4 has no caption",
        "row 5 has no file_name",
        "00003.mp4: its start is not a number of seconds: 'soon'",
        "00003.mp4 has no span from 7.0 to 9.0 s: it lasts 4.00 s",
        "00003.mp4 has no span from 3.0 to 1.0 s: it lasts 4.00 s",
        "none.mp4",
    ]


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv", "metadata.parquet"])
def test_tables_of_three_kinds(tmp_path: Path, name: str) -> None:
    table = Dataset.from_list([{"file_name": "a.mp4", "caption": "one, two"}, {"file_name": "b.mp4", "caption": "ü"}])
    write = {"jsonl": table.to_json, "csv": table.to_csv, "parquet": table.to_parquet}[name.split(".")[1]]
    write(str(tmp_path / name))
    rows = read_table(SourceSection(name="s", folder=tmp_path), ("caption",))
    assert rows == table.to_list()
