"""Stage 2: questions that need several scenes, answers that miss some of them, and what is refused on the way."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from support.scribe import Scribe, said
from support.triplets import scenes, section

from longvpo.dataset.drafts import Asked
from longvpo.dataset.session import Session
from longvpo.dataset.stage2.write import Reasoning, draw_outside, write
from longvpo.models.journal import Journal
from longvpo.models.writer import Request
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_rejected_answers_miss_scenes_or_see_others(share: float) -> None:
    made, kinds, sizes = section(partial=share), Counter[str](), Counter[int]()
    for number in range(600):
        draft = Reasoning(number, 0, scenes(10), "order", relevant=[1, 4, 7])
        kind, places = draw_outside(draft, made, seed=3)
        kinds[kind] += 1
        assert places == sorted(set(places))
        if kind == "partial":
            sizes[len(places)] += 1
            assert set(places) < {1, 4, 7}
        else:
            assert len(places) == 3
            assert not set(places) & {1, 4, 7}
    assert binomtest(kinds["partial"], 600, share).pvalue > 0.001
    if share:
        assert binomtest(sizes[1], sizes.total(), 0.5).pvalue > 0.001, "one scene as often as two"
    everything = Reasoning(0, 0, scenes(3), "order", relevant=[0, 1, 2])
    assert draw_outside(everything, section(partial=0), seed=3)[0] == "partial", "there is no other scene"


class Oracle(Scribe):
    """Knows which scenes answer a question: from those it says `right`, from any others what it saw."""

    def __init__(self, folder: Path, relevant: list[int], enough: list[list[int]], right: bool = False) -> None:
        super().__init__(folder / "asked")
        self.relevant, self.enough, self.right = relevant, enough, right

    def answer(self, request: Request) -> str:
        if request.schema and "scenes" in request.schema["properties"]:
            trace = " ".join(f"Scene #{number}" for number in self.relevant)
            return said(question="What is red?", trace=trace, scenes=self.relevant)
        if request.schema:
            return json.dumps({"reason": "so", "right": self.right})
        seen = [int(float(part.split()[1].split("-")[0]) / 4) + 1 for part in request.media.split(" + ")]
        return "the red ring" if any(set(enough) <= set(seen) for enough in self.enough) else f"saw {seen}"


def reasoned(tmp_path: Path, oracle: Oracle, judge: bool = True, **values: Any) -> Reasoning:
    """One draft about eight scenes, through every step."""
    recipe = load_recipe(DatasetRecipe, "tiny/dataset")
    from longvpo.models.embed import Embedder

    def frames_of(clip: dict[str, Any]) -> np.ndarray:
        return np.zeros((4, 8, 8, 3), np.uint8)

    frames_of.section = recipe.video  # type: ignore[attr-defined]
    session = Session(
        recipe,
        oracle,
        oracle if judge else None,
        oracle,
        Embedder(recipe.filters),
        Journal(tmp_path / "journal"),
        frames_of,  # type: ignore[arg-type]
    )
    draft = Reasoning(0, 7, scenes(8), "pair")
    write([draft], Asked(), session, section(**values), Counter())
    return draft


@pytest.mark.parametrize("partial", [0, 1])
def test_a_question_that_needs_all_its_scenes(tmp_path: Path, partial: float) -> None:
    draft = reasoned(tmp_path, Oracle(tmp_path, [2, 5, 6], [[2, 5, 6]]), partial=partial)
    assert draft.refusal is None
    assert draft.chosen == "the red ring"
    assert draft.relevant == [1, 4, 5]
    numbers = [place + 1 for place in draft.outside]
    assert draft.rejected == f"saw {numbers}"
    assert set(numbers) < {2, 5, 6} if partial else len(numbers) == 3 and not set(numbers) & {2, 5, 6}
    assert draft.rejection == ("partial" if partial else "irrelevant")


def test_a_question_that_one_scene_answers(tmp_path: Path) -> None:
    draft = reasoned(tmp_path, Oracle(tmp_path, [2, 5], [[5]]))
    assert draft.refusal is not None
    assert draft.refusal.filter == "one_scene"
    assert "scene #5 alone" in draft.refusal.reason
    assert reasoned(tmp_path / "off", Oracle(tmp_path, [2, 5], [[5]]), one_scene=False).refusal is None


def test_a_question_that_cites_a_scene_it_does_not_need(tmp_path: Path) -> None:
    draft = reasoned(tmp_path, Oracle(tmp_path, [2, 5, 6], [[2, 6]]))
    assert draft.refusal is not None
    assert draft.refusal.filter == "needed"
    assert "without #5" in draft.refusal.reason
    off = reasoned(tmp_path / "off", Oracle(tmp_path, [2, 5, 6], [[2, 6]]), needed=False, partial=0)
    assert off.refusal is None


def test_a_rejected_answer_that_is_right_after_all(tmp_path: Path) -> None:
    draft = reasoned(tmp_path, Oracle(tmp_path, [2, 5], [[2, 5]], right=True))
    assert draft.refusal is not None
    assert draft.refusal.filter == "judge"
    agrees = reasoned(tmp_path / "agrees", Oracle(tmp_path, [2, 5], [[]]), one_scene=False)
    assert agrees.refusal is not None
    assert agrees.refusal.filter == "equal", "chosen and rejected agree"


class Temporal(Oracle):
    """From scene 2 it says the same as from all, in another order or in other words."""

    other = "The onions after the garlic."

    def answer(self, request: Request) -> str:
        said = super().answer(request)
        return {"the red ring": "The garlic after the onions.", "saw [2]": self.other}.get(said, said)


def test_a_scene_that_tells_another_order_does_not_answer_the_question(tmp_path: Path) -> None:
    kept = reasoned(tmp_path / "order", Temporal(tmp_path, [2, 5], [[2, 5]]), judge=False)
    assert kept.refusal is None
    words = Temporal(tmp_path, [2, 5], [[2, 5]])
    words.other = "After the onions, the garlic!"
    assert reasoned(tmp_path / "words", words, judge=False).refusal.filter == "one_scene"  # type: ignore[union-attr]
    # a judge decides what means the same, of those that are close
    assert reasoned(tmp_path / "not the same", words).refusal is None
    words.right = True
    assert reasoned(tmp_path / "judged", words).refusal.filter == "one_scene"  # type: ignore[union-attr]


def test_chosen_from_the_whole_context(tmp_path: Path) -> None:
    draft = reasoned(tmp_path, Oracle(tmp_path, [2, 5], [[1, 2, 3, 4, 5, 6, 7, 8]]), chosen="full")
    assert draft.refusal is None
    assert draft.chosen == "the red ring"
    assert "saw [2, 5]" in reasoned(tmp_path / "b", Oracle(tmp_path, [2, 5], [[1, 2, 3, 4, 5, 6, 7, 8]])).chosen
