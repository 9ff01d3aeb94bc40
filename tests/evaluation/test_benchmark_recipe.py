"""With which model and which frames benchmarks are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from longvpo.errors import LongVPOError
from longvpo.evaluation.benchmark_recipe import BenchmarkRecipe, overrides_of, read_benchmark_recipe


def said(recipe: str = "", **arguments: object) -> BenchmarkRecipe:
    """What model arguments of lmms-eval mean."""
    return read_benchmark_recipe(recipe, overrides_of(arguments))


def test_an_evaluations_recipe_says_both() -> None:
    found = said("tiny")
    assert (found.name, found.base.model, found.base.quantization) == ("longvpo-tiny-results", "tiny", "nf4")
    assert (found.video.max_frames, found.video.backend, found.batch_size) == (128, "pyav", 20)


def test_a_trainings_budget_for_a_context_is_that_for_a_video(tmp_path: Path) -> None:
    found = said("internvl3-8b/stage1")
    assert (found.base.model, found.base.quantization) == ("OpenGVLab/InternVL3-8B-hf", "nf4")
    assert (found.video.max_frames, found.video.fps, found.batch_size) == (128, 1, 1)
    assert said("internvl3-8b/stage1", frames=256).video.max_frames == 256, "but what is said beside it counts"
    mine = tmp_path / "mine.yaml"
    mine.write_text("base: {model: tiny}\ndata: {dataset: x}\nvideo: {max_frames: 7}\n")
    assert said(str(mine)).video.max_frames == 7


def test_all_can_be_said_without_a_recipe() -> None:
    """As lmms-eval hands it over: numbers as numbers, and other words as texts."""
    found = said(
        base="someone/model", revision="abc", quantization="nf4", dtype="float16", frames=16, fps=0.5, short_side=224
    )
    assert (found.base.model, found.base.revision, found.base.dtype) == ("someone/model", "abc", "float16")
    assert (found.base.quantization, found.base.attention) == ("nf4", None)
    assert (found.video.max_frames, found.video.fps, found.video.short_side) == (16, 0.5, 224)
    more = said("tiny", **{"base.attention.language": "eager", "video.backend": "decord", "quantization": "null"})
    assert more.base.attention
    assert (more.base.attention.language, more.video.backend, more.base.quantization) == ("eager", "decord", None)


@pytest.mark.parametrize(
    ("recipe", "arguments", "says"),
    [
        ("", {}, "base.model is missing"),
        ("", {"base": "tiny", "frame": 8}, "unknown model argument frame (did you mean frames?): there are base,"),
        ("", {"base": "tiny", "video.fpss": 1}, "unknown key video.fpss (did you mean fps?)"),
        ("", {"base": "tiny", "frames": 0}, "video.max_frames: must be greater than 0 (got 0)"),
        ("tiny/dataset", {}, "recipe tiny/dataset names no base: give the recipe of a training or of an evaluation"),
        ("tinny", {}, "no recipe tinny"),
    ],
)
def test_a_mistake_is_one_line(recipe: str, arguments: dict[str, object], says: str) -> None:
    with pytest.raises(LongVPOError) as refused:
        said(recipe, **arguments)
    assert says in str(refused.value)
