"""What training costs, held against real processors, real batches, loaded weights and what training steps allocate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.activations import allocated, wider
from support.families import FAMILIES
from support.live import Live
from support.released import RELEASED
from support.trainers import lora
from support.world import ROOT
from transformers import AutoConfig

from longvpo.models.load import load_model
from longvpo.models.memory import Skeleton, weight_bytes
from longvpo.recipe.sections import ModelSection
from longvpo.training.memory import adapter_parameters, step_memory
from longvpo.training.step.packing import install, pack


def test_bytes_of_weights_are_those_of_a_loaded_model(name: str, base: Path) -> None:
    config = AutoConfig.from_pretrained(base)
    for dtype in ("float32", "bfloat16"):
        plain = ModelSection(model=str(base), dtype=dtype)
        section = plain.model_copy(update={"quantization": "nf4"})
        loaded = sum(parameter.nbytes for parameter in load_model(plain).parameters())
        assert weight_bytes(Skeleton(config), plain) == loaded
        model = load_model(section)
        assert weight_bytes(Skeleton(config), section) == nf4_bytes(model)


def nf4_bytes(model: Any) -> int:
    """Bytes of parameters, and of the constants that NF4 keeps beside them, without its lookup tables."""
    found: int = sum(parameter.nbytes for parameter in model.parameters())
    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            state = module.weight.quant_state
            found += state.absmax.nbytes + state.state2.absmax.nbytes
    return found


def test_bytes_of_the_embedded_models_weights() -> None:
    section = ModelSection(model="tiny", dtype="float32", quantization="nf4")
    model = load_model(section)
    assert weight_bytes(Skeleton(model.config), section) == nf4_bytes(model)


def test_the_adapter_has_as_many_parameters_as_peft_makes(name: str) -> None:
    model, _ = FAMILIES[name]()
    skeleton = Skeleton(model.config)
    for config in (
        lora(),
        LoraConfig(r=3, target_modules=["q_proj", "down_proj"]),
        LoraConfig(r=8, target_modules=r".*language_model.*\.(k|v)_proj|.*text_model.*\.(k|v)_proj"),
    ):
        fresh, _ = FAMILIES[name]()
        adapted = get_peft_model(fresh, config)
        trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
        assert adapter_parameters(skeleton, config) == trained


def test_memory_by_hand() -> None:
    """The embedded model: every part from the numbers in its configuration."""
    section = ModelSection(model="tiny", dtype="bfloat16")
    config = AutoConfig.from_pretrained(ROOT / "longvpo" / "tiny" / "checkpoint")
    text = config.text_config
    widths = (text.hidden_size, text.intermediate_size, text.num_attention_heads, text.num_key_value_heads)
    assert (*widths, text.num_hidden_layers) == (128, 256, 4, 4, 3)
    tokens, answers, pixels = 1000, 20, 5000
    skeleton = Skeleton(config)

    def parts(**options: Any) -> dict[str, int]:
        return step_memory(skeleton, section, lora(), tokens, answers, pixels, **{"checkpointing": True} | options)

    layer = tokens * (8 * 128 + 2 * (2 * 128 + 5 * 128 + 4 * 256 + 7 * 16 + answers))
    both = tokens * 2 * 2 * 128  # embeddings and features
    gradients, head = tokens * 2 * 2 * 256, 20 * text.vocab_size * (4 + 2)
    checked, kept = parts(), parts(checkpointing=False)
    assert checked["activations"] == tokens * 2 * 128 * 3 + both + max(layer + gradients, head)
    assert gradients > head
    assert kept["activations"] == 3 * layer + both + gradients
    assert checked["pixels"] == 4 * 5000
    parameters = 3 * 16 * (4 * (128 + 128) + 3 * (128 + 256))
    assert checked["adapter"] == 16 * parameters
    assert parts(frozen_copy=True)["adapter"] == 20 * parameters
    fixed = checked["weights"] + checked["adapter"]
    assert checked["total"] == fixed + max(checked["pixels"] + checked["vision"], checked["activations"])
    # two heads of queries share one of keys: keys and values are narrower, but a GPU repeats them for the answers
    text.num_key_value_heads = 2
    shared = step_memory(Skeleton(config), section, lora(), tokens, answers, pixels, checkpointing=True)
    assert shared["activations"] == checked["activations"] + tokens * 2 * (2 * 128 - 2 * (128 - 64))
    assert parts(batch=3)["activations"] > 2.9 * checked["activations"]
    assert parts(batch=3)["weights"] == checked["weights"]
    assert parts(batch=3)["pixels"] == checked["pixels"], "those of one triplet at a time"
    assert parts(encoded=0.25)["vision"] == pytest.approx(checked["vision"] / 4, abs=1)


@pytest.mark.parametrize("checkpointing", [True, False])
def test_activations_are_what_a_training_step_allocates(name: str, checkpointing: bool, tmp_path: Path) -> None:
    """In float32, on a CPU: up to a tenth off. Of rows over two processes: promises/test_long_rows.py."""
    peak, expected = allocated(name, checkpointing, tmp_path)
    assert peak == pytest.approx(expected, rel=0.1)


def test_a_layer_keeps_what_the_formula_says_in_nf4_under_autocast(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # PEFT asks only for the GPU's autocast, and keeps copies in float32 where there is none
    asked = torch.is_autocast_enabled
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: asked("cpu"))
    kept, expected = {}, {}
    for layers in (3, 4):
        for part in wider(name, layers):
            part.save_pretrained(tmp_path / f"{layers}")
        section = ModelSection(model=str(tmp_path / f"{layers}"), dtype="bfloat16", quantization="nf4")
        model = load_model(section)
        adapted = get_peft_model(model, lora())
        assert install(model) is None
        for tokens in (16, 400, 800):  # first, bitsandbytes lays NF4 out anew for the CPU
            ids = torch.ones((2, tokens - 3), dtype=torch.long)
            answers = torch.zeros_like(ids)
            answers[:, -4:] = 1
            packed = pack(ids, answers, torch.ones_like(ids), torch.arange(tokens - 3).expand(1, 2, -1))
            assert packed["input_ids"].shape == (1, tokens + 1 - 1)
            live = Live([*adapted.parameters(), *adapted.buffers()])
            with torch.autocast("cpu", torch.bfloat16), live:
                result = model.base_model(**packed, use_cache=False)
            kept[layers, tokens] = live.now
            del result
            expected[layers, tokens] = step_memory(
                Skeleton(model.config), section, lora(), tokens, 8, 0, checkpointing=False
            )["activations"]

    def a_token_and_layer(count: dict[tuple[int, int], int]) -> float:
        return (count[4, 800] - count[3, 800] - count[4, 400] + count[3, 400]) / 400

    assert a_token_and_layer(kept) == pytest.approx(a_token_and_layer(expected), rel=0.01)


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        # the files' sizes on the Hub, in GB, and bytes a parameter
        ("OpenGVLab/InternVL3-1B-hf", 1.88 / 2),
        ("HuggingFaceTB/SmolVLM2-2.2B-Instruct", (4.96 + 4.03) / 4),
        ("Qwen/Qwen2.5-VL-3B-Instruct", (3.98 + 3.53) / 2),
    ],
)
def test_released_configurations_have_as_many_parameters_as_the_released_weights(
    model: str, parameters: float
) -> None:
    config, _ = RELEASED[model]()
    section = ModelSection(model=model, dtype="bfloat16")
    assert weight_bytes(Skeleton(config), section) / 2e9 == pytest.approx(parameters, rel=0.003)
