"""The shortcut report: rules that never look at the question are found out, and what is fair is not accused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from longvpo.clips.rows import Triplet
from longvpo.dataset.shortcuts import gives_away, shortcuts, sides, warnings

ROWS = 1500
Draw = Callable[[np.random.Generator, int], tuple[list[int], list[int]]]  # number of clips -> anchors, rejected


def row(number: int, anchors: list[int], others: list[int], clips: list[dict[str, Any]], **more: Any) -> Triplet:
    given = {"prompt": "q", "chosen": "a red ring", "rejected": "a blue bar", "rejection": "distractor"} | more
    shown = [clips[place] for place in others]
    about = {"writer": "w", "judge": "", "seed": number, "recipe": "r"}
    return Triplet(id=f"{number}", stage=1, context=clips, anchors=anchors, rejected_clips=shown, **given, **about)


def clips_of(number: int, count: int, **columns: list[Any]) -> list[dict[str, Any]]:
    plain = [
        {"clip_id": f"{number}-{place}", "source": "s", "video": f"{number}.mp4", "start": 0.0, "end": 4.0}
        for place in range(count)
    ]
    return [one | {name: values[place] for name, values in columns.items()} for place, one in enumerate(plain)]


def rows(draw: Draw, more: Callable[[int, np.random.Generator, list[int]], dict[str, Any]] | None = None) -> list[Any]:
    rng, made = np.random.default_rng(0), []
    for number in range(ROWS):
        count = int(rng.choice([2, 3, 6, 9, 17]))
        anchors, rejected = draw(rng, count)
        columns = more(count, rng, anchors) if more else {}
        made.append(row(number, anchors, rejected, clips_of(number, count, **columns)))
    return made


def two(rng: np.random.Generator, count: int) -> tuple[list[int], list[int]]:
    anchor, rejected = rng.permutation(count)[:2].tolist()
    return [anchor], [rejected]


def first(rng: np.random.Generator, count: int) -> tuple[list[int], list[int]]:
    """As the first versions of this package did."""
    anchor = int(rng.integers(count))
    return [anchor], [0 if anchor else 1]


def some(rng: np.random.Generator, count: int) -> tuple[list[int], list[int]]:
    """Stage 2: of the relevant scenes some, or as many others."""
    order = rng.permutation(count).tolist()
    relevant = order[: max(2, count // 3)]
    if rng.random() < 0.5 and count > len(relevant):
        return relevant, order[len(relevant) : 2 * len(relevant)]
    return relevant, relevant[: int(rng.integers(1, len(relevant)))]


def found_in(triplets: list[Any], sizes: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    return {one["rule"]: one for one in shortcuts(triplets, sizes or {})}


@pytest.mark.parametrize("draw", [two, some])
def test_what_is_drawn_at_random_gives_nothing_away(draw: Draw) -> None:
    lengths = rows(draw, lambda count, rng, _: {"end": rng.integers(2, 9, count).astype(float).tolist()})
    found = found_in(lengths)
    for name in ("first clip", "last clip", "clips of the third fifth", "longest clip", "shortest clip"):
        assert found[name]["rows"] > 100, name
        assert abs(found[name]["chosen"] - 0.5) < 4 * found[name]["error"], name
    assert not warnings("stage1", [one for name, one in found.items() if "clip" in name])


def test_the_rejected_clip_in_front_is_found_out() -> None:
    found = found_in(rows(first))
    assert found["first clip"]["chosen"] < 0.3
    assert found["clips of the first fifth"]["chosen"] < 0.4
    (said, *_) = warnings("stage1", [found["first clip"]])
    assert "the first clip points at the rejected answer in" in said
    # what pictures of the anchor would tell by their place, in an exact case: 1 of 4 and 3 of 4
    four = [row(n, [n % 4], [0 if n % 4 else 1], clips_of(n, 4)) for n in range(400)]
    assert found_in(four)["first clip"] == {"rule": "first clip", "chosen": 0.25, "error": 0.025, "rows": 400}


def test_lengths_sources_shapes_and_sizes_that_tell_are_found_out() -> None:
    def longer(count: int, rng: np.random.Generator, anchors: list[int]) -> dict[str, Any]:
        marked = [place in anchors for place in range(count)]
        return {"end": [9.0 if one else 4.0 for one in marked], "source": ["a" if one else "b" for one in marked]}

    triplets = rows(two, longer)
    sizes = {}
    for triplet in triplets:
        for place, clip in enumerate(triplet.context):
            sizes[clip["clip_id"]] = (640, 360) if place in triplet.anchors else (480, 360)
    found = found_in(triplets, sizes)
    assert (found["longest clip"]["chosen"], found["shortest clip"]["chosen"]) == (1, 0)
    for name in ("source", "shape", "size"):
        # two clips of which each is another: none is the most common
        assert found[f"clip of the most common {name}"]["chosen"] == 0
        assert found[f"clip of the most common {name}"]["rows"] < ROWS
    unknown = found_in(triplets)["clip of the most common size"]
    assert unknown == {"rule": "clip of the most common size", "chosen": None, "error": None, "rows": 0}


def test_answers_that_tell_are_found_out() -> None:
    rng = np.random.default_rng(1)
    long = [row(n, [0], [1], clips_of(n, 2), chosen="a ring that is red") for n in range(50)]
    assert found_in(long)["longer answer"]["chosen"] == 1
    assert "filters.length_ratio" in warnings("stage1", [found_in(long)["longer answer"]])[0]
    yes = [row(n, [0], [1], clips_of(n, 2), chosen="yes", rejected="no") for n in range(50)]
    assert found_in(yes)["answer right more often before"]["chosen"] == 1
    assert found_in(yes)["answer seen more often before"]["rows"] == 0, "both were seen as often"
    copied = [row(n, [0], [1], clips_of(n, 2), chosen=f"it is {n}", rejected="it is a ring") for n in range(50)]
    assert found_in(copied)["answer seen more often before"]["chosen"] == 0
    fair = [
        row(
            n,
            [0],
            [1],
            clips_of(n, 2),
            **dict(zip(("chosen", "rejected"), rng.choice(["a", "b", "c"], 2), strict=True)),
        )
        for n in range(1000)
    ]
    for name in ("answer seen more often before", "answer right more often before"):
        assert not gives_away(found_in(fair)[name])


def test_rows_about_one_anchor_count_together() -> None:
    """Ten rows of each of 30 videos, all alike: they prove what 30 rows prove."""
    clips = {video: clips_of(video, 5) for video in range(30)}
    fair = [row(n, [n % 2], [1 - n % 2], clips[n % 30]) for n in range(300)]
    alike = [row(n, [video % 2], [1 - video % 2], clips[video]) for n in range(10) for video in range(30)]
    assert found_in(fair)["first clip"]["error"] == pytest.approx(0.5 / 30**0.5, abs=1e-3)
    assert found_in(alike)["first clip"]["error"] == pytest.approx(0.5 / 30**0.5, abs=1e-3)
    alone = [row(n, [n % 2], [1 - n % 2], clips_of(n, 5)) for n in range(300)]
    assert found_in(alone)["first clip"]["error"] == pytest.approx(0.5 / 300**0.5, abs=1e-3)


def test_few_rows_prove_nothing() -> None:
    assert not warnings(
        "stage1", shortcuts([row(n, [0], [1], clips_of(n, 2), chosen="a b c d e") for n in range(8)], {})
    )
    assert not gives_away({"chosen": 0.54, "error": 0.001}), "a small bias"
    assert not gives_away({"chosen": None, "error": None})


def test_a_partial_answer_lacks_the_scenes_that_only_chosen_saw() -> None:
    triplet = row(0, [1, 3, 4], [3], clips_of(0, 6), rejection="partial")
    assert sides(triplet) == ([1, 4], [3])
    # always the first of the relevant scenes: found out
    always = [row(n, [0, 3, 5], [0], clips_of(n, 6), rejection="partial") for n in range(200)]
    assert found_in(always)["first clip"]["chosen"] == 0
    alone = row(0, [0], [0], clips_of(0, 1))
    assert found_in([alone])["first clip"]["rows"] == 0, "one clip is no choice"
