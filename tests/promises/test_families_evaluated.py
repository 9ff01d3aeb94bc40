"""The recipe for real models, on small random ones of three families."""

from __future__ import annotations

from pathlib import Path

import pytest

from longvpo.evaluation.run import evaluate
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe


@pytest.mark.parametrize("name", ["internvl", "qwen2_5_vl", "smolvlm2"], indirect=True)
def test_the_internvl_recipe_evaluates_every_family(name: str, base: Path, test_world: Path, tmp_path: Path) -> None:
    """NF4 and bfloat16 as the recipe says, with options; what a guess would reach stands beside."""
    overrides = [f"base.model={base}", f"source.folder={test_world}", "source.clips=12", "multi=null"]
    overrides += ["filters.visual_model=tiny", "filters.text_model=tiny", "video.short_side=64"]
    overrides += ["grid.clips=[1, 2]", "grid.depths=2", "grid.questions=2", "max_new_tokens=4"]
    for letters in ("greedy", "likelihood"):
        recipe = load_recipe(EvaluateRecipe, "internvl3-1b/evaluate", [*overrides, f"scoring.letters={letters}"])
        results = evaluate(recipe, tmp_path / letters)
        assert results["quantization"] == "nf4"
        assert results["questions"] == {"1": [4], "2": [2, 2]}
        assert results["chance"] == 25.0
        assert max(results["needle"]["base"].values()) <= 75, "it has learnt nothing"
