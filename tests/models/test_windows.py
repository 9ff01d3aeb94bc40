"""Windows of a length go through one call, and give what they give one by one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from support.families import FAMILIES

from longvpo.models import windows
from longvpo.models.load import load_model
from longvpo.recipe.sections import ModelSection

# grids of frames and patches; windows of 8 x 8 patches, smaller ones at the edges
GRIDS = torch.tensor([[4, 20, 28], [2, 16, 16]])


def features(model: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Features of two videos, gradients of the vision side, and how often SDPA was called."""
    calls = 0
    plain = torch.nn.functional.scaled_dot_product_attention

    def counted(*args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return plain(*args, **kwargs)

    config = model.config.vision_config
    size = 3 * config.temporal_patch_size * config.patch_size**2
    pixels = torch.randn(int(GRIDS.prod(1).sum()), size, generator=torch.Generator().manual_seed(0))
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
        rows = model.get_video_features(pixels, GRIDS, return_dict=True).pooler_output
    rows = torch.cat(tuple(rows))
    (rows * torch.linspace(-1, 1, rows.numel()).view_as(rows)).sum().backward()
    gradients = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    return rows.detach(), torch.cat(gradients), calls


@pytest.mark.parametrize(
    ("name", "scores", "before", "after"),
    [
        ("qwen2_5_vl", windows.SCORES, 56 + 6, 3 + 2),  # in windows, and in frames
        ("qwen2_5_vl", 20 * 64 * 64, 56 + 6, 4 + 6),
        ("qwen3_vl", windows.SCORES, 3 * 6, 3 * 2),
        ("qwen3_vl", 1, 3 * 6, 3 * 6),
    ],
)
def test_windows_of_a_length_are_one_call_of_bounded_size(
    name: str, scores: int, before: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = FAMILIES[name]()
    expected, expected_gradients, calls = features(copy.deepcopy(model), monkeypatch)
    assert calls == before
    windows.install(model)
    monkeypatch.setattr(windows, "SCORES", scores)
    found, gradients, calls = features(model, monkeypatch)
    assert (found - expected).norm() < 1e-6 * expected.norm()
    assert (gradients - expected_gradients).norm() < 1e-5 * expected_gradients.norm()
    assert calls == after


@pytest.mark.parametrize("name", FAMILIES)
def test_every_model_that_is_loaded_has_it_where_it_has_windows(name: str, tmp_path: Path) -> None:
    model, processor = FAMILIES[name]()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = load_model(ModelSection(model=str(tmp_path), dtype="float32"))
    names = {getattr(one.config, "_attn_implementation", "") for one in loaded.modules() if hasattr(one, "config")}
    assert (windows.NAME in names) == name.startswith("qwen")
    assert loaded.config.vision_config._attn_implementation == "sdpa"
    assert loaded.config.text_config._attn_implementation == "sdpa"
    type(loaded)(loaded.config)  # another one can be made from its configuration
