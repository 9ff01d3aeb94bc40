"""Five families of models, small and random: what is quantised and trained, what a frame costs, and a training run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import bitsandbytes
import numpy as np
import pytest
import torch
from datasets import load_dataset
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from support.families import FAMILIES
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

from longvpo.models.encode import encode, to_model
from longvpo.models.load import load_model, load_processor
from longvpo.models.local import answer
from longvpo.models.writer import Request
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sections import ModelSection
from longvpo.recipe.training import LoraSection, TrainRecipe
from longvpo.training.run import train
from longvpo.video.frames import ClipFrames
from longvpo.video.joined import at_rate, join

# where each family keeps its blocks, how many the small model has, and what must stay out of NF4
BLOCKS = {name: ("model.language_model.layers", 2) for name in FAMILIES}
BLOCKS |= {"qwen3_vl": ("model.language_model.layers", 3), "smolvlm2": ("model.text_model.layers", 2)}
NOT_QUANTISED = {
    "internvl": ["model.vision_tower", "model.multi_modal_projector", "lm_head"],
    "qwen2_5_vl": ["model.visual", "lm_head"],
    "qwen3_vl": ["model.visual", "lm_head"],
    "smolvlm2": ["model.vision_model", "model.connector", "lm_head"],
    "llava_onevision": ["model.vision_tower", "model.multi_modal_projector", "lm_head"],
}
LINEAR = [f"self_attn.{part}_proj" for part in "qkvo"] + [f"mlp.{part}_proj" for part in ("gate", "up", "down")]

PLACEHOLDERS = {
    "internvl": "<IMG_CONTEXT>",
    "qwen2_5_vl": "<|video_pad|>",
    "qwen3_vl": "<|video_pad|>",
    "smolvlm2": "<image>",
    "llava_onevision": "<video>",
}
PIXELS = ("pixel_values", "pixel_attention_mask", "pixel_values_videos", "video_grid_thw")
QUESTION = "what color is the ring?"


def video_tokens(name: str, frames: int) -> int:
    """Tokens of a video whose frames have 96 pixels a side, from the sizes in families.py."""
    pairs = math.ceil(frames / 2)
    return {
        "internvl": frames * (28 // 14) ** 2 // 4,  # patches of 14 pixels, four to a token
        "qwen2_5_vl": pairs * (56 // 28) ** 2,  # four patches of 14 pixels in two frames to a token
        "qwen3_vl": pairs * (96 // 32) ** 2,  # the same, with patches of 16 pixels
        "smolvlm2": frames * (32 // 8) ** 2 // 2**2,  # patches of 8 pixels, 2 by 2 to a token
        "llava_onevision": frames * math.ceil(42 // 14 / 2) ** 2 + 1,  # patches shrunk by half, and a new line
    }[name]


@pytest.fixture(scope="module")
def mixed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of three triplets, whose contexts have one, two and four clips."""
    rows = load_dataset(str(dataset), "stage1", split="train")
    lengths = [len(context) for context in rows["context"]]
    folder = tmp_path_factory.mktemp("mixed")
    rows.select([lengths.index(clips) for clips in (1, 2, 4)]).to_parquet(folder / "stage1.parquet")
    (folder / "README.md").write_text("---\nconfigs:\n- config_name: stage1\n  data_files: stage1.parquet\n---\n")
    return folder


def noise(frames: int) -> np.ndarray:
    return np.random.default_rng(frames).integers(0, 256, (frames, 96, 96, 3), dtype=np.uint8)


def test_nf4_and_lora_take_the_linear_layers_of_the_language_model_alone(name: str, base: Path) -> None:
    model = load_model(ModelSection(model=str(base), quantization="nf4"))
    place, blocks = BLOCKS[name]
    expected = {f"{place}.{block}.{part}" for block in range(blocks) for part in LINEAR}
    quantised = {
        key: module for key, module in model.named_modules() if isinstance(module, bitsandbytes.nn.Linear4bit)
    }
    assert quantised.keys() == expected
    assert {(m.weight.quant_state.quant_type, m.weight.quant_state.nested) for m in quantised.values()} == {
        ("nf4", True)
    }
    linear = {key for key, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert len(linear - expected - {"lm_head"}) >= 8, "the vision side has linear layers that could have been taken"

    adapted = get_peft_model(model, LoraConfig(**LoraSection().of_peft(), task_type="CAUSAL_LM"))
    assert set(adapted.targeted_module_names) == expected
    assert sum("lora_" in key for key, _ in adapted.named_parameters()) == 2 * len(expected)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 8])
def test_a_video_has_as_many_tokens_as_features(name: str, base: Path, frames: int) -> None:
    section = ModelSection(model=str(base), dtype="float32")
    model, processor = load_model(section), load_processor(section)
    inputs = encode(processor, [QUESTION], [noise(frames)], [at_rate(frames, 1.0)])
    placeholder = processor.tokenizer.convert_tokens_to_ids(PLACEHOLDERS[name])
    assert (inputs["input_ids"] == placeholder).sum() == video_tokens(name, frames)
    pixels = {key: value for key, value in inputs.items() if key in PIXELS}
    kind = "video" if "pixel_values_videos" in pixels else "image"
    with torch.no_grad():
        features = getattr(model, f"get_{kind}_features")(**pixels, return_dict=True).pooler_output
        assert torch.cat([part.flatten(0, -2) for part in features]).shape == (video_tokens(name, frames), 64)
        assert model(**inputs).logits.isfinite().all()


def test_times_are_not_rounded_with_the_pixels(tmp_path: Path) -> None:
    for part in FAMILIES["qwen2_5_vl"]():
        part.save_pretrained(tmp_path)
    section = ModelSection(model=str(tmp_path))
    model, processor = load_model(section), load_processor(section)
    inputs = encode(processor, [QUESTION], [noise(80)], [at_rate(80, 0.3)])  # a pair of frames every 6.667 seconds
    moved = to_model(inputs, model)
    assert moved["pixel_values_videos"].dtype == torch.bfloat16
    positions, expected = (
        model.model.get_rope_index(**{key: value for key, value in values.items() if "pixel" not in key})[0]
        for values in (moved, inputs)
    )
    assert torch.equal(positions, expected)
    seen = positions[0, 0, inputs["mm_token_type_ids"][0] > 0]
    assert seen.max() - seen.min() == int(39 * 4 * 2 / 0.3), "four positions a second"


def in_plain_peft(name: str, base: Path, adapter: Path) -> Any:
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=NOT_QUANTISED[name],
    )
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.bfloat16, quantization_config=quantization)
    return PeftModel.from_pretrained(model, adapter).eval()


def test_the_internvl_recipe_trains_every_family(
    name: str, base: Path, mixed: Path, world: Path, tmp_path: Path
) -> None:
    """bfloat16, NF4 and gradient checkpointing as the recipe says; each batch holds 4, 8 and 13 frames."""
    overrides = [f"base.model={base}", f"data.dataset={mixed}", f"data.videos={{drawn: {world}}}", "frame_budget=13"]
    section = {
        "max_steps": 2,
        "per_device_train_batch_size": 3,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-2,  # so that two steps show in bfloat16
        "logging_steps": 1,
    }
    overrides += [f"training.{key}={value}" for key, value in section.items()]
    recipe = load_recipe(TrainRecipe, "internvl3-1b/stage1", overrides)
    adapter = tmp_path / "adapter"
    assert train(recipe, adapter)["steps"] == 2
    history = json.loads((adapter / "trainer_state.json").read_text())["log_history"]
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    place, blocks = BLOCKS[name]
    weights = load_file(adapter / "adapter_model.safetensors")
    assert weights.keys() == {
        f"base_model.model.{place}.{block}.{part}.lora_{side}.weight"
        for block in range(blocks)
        for part in LINEAR
        for side in "AB"
    }
    assert all(value.abs().max() > 0 for key, value in weights.items() if "lora_B" in key)

    processor = load_processor(recipe.base)
    row = load_dataset(str(mixed), "stage1", split="train")[1]
    frames_of = ClipFrames(recipe.video, recipe.data.videos)
    frames = join([frames_of(clip) for clip in row["context"]], "letterbox")
    ours = load_model(recipe.base, adapter)
    inputs = to_model(encode(processor, [row["prompt"]], [frames], [at_rate(len(frames), recipe.video.fps)]), ours)
    with torch.no_grad():
        logits = ours(**inputs).logits
        assert torch.equal(in_plain_peft(name, base, adapter)(**inputs).logits, logits)
        with ours.disable_adapter():
            assert not torch.allclose(ours(**inputs).logits, logits, atol=1e-2), "training leaves a trace"
    requests = [
        Request(row["prompt"], times=(0.5, 1.5, 2.5, 3.5), seconds=4.0, frames=lambda: noise(4)) for _ in range(2)
    ]
    assert len(answer(ours, processor, requests, 3)) == 2
