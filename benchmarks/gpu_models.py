"""Models of random weights, made from their configurations where they stay: what the benchmarks on a GPU share."""

from __future__ import annotations

import copy
import gc
from typing import Any

import step_parts
import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"


def internvl(tiny: bool) -> tuple[Any, Any]:
    """The configuration of InternVL3-8B, which is InternViT-300M and Qwen2.5-7B, or of a tiny one; its processor."""
    step_parts.SIDE = 112 if tiny else 448  # the processor reads it, too
    _, processor = step_parts.small_internvl()
    side, tokenizer = step_parts.SIDE, processor.tokenizer
    text = {
        "model_type": "qwen2",
        "vocab_size": 1024 if tiny else 151_674,
        "hidden_size": 256 if tiny else 3584,
        "num_hidden_layers": 4 if tiny else 28,
        "num_attention_heads": 8 if tiny else 28,
        "num_key_value_heads": 4,
        "intermediate_size": 768 if tiny else 18_944,
        "max_position_embeddings": 131_072,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": False,
    }
    vision = {
        "hidden_size": 128 if tiny else 1024,
        "num_hidden_layers": 2 if tiny else 24,
        "num_attention_heads": 4 if tiny else 16,
        "intermediate_size": 256 if tiny else 4096,
        "image_size": [side, side],
        "patch_size": [14, 14],
    }
    config = transformers.InternVLConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=processor.image_seq_length,
        tie_word_embeddings=False,
    )
    return config, processor


def built(config: Any, nf4: bool, dtype: torch.dtype = torch.bfloat16 if CUDA else torch.float32) -> Any:
    """Random weights, made where they stay."""
    config = copy.deepcopy(config)  # a model writes the name of its attention into it
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(DEVICE):
            model = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)](config)
    finally:
        torch.set_default_dtype(before)
    for name, parameter in model.named_parameters():  # transformers' 0.02 is too small for so many layers to differ
        if parameter.ndim == 2 and "embed" not in name:
            torch.nn.init.normal_(parameter.data, std=parameter.shape[1] ** -0.5)
    if nf4:
        put_in_nf4(model.model.language_model)
        model.is_loaded_in_4bit = True  # PEFT and TRL ask for it
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    emptied()
    return model.eval()


def put_in_nf4(part: torch.nn.Module) -> None:
    """Put the linear layers of a part of a model into NF4, one by one."""
    for module in list(part.modules()):
        for child, linear in list(module.named_children()):
            if isinstance(linear, torch.nn.Linear):
                setattr(module, child, _in_nf4(linear))


def _in_nf4(linear: torch.nn.Linear) -> Any:
    import bitsandbytes

    found = bitsandbytes.nn.Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=linear.bias is not None,
        compute_dtype=linear.weight.dtype,
        quant_type="nf4",
        device="meta",
    )
    found.weight = bitsandbytes.nn.Params4bit(
        linear.weight.data, requires_grad=False, quant_type="nf4", quant_storage=torch.uint8
    ).to(DEVICE)
    if linear.bias is not None:
        found.bias = torch.nn.Parameter(linear.bias.data, requires_grad=False)
    return found


def emptied() -> None:
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()
