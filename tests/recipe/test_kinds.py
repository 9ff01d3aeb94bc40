"""A recipe that is given to the command of another kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from longvpo.errors import LongVPOError
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.kinds import KINDS, load_as
from longvpo.recipe.training import TrainRecipe


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (
            TrainRecipe,
            "tiny/dataset",
            "tiny/dataset is for `longvpo build-dataset`. This command takes a recipe of a training",
        ),
        (DatasetRecipe, "tiny/stage2", "for `longvpo train`. This command takes a recipe of a dataset"),
        (EvaluateRecipe, "tiny/stage1", "takes a recipe of an evaluation, such as FAMILY/evaluate: "),
    ],
)
def test_a_recipe_of_another_kind_is_named_as_one(kind: type[TrainRecipe], name: str, said: str) -> None:
    with pytest.raises(LongVPOError) as caught:
        load_as(kind, name)
    assert said in str(caught.value)
    assert "unknown key" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS.values())
def test_other_problems_are_told_as_they_are(kind: type[TrainRecipe], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nno_key_of_any: 1\n")
    with pytest.raises(LongVPOError, match="unknown key no_key_of_any"):
        load_as(kind, str(tmp_path / "mine.yaml"))
    with pytest.raises(LongVPOError, match="unknown key sead"):
        load_as(kind, "tiny", ["sead=1"])
    with pytest.raises(LongVPOError, match=r"no/where\.yaml"):
        load_as(kind, "no/where.yaml")
