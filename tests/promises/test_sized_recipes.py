"""What recipes say of the memory that they need is what is estimated, for the models as they were released."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from support.sized import SIZED, asking_gigabytes, sized, step_gigabytes

from longvpo.dataset.plan import plan_build
from longvpo.evaluation.plan import plan_evaluation
from longvpo.models.counting import video_row
from longvpo.recipe.builtin import builtin_recipes, find_recipe
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe, recipe_hash
from longvpo.recipe.training import TrainRecipe
from longvpo.training.arguments import training_arguments
from longvpo.training.plan import plan_training

LINE = re.compile(r"#\s+(24|80) GB: (.+) \((\d+) GB\)")
MODELS = {name.split("/")[0] for name in builtin_recipes() if name.endswith("/evaluate")} - {"tiny"}
OF_FAMILY = {
    "internvl": "internvl3.5-4b",
    "qwen2_5_vl": "qwen2.5-vl-7b",
    "qwen3_vl": "qwen3-vl-8b",
    "smolvlm2": "smolvlm2-500m",
    "llava_onevision": "llava-onevision-7b",
}
CHEAP = {"internvl3.5-4b", "qwen2.5-vl-7b", "smolvlm2-500m"}
MILLIONS = {  # parameters of these configurations; that of InternVL3.5-4B is stated by others too
    "OpenGVLab/InternVL3-1B-hf": 938,
    "OpenGVLab/InternVL3-2B-hf": 2089,
    "OpenGVLab/InternVL3-8B-hf": 7944,
    "OpenGVLab/InternVL3_5-4B-HF": 4732,
    "Qwen/Qwen2.5-VL-3B-Instruct": 3755,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8292,
    "Qwen/Qwen3-VL-4B-Instruct": 4438,
    "Qwen/Qwen3-VL-8B-Instruct": 8767,
    "HuggingFaceTB/SmolVLM2-500M-Video-Instruct": 507,
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": 2247,
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": 8030,
}


@pytest.mark.parametrize("family", sorted(MODELS))
def test_every_family_has_all_steps_with_one_base(family: str) -> None:
    assert {f"{family}/{step}" for step in ("dataset", "stage1", "stage2", "evaluate")} <= set(builtin_recipes())
    base = load_recipe(TrainRecipe, f"{family}/stage1").base
    stage2, evaluate = load_recipe(TrainRecipe, f"{family}/stage2"), load_recipe(EvaluateRecipe, f"{family}/evaluate")
    assert base == stage2.base
    assert base.model_dump(exclude={"hub_id"}) == evaluate.base.model_dump()
    assert stage2.adapter == load_recipe(TrainRecipe, f"{family}/stage1").name
    assert base.model in SIZED


SIZES = [
    pytest.param(name, stage, marks=() if stage == 1 and name in CHEAP else pytest.mark.soak)
    for name in sorted(MODELS)
    for stage in (1, 2)
]


@pytest.mark.parametrize(("name", "stage"), SIZES)
def test_what_a_recipe_says_of_its_memory_is_the_estimate(name: str, stage: int) -> None:
    name = f"{name}/stage{stage}"
    said = LINE.findall(find_recipe(name).read_text())
    assert [size for size, _, _ in said] == ["24", "80"][: len(said)]
    assert said or name == "internvl3-8b/stage2"
    for size, words, gigabytes in said:
        overrides = [] if words == "as it stands" else words.split()
        recipe = load_recipe(TrainRecipe, name, overrides)
        if recipe.frame_budget is None:
            recipe = load_recipe(TrainRecipe, name, [*overrides, "frame_budget=128"])
        found = step_gigabytes(recipe)
        assert f"{found:.0f}" == gigabytes, f"{name} {words}: {found:.1f}"
        assert found < 0.85 * int(size), "CUDA's own memory comes on top"
        arguments = training_arguments(recipe.training, find_recipe(name).parent)
        assert arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps == 8

        assert parameters(recipe.base.model) == pytest.approx(MILLIONS[recipe.base.model], rel=0.002)


@pytest.mark.parametrize(
    "family", [pytest.param(one, marks=() if one in CHEAP else pytest.mark.soak) for one in sorted(MODELS)]
)
def test_what_a_recipe_says_of_its_writers_memory_is_the_estimate(family: str) -> None:
    name = f"{family}/dataset"
    said = LINE.findall(find_recipe(name).read_text())
    assert [size for size, _, _ in said] == ["24", "80"]
    for size, words, gigabytes in said:
        overrides = [] if words == "as it stands" else words.split()
        found = asking_gigabytes(load_recipe(DatasetRecipe, name, overrides))
        assert f"{found:.0f}" == gigabytes, f"{name} {words}: {found:.1f}"
        assert found + 6 < 0.9 * int(size)


def parameters(model: str) -> float:
    """Millions of them."""
    return sum(one.numel() for one in sized(model)[0].model.parameters()) / 1e6


def test_a_recipe_of_each_family_dry_runs(name: str, base: Path, world: Path, test_world: Path) -> None:
    family = OF_FAMILY[name]
    for stage in ("stage1", "stage2"):
        recipe = load_recipe(TrainRecipe, f"{family}/{stage}", [f"base.model={base}"])
        assert recipe.base.license == "unknown", "what the recipe said of the released one"
        plan = plan_training(recipe)
        assert plan["frames_longest"] == recipe.frame_budget
        assert plan["memory_gb_estimate"]["total"] > 0
    small = [f"writer.model={base}", f"sources.0.folder={world}", "stage2=null", "stage1.triplets=12"]
    build = plan_build(load_recipe(DatasetRecipe, f"{family}/dataset", small))
    assert build["writer"].startswith(str(base))
    assert build["prompt_tokens_a_call"] > 0
    measured = [f"base.model={base}", f"source.folder={test_world}", "multi=null", "filters.visual_model=tiny"]
    evaluation = load_recipe(EvaluateRecipe, f"{family}/evaluate", measured)
    assert plan_evaluation(evaluation, {})["memory_gb_estimate"]["total"] > 0


def test_the_server_of_the_16k_recipe_takes_what_it_will_be_sent() -> None:
    """By its head: the writer's model, the recipe's address, and room for the longest context."""
    recipe = load_recipe(DatasetRecipe, "longvpo-16k/dataset")
    text = find_recipe("longvpo-16k/dataset").read_text()
    start = text.index("vllm serve")
    words = shlex.split(text[start : text.index("\n#           By", start)].replace("\\\n#", ""))
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert words[:3] == ["vllm", "serve", recipe.writer.model]
    assert json.loads(options["--limit-mm-per-prompt"]) == {"image": 0, "video": 1}
    assert json.loads(options["--media-io-kwargs"]) == {"video": {"num_frames": -1}}
    assert options["--dtype"] == recipe.writer.dtype
    endpoint = recipe.writer.endpoint
    assert endpoint is not None
    assert (endpoint.url, endpoint.frames_as) == ("http://localhost:8000/v1", "video_jpeg")
    longest = video_row(sized(recipe.writer.model)[1], recipe.context.frame_budget, (796, 448), recipe.video.fps)
    room = int(options["--max-model-len"]) - longest.tokens - recipe.writer.max_new_tokens
    assert room > 2 * 2048, "captions before a scene, and a question"
    here = load_recipe(DatasetRecipe, "longvpo-16k/dataset", ["writer.endpoint=null"])
    assert recipe_hash(here) == "46774ca85b99", "a build that was begun on this machine goes on so"
