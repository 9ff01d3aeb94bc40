"""Two causal calls give what the mask gives, and a flash attention by another name is called by its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.families import FAMILIES
from support.trainers import difference, make_trainer, step
from torch.nn.attention.bias import causal_lower_right
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from longvpo.training.step import packing
from longvpo.training.step.answers import by_mask, in_two_calls
from longvpo.training.step.packing import pair_mask

FLASH = "flash_attention_by_hand"


def found(prompt: int, chosen: int, rejected: int, two: bool) -> list[torch.Tensor]:
    """The output for one pair, and the gradients of queries, keys and values."""
    torch.manual_seed(0)
    states = [torch.randn(1, heads, prompt + chosen + rejected, 16, requires_grad=True) for heads in (6, 2, 2)]

    def causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        bias = causal_lower_right(q.shape[2], k.shape[2])
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, bias, enable_gqa=True).transpose(1, 2)

    mask = pair_mask(prompt, chosen, rejected, torch.device("cpu"))
    parts = in_two_calls(causal, *states, prompt, chosen) if two else [by_mask(*states, prompt, mask)]
    output = torch.cat(parts, 1)
    (output * torch.randn(output.shape)).sum().backward()
    return [output.detach(), *(one.grad for one in states if one.grad is not None)]


@pytest.mark.parametrize("lengths", [(40, 5, 7), (0, 3, 2), (9, 1, 1), (30, 8, 1)])
def test_two_causal_calls_are_the_mask(lengths: tuple[int, int, int]) -> None:
    for one, expected in zip(found(*lengths, two=True), found(*lengths, two=False), strict=True):
        assert (one - expected).norm() < 1e-6 * expected.norm()


def by_hand(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **kwargs: Any
) -> tuple[torch.Tensor, None]:
    """flash_attention_2 as transformers calls it: causal from the bottom right, kernels by the configured name."""
    assert module.config._attn_implementation == FLASH
    assert module.is_causal
    assert kwargs.get("is_causal") is not False
    mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).tril(key.shape[2] - query.shape[2])
    found = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, mask, scale=kwargs["scaling"], enable_gqa=True
    )
    return found.transpose(1, 2), None


@pytest.mark.parametrize("name", ["internvl", "qwen3_vl"])
def test_with_flash_attention_answers_go_through_it_too(
    name: str, batch: list[dict[str, Any]], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masked = make_trainer(name, batch, world, tmp_path / "sdpa")
    expected, expected_gradients, _ = step(masked, batch, packed=True)
    for interface, what in ((AttentionInterface, by_hand), (AttentionMaskInterface, None)):
        monkeypatch.setattr(interface, "_global_mapping", dict(interface._global_mapping))
        interface.register(FLASH, what or interface()["flash_attention_2"])

    def flash() -> Any:
        model, processor = FAMILIES[name]()
        model.set_attn_implementation({"text_config": FLASH})
        return model, processor

    monkeypatch.setitem(FAMILIES, "flash", flash)
    monkeypatch.setattr(packing, "by_mask", None)
    trainer = make_trainer("flash", batch, world, tmp_path / "flash")
    assert trainer.packed
    loss, gradients, _ = step(trainer, batch, packed=True)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert difference(gradients, expected_gradients) < 1e-5
