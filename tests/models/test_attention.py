"""A recipe names the attention of language and vision apart, and one that is not here is refused in one line."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.trainers import train_recipe
from support.world import TINY
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from longvpo.errors import LongVPOError
from longvpo.models.load import check_model, load_model
from longvpo.recipe.sections import ModelSection
from longvpo.training.plan import plan_training
from longvpo.training.run import train

KERNEL = "kernels-community/by-hand"


def section(**attention: str) -> ModelSection:
    return ModelSection(**TINY.model_dump() | {"attention": attention})


def of(model: Any) -> tuple[str, str]:
    return model.config.text_config._attn_implementation, model.config.vision_config._attn_implementation


def test_language_and_vision_have_their_own() -> None:
    assert of(load_model(TINY)) == ("sdpa", "sdpa")
    assert of(load_model(section(language="eager"))) == ("eager", "sdpa")
    assert of(load_model(section(vision="eager"))) == ("sdpa", "eager")
    assert of(load_model(section(language="sdpa", vision="eager"))) == ("sdpa", "eager")


@pytest.mark.parametrize(
    ("name", "gpu", "dtype", "texts"),
    [
        ("flash_attention_2", False, "bfloat16", ["needs a GPU, and PyTorch sees none"]),
        ("kernels-community/flash-attn3", False, "bfloat16", ["needs a GPU, and PyTorch sees none"]),
        ("flash_attention_2", True, "float32", ["bfloat16 and float16, and `dtype` is float32"]),
        ("flash_attention_2", True, "bfloat16", ["FlashAttention2", "installed"]),
        ("flash_attention_3", True, "bfloat16", ["FlashAttention3", "installed"]),
        ("kernels-community/flash-attn3", True, "bfloat16", ["kernels", "pip install"]),
    ],
)
@pytest.mark.parametrize("part", ["language", "vision"])
def test_what_is_not_here_is_refused_before_weights_are_loaded(
    part: str, name: str, gpu: bool, dtype: Any, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    for package in ("flash_attn", "flash_attn_interface", "kernels"):
        monkeypatch.setitem(sys.modules, package, None)
    wanted = section(**{part: name}).model_copy(update={"dtype": dtype})
    with pytest.raises(LongVPOError) as refused:
        check_model(wanted)
    said = str(refused.value)
    assert "\n" not in said
    for text in (f"cannot have attention.{part}={name} here: ", "Set it to sdpa, or leave it out", *texts):
        assert text in said
    monkeypatch.setattr("transformers.modeling_utils.load_state_dict", None)
    with pytest.raises(LongVPOError, match="cannot have attention"):
        load_model(wanted)


def test_a_training_and_its_dry_run_refuse_it(dataset: Path, world: Path, tmp_path: Path) -> None:
    recipe = train_recipe(dataset, world, "base.attention.language=flash_attention_2")
    with pytest.raises(LongVPOError, match=r"attention.language=flash_attention_2 here"):
        plan_training(recipe)
    with pytest.raises(LongVPOError, match=r"attention.language=flash_attention_2 here"):
        train(recipe, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


@pytest.mark.parametrize("name", ["flash", "flash_attention_9", "a/b/c", "", "longvpo_pairs_sdpa"])
def test_an_unknown_word_is_an_error_of_the_recipe(name: str, dataset: Path, world: Path) -> None:
    with pytest.raises(LongVPOError, match=r"base.attention.vision.* is not a known attention: set it to sdpa"):
        train_recipe(dataset, world, f"base.attention.vision={name!r}")


def test_a_kernel_of_the_hub_goes_to_the_part_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that transformers fetched and registered under its name in the Hub."""
    for interface in (AttentionInterface, AttentionMaskInterface):
        monkeypatch.setattr(interface, "_global_mapping", dict(interface._global_mapping))
        interface.register(KERNEL, interface()["sdpa"])
    kernel = SimpleNamespace(flash_attn_func=None, flash_attn_varlen_func=lambda: None)
    monkeypatch.setattr(
        "transformers.integrations.hub_kernels.load_and_register_attn_kernel", lambda *args, **kwargs: kernel
    )
    assert of(load_model(section(language=KERNEL))) == (KERNEL, "sdpa")
