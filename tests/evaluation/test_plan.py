"""A dry run says what would be asked, decodes nothing, loads nothing and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from longvpo.errors import LongVPOError
from longvpo.evaluation import exam
from longvpo.evaluation.plan import plan_evaluation
from longvpo.models import load
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe
from longvpo.tiny.stories import QUESTIONS, write_stories
from longvpo.video import frames


def test_a_dry_run_says_what_would_be_asked(
    test_world: Path, world: Path, dataset: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stories(tmp_path / "films", [2, 5], seed=14, split="test")
    overrides = [f"source.folder={test_world}", f"multi.source.folder={tmp_path / 'films'}", "grid.clips=[1, 8]"]
    overrides += [f"triplets.dataset={dataset}", f"triplets.videos={{drawn: {world}}}", "triplets.rows=10"]
    recipe = load_recipe(EvaluateRecipe, "tiny", [*overrides, f"video.frames={tmp_path / 'frames'}"])
    before = sorted(tmp_path.rglob("*"))
    for where, name in ((frames, "read_frames"), (load, "load_model"), (exam, "make_pool")):
        monkeypatch.setattr(where, name, lambda *_, name=name: pytest.fail(name))
    plan = plan_evaluation(recipe, {"mine": str(trained), "me/other@v2": "me/other@v2"})
    assert sorted(tmp_path.rglob("*")) == before
    assert plan["questions"] == {
        "needle": {"1": 300, "8": 300},
        "multi": {"2": QUESTIONS, "5": QUESTIONS},
        "triplets": {"stage1": 10},
    }
    assert plan["frames_longest"]["needle"] == {"1": 4, "8": 32}
    assert plan["frames_longest"]["multi"] == 5 * 4
    assert plan["frames_longest"]["triplets"] == 8 * 4
    assert plan["models"] == 3
    assert plan["answered_together"] == 20, "of 32 frames each"
    assert plan["tokens_longest"] > 32
    memory = plan["memory_gb_estimate"]
    assert memory["total"] >= memory["weights"] + memory["cache"] > 0
    assert plan["adapters"]["me/other@v2"] == "on the Hub, not fetched"
    assert len(plan["adapters"]["mine"]) == 12
    with pytest.raises(LongVPOError, match="holds no adapter"):
        plan_evaluation(recipe, {"mine": str(tmp_path)})
    with pytest.raises(LongVPOError, match="no such folder: /no/where"):
        plan_evaluation(recipe, {"mine": "/no/where"})
    away = load_recipe(EvaluateRecipe, "internvl3-1b/evaluate", [*overrides[:2], "multi=null"])
    assert plan_evaluation(away)["memory"].startswith("not estimated: cannot load OpenGVLab/InternVL3-1B-hf")
