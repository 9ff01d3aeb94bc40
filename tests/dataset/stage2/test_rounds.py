"""Rounds: which videos are asked about, and by what tasks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from support.scribe import Scribe
from support.triplets import scenes, section

from longvpo.dataset.outcome import Outcome
from longvpo.dataset.session import Session
from longvpo.dataset.stage2.rounds import plan_round
from longvpo.dataset.stage2.write import parts
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.prompts import TASKS


@pytest.mark.parametrize(("count", "expected"), [(5, [5]), (64, [64]), (65, [32, 33]), (200, [50, 50, 50, 50])])
def test_a_long_video_is_asked_about_part_by_part(count: int, expected: list[int]) -> None:
    found = parts(scenes(count), section(max_scenes=64))
    assert sorted(map(len, found)) == expected
    assert [scene for part in found for scene in part] == scenes(count)


def test_tasks_are_balanced_and_videos_take_turns() -> None:
    made = section(triplets=60, questions=4, tasks={"order": 1, "count": 2, "cause": 0})
    outcome = Outcome(2, videos={0: [scenes(8, "a")], 1: [scenes(4, "b1"), scenes(4, "b2")], 2: [scenes(9, "c")]})
    session = Session(load_recipe(DatasetRecipe, "tiny/dataset"), None, None, None, None, None, None)  # type: ignore[arg-type]
    drafts = plan_round(session, made, [0, 1, 2], 12, 100, outcome)
    assert Counter(draft.task for draft in drafts) == {"count": 8, "order": 4}
    assert outcome.tried == {"count": 8, "order": 4}
    assert list(Counter(draft.part[0].video for draft in drafts).values()) == [3, 3, 3, 3]
    assert [draft.number for draft in drafts] == list(range(100, 112))
    # what was dropped is asked for again: of 8 and 4, all of `count` and none of `order` were let in
    outcome.triplets = [draft.reasoned(_named(session)) for draft in drafts if draft.task == "count"]
    more = plan_round(session, made, [0, 1, 2], 6, 112, outcome)
    assert Counter(draft.task for draft in more) == {"order": 5, "count": 1}
    assert plan_round(session, made, [], 6, 118, outcome) == []


def _named(session: Session) -> Session:
    session.writer = session.question_writer = Scribe(Path("unused"))
    return session


def test_every_task_is_described() -> None:
    assert set(section().tasks) == set(TASKS)
