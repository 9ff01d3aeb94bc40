"""Recipes of datasets that make no sense."""

from __future__ import annotations

import pytest

from longvpo.errors import LongVPOError
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["stage1=null"], "`sources` and `stage1` belong together"),
        (["stage1=null", "sources=[]", "stage2=null"], "give stage1, stage2 or both"),
        (["stage2.tasks={dance: 1}"], "stage2.tasks: describe under prompts.tasks what dance asks for"),
        (["stage2.tasks={pair: 0}"], "tasks need weights"),
        (["stage2.tasks={}"], "tasks need weights"),
        (["stage2.min_scenes=40"], "min_scenes is above max_scenes"),
        (["stage2.max_scenes=200"], "stage2.max_scenes is above context.frame_budget"),
        (["stage2.sources=[]"], "stage2.sources: must have at least one item"),
        (["stage2.sources.0.name=drawn"], "two sources have the same name"),
        (["stage2.sources.0.captions=table", "stage2.sources.0.scenes=null"], "leave `captions` out"),
        (["stage2.sources.0.group=film"], "with it, set `scenes: null`"),
        (["prompts.scenes_question=what?"], "scenes_question must hold {scenes}"),
        (["prompts.pair='{question} {chosen} {scenes}'"], "pair must hold {rejected}"),
        (["stage2.triplet=3"], "did you mean triplets?"),
    ],
)
def test_recipes_that_make_no_sense(overrides: list[str], said: str) -> None:
    with pytest.raises(LongVPOError) as caught:
        load_recipe(DatasetRecipe, "tiny/dataset", overrides)
    assert said in str(caught.value)
