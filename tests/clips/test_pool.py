"""The pool of clips: which stand in a context, how often, and in what shares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from longvpo.clips.pool import Pool, choose_context, evenly, mixed, refused_clips
from longvpo.clips.rows import Clip, Refusal
from longvpo.recipe.dataset import ContextSection
from longvpo.recipe.sections import FilterSection


def pool(visual: np.ndarray, captions: np.ndarray, frames: list[int]) -> Pool:
    clips = [Clip(f"clip{i}", "s", f"{i}.mp4", 0, 1, "") for i in range(len(frames))]
    return Pool(clips, np.array(frames), visual.astype(np.float32), captions.astype(np.float32))


def test_filters_of_clips() -> None:
    cosines = [0.59, 0.61, 0.61 - 5e-5]
    vectors = np.array([[1, 0], *([cosine, (1 - cosine**2) ** 0.5] for cosine in cosines)])
    clips = pool(vectors, vectors, [4] * 4)
    on, off = FilterSection(visual_threshold=0.6), FilterSection(visual_threshold=None, specificity=False)
    refused, scores = refused_clips(clips, 0, np.array([1, 0]), on)
    assert refused["visual_similarity"].tolist() == [True, False, True, True], "the anchor is like itself"
    assert scores["visual_similarity"][1:].tolist() == pytest.approx(cosines)
    assert refused["specificity"].tolist() == [True, False, False, False]
    # the anchor's caption is not the closest; one that differs by rounding counts as equal
    refused, _ = refused_clips(clips, 2, np.array([1, 0]), on)
    assert refused["specificity"].tolist() == [True, False, True, True]
    refused, _ = refused_clips(clips, 0, np.array([1, 0]), off)
    assert not any(mask.any() for mask in refused.values())


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


def test_a_context_is_filled_evenly_or_to_the_budget() -> None:
    clips, filled = pool(np.eye(100), np.eye(100), [4] * 100), {}
    for fill in ("uniform", "full"):
        section = ContextSection.model_validate({"frame_budget": 130, "fill": fill})
        drawn = [
            choose_context(clips, 0, np.eye(100)[0], section, FilterSection(), np.random.default_rng(seed))
            for seed in range(40)
        ]
        filled[fill] = [len(context.clips) for context in drawn if not isinstance(context, Refusal)]
    assert filled["full"] == [32] * 40, "another clip of 4 frames does not fit into 130"
    assert min(filled["uniform"]) < 8 < 24 < max(filled["uniform"])


def test_the_clip_of_the_rejected_answer_stands_anywhere() -> None:
    clips, places = pool(np.eye(50), np.eye(50), [4] * 50), {"random": [], "first": []}
    for where, found in places.items():
        section = ContextSection(clips=(4,), rejected_clip=where)
        for seed in range(900):
            rng = np.random.default_rng(seed)
            context = choose_context(clips, 7, np.eye(50)[7], section, FilterSection(), rng, first=40)
            found.append([clip for clip in context.clips if clip != 7].index(40))
    assert chisquare(np.bincount(places["random"], minlength=3)).pvalue > 0.01
    assert set(places["first"]) == {0}


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


def test_an_anchor_larger_than_the_budget_is_dropped() -> None:
    clips = pool(np.eye(3), np.eye(3), [40, 4, 4])
    for section in (ContextSection(frame_budget=32), ContextSection(frame_budget=32, clips=(2,))):
        refusal = choose_context(clips, 0, np.eye(3)[0], section, FilterSection(), np.random.default_rng(0))
        assert isinstance(refusal, Refusal)
        assert refusal.filter == "frame_budget"
        assert "40 frames" in refusal.reason
