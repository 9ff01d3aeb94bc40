"""The pool of clips: which stand in a context, how often, and in what shares."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from longvpo.clips import pool as pools
from longvpo.clips.pool import MEASURED, Pool, choose_context, evenly, mixed, refused_clips
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


def unit(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    vectors = rng.normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_clips_that_are_compared_some_at_a_time_are_those_of_all_at_once() -> None:
    for number in (9, 50, 333, 1002):
        rng = np.random.default_rng(number)
        clips = pool(unit(rng, (number, 64)), unit(rng, (number, 64)), [4] * number)
        filters = FilterSection(visual_threshold=0.1, specificity=number % 2 == 0)
        for seed in range(20):
            anchor, question = int(rng.integers(number)), clips.captions[rng.integers(number)]
            refused, scores = refused_clips(clips, anchor, question, filters)
            section, uses = ContextSection(clips=(6,)), rng.integers(0, 3, number)
            context = choose_context(
                clips, anchor, question, section, filters, np.random.default_rng(seed), None, uses
            )
            draw = np.random.default_rng(seed)
            draw.choice((6,))
            order = draw.permutation(number)
            let_in = [clip for clip in order[np.argsort(uses[order], kind="stable")].tolist() if clip != anchor]
            let_in = [clip for clip in let_in if not any(mask[clip] for mask in refused.values())]
            if len(let_in) < 5:
                assert isinstance(context, Refusal)
                assert context.score == scores[context.filter][refused[context.filter]].min()
                continue
            assert not isinstance(context, Refusal)
            assert [clip for clip in context.clips if clip != anchor] == let_in[:5]
            for name, said in (("visual_similarity", context.similarity), ("specificity", context.specificity)):
                assert said == pytest.approx(scores[name][context.clips].tolist(), abs=1e-6)


def test_a_context_costs_the_same_however_many_clips_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    product = pools.refused_clips
    monkeypatch.setattr(
        pools, "refused_clips", lambda some, *rest: compared.append(len(some.clips)) or product(some, *rest)
    )
    monkeypatch.setattr(pools, "DRAWN_FROM", 1000)
    for number in (500, 3001):
        clips = pool(np.zeros((number, 8)), np.zeros((number, 8)), [4] * number)
        section, filters = ContextSection(clips=(16,)), FilterSection(specificity=False)
        uses, found = np.zeros(number, int), Counter[int]()
        for seed in range(300):
            rng = np.random.default_rng(seed)
            context = choose_context(clips, 7, clips.captions[7], section, filters, rng, 40, uses)
            assert not isinstance(context, Refusal)
            assert len(set(context.clips)) == 16
            uses[context.clips] += 1
            found.update(context.clips)
        assert sum(compared) / 300 < 50, "not all clips"
        assert max(found[clip] for clip in range(number) if clip not in (7, 40)) <= 300 * 14 // number + 4, "evenly"
        compared.clear()


def test_a_pool_that_grows_is_not_copied_and_may_grow_twice() -> None:
    def some(names: str, value: float) -> Pool:
        clips = [Clip(name, "s", f"{name}.mp4", 0, 1, "") for name in names]
        vectors = np.full((len(names), 2), value, np.float32)
        return Pool(clips, np.full(len(names), int(value)), vectors, vectors, np.full((len(names), 2), int(value)))

    first = Pool().joined(some("abc", 1))
    grown = first.joined(some("cd", 2))
    other = first.joined(some("e", 3))
    further = grown.joined(some("fgh", 4)).joined(some("ab", 5)).joined(some("i", 6))
    for found, names, values in (
        (first, "abc", [1, 1, 1]),
        (grown, "abcd", [1, 1, 1, 2]),
        (other, "abce", [1, 1, 1, 3]),
        (further, "abcdfghi", [1, 1, 1, 2, 4, 4, 4, 6]),
    ):
        assert "".join(clip.clip_id for clip in found.clips) == names
        for name in MEASURED:
            array = getattr(found, name)
            assert (array if array.ndim == 1 else array[:, 0]).tolist() == values
            assert array.dtype == getattr(first, name).dtype
    assert [clip.clip_id for clip in further.only({"i", "b", "z"}).clips] == ["b", "i"]
    assert [clip.clip_id for clip in first.only({"d", "b"}).clips] == ["b"]
    pools_of = [Pool().joined(some("a", 1))]
    for number in range(1000):
        pools_of.append(pools_of[-1].joined(some(f"{chr(200 + number)}", number)))
    assert len({id(one.visual.base) for one in pools_of[2:]}) < 12, "now and then, for twice as many"


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
