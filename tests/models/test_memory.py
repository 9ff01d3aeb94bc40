"""The memory of questions, against what a GPU held."""

from __future__ import annotations

import json

import pytest
import transformers
from support.families import qwen2_5_vl
from support.world import ROOT

from longvpo.models.memory import Skeleton, question_memory
from longvpo.recipe.sections import ModelSection

MEASURED = [json.loads(line) for line in (ROOT / "benchmarks/results/gpu_asking-h100.jsonl").read_text().splitlines()]
GREEDY = {one["frames"][0]: one["peak_gb"] for one in MEASURED if one.get("case") == "greedy"}


@pytest.fixture(scope="module")
def skeleton() -> Skeleton:
    """InternVL3-8B, as benchmarks/gpu_step.py has it."""
    text = {
        "model_type": "qwen2",
        **{"vocab_size": 151_674, "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28},
        **{"num_key_value_heads": 4, "intermediate_size": 18_944, "tie_word_embeddings": False},
    }
    return Skeleton(transformers.InternVLConfig(text_config=text, tie_word_embeddings=False))


@pytest.mark.parametrize("frames", GREEDY)
def test_a_question_takes_what_was_measured(frames: int, skeleton: Skeleton) -> None:
    """256 tokens a frame of 448 x 448, and some eight before each."""
    base = ModelSection(model="any", dtype="bfloat16", quantization="nf4")
    parts = question_memory(skeleton, base, 264 * frames + 60, 3 * 448 * 448 * frames)
    assert parts["total"] / 1e9 == pytest.approx(GREEDY[frames], rel=0.02), parts


def test_questions_side_by_side_take_what_they_take_together(skeleton: Skeleton) -> None:
    base = ModelSection(model="any", dtype="bfloat16", quantization="nf4")
    (measured,) = (one["peak_gb"] for one in MEASURED if one.get("case") == "batch")
    parts = question_memory(skeleton, base, 4 * (264 * 64 + 60), 3 * 448 * 448 * (64 + 32 + 16 + 8))
    assert parts["total"] / 1e9 == pytest.approx(measured, rel=0.05), parts


def test_of_another_family_too() -> None:
    """Qwen2.5-VL-7B, by whose figures no coefficient was chosen."""
    text = {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
    vision = {"depth": 32, "hidden_size": 1280, "num_heads": 16, "intermediate_size": 3420, "out_hidden_size": 3584}
    config = qwen2_5_vl()[0].config
    for section, values in (
        (config.text_config, text | {"intermediate_size": 18_944, "layer_types": ["full_attention"] * 28}),
        (config.vision_config, vision),
    ):
        for name, value in values.items():
            setattr(section, name, value)
    config.text_config.rope_parameters["mrope_section"] = [16, 24, 24]
    config.text_config.vocab_size = 151_936
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True  # the benchmark's; the real one has two
    base = ModelSection(model="any", dtype="bfloat16", quantization="nf4")
    lines = (ROOT / "benchmarks/results/gpu_asking-qwen2_5_vl-h200.jsonl").read_text().splitlines()
    greedy = [one for one in map(json.loads, lines) if one.get("case") == "greedy"]
    assert [one["frames"] for one in greedy] == [[64], [128], [256], [512]]
    for one in greedy:
        (frames,) = one["frames"]
        parts = question_memory(Skeleton(config), base, 128 * frames + 102, 3 * 448 * 448 * frames)
        assert parts["total"] / 1e9 == pytest.approx(one["peak_gb"], rel=0.02), parts
