"""Memory of a training step, from arithmetic: a base's configuration and the length of a row, and no weights.

Parameters are counted on a skeleton of the base on torch's meta device. b is the bytes of the base's `dtype`. d, L, i
are the language model's width, layers and MLP width. q, k are the widths of all its query heads and of all its key
heads. r is the adapter's rank. v, w are the widths of the vision blocks and of their MLPs. A row has T tokens, A of
them in its answers. The parts in bytes are:

    weights       NF4: n/2 + n/64 + n/4096 for a linear layer of n weights in the language model (4 bits, a byte of
                  scale for 64 of them, a float32 for 256 of these); n b for all others
    adapter       16 a parameter: weight, gradient and AdamW's two moments in float32; 4 more for a frozen copy
    pixels        4 each: float32, those of one triplet, there while the vision side encodes them; all others wait on
                  the CPU
    vision        b a pixel, and for each patch b max(m w + 6 v, 8 v), with m = 2, or 3 where MLPs are gated, and 20
                  in place of 8 where positions are rotary: those are computed in float32. The vision side runs
                  without gradients and before the language model
    vision_kept   where the vision side has adapters: what autograd keeps of it until the end of the step. For each
                  patch of each of its blocks b (8 v + 2 (m - 1) w + r n), n its adapters; 3 b v more where positions
                  are rotary, 6 v more where b is less than 4; with gradient checkpointing only b v. For what leads
                  to the language model 4 b v a patch, once for each of its layers that takes features
    layer         T (8 d + 2 b d + 3 b q + 2 b k + 4 b i + 7 b r + b A): what autograd keeps of a layer. Its norms in
                  float32 and their outputs; queries, keys, values, what attention returns and a copy; four tensors
                  of the MLP; what lies between the adapter's matrices; the answers' mask. Norms of queries and keys,
                  where there are some: T (4 q + 4 k). Where heads share keys, a GPU has keys and values once more,
                  repeated for the answers: T 2 b q
    activations   with gradient checkpointing T b d L + layer: the layers' inputs, and one layer made anew. Without,
                  L layer. In both T 2 b d for embeddings and features of the video, T 2 b i for two gradients and, in
                  NF4, b d i for the weights of one linear layer in full. With `mlp_tokens` the terms in i are of that
                  many tokens, and of one layer. Where N processes compute a row together (ulysses.py), each has T / N
                  tokens of all this, but whole embeddings, features and answers' mask
    head          min(A V, 2^23) c, with V the vocabulary, and c = 4, or 4 + b where b is less: only answers are
                  scored, tile by tile (scoring.py). Activations have it in place of T 2 b i, and of the layer made
                  anew, where it is larger
    total         weights + adapter + vision_kept + the larger of pixels + vision and activations

Attention is taken to hold no tokens x tokens, as sdpa on a GPU does not. CUDA itself, fragments of memory, optimisers
other than AdamW in float32, and `training.bf16: false` over another dtype than float32 are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longvpo.models.memory import (
    CONNECTOR,
    Skeleton,
    blocks_of,
    features_taken,
    linear_layers,
    vision_bytes,
    weight_bytes,
)
from longvpo.recipe.sections import ModelSection

if TYPE_CHECKING:
    from peft import LoraConfig

TILE = 2**23  # logits that are computed at once: 32 MB in float32


def step_memory(
    skeleton: Skeleton,
    base: ModelSection,
    lora: LoraConfig,
    tokens: int,
    answers: int,
    pixels: int,
    *,
    checkpointing: bool,
    batch: int = 1,
    frozen_copy: bool = False,
    encoded: float = 1.0,
    mlp_tokens: int | None = None,
    together: int = 1,
) -> dict[str, int]:
    """Bytes on the device in a training step: weights, adapter, pixels, vision, activations and the total, and
    vision_kept, where the vision side has adapters.

    Args:
        lora: the adapter's peft.LoraConfig.
        tokens, answers, pixels: those of the longest row; pixels are the numbers that the processor makes of frames.
        checkpointing: whether gradients are checkpointed.
        batch: rows a micro-batch, all taken to be as long as this one. A step that accumulates takes no more:
            gradients are the adapter's, and pixels of later micro-batches wait on the CPU.
        frozen_copy: training starts from an adapter, whose copy is the reference.
        encoded: share of a row's frames that the vision side encodes at once.
        mlp_tokens: tokens that go through an MLP at once; None: all.
        together: processes that compute each row together.
    """
    import torch

    b = getattr(torch, base.dtype).itemsize
    text, row = skeleton.text, tokens * batch
    tokens = -(-row // together)
    d, i, layers = text.hidden_size, text.intermediate_size, text.num_hidden_layers
    size = getattr(text, "head_dim", None) or d // text.num_attention_heads
    q, k = size * text.num_attention_heads, size * text.num_key_value_heads
    layer = 8 * d + b * (2 * d + 3 * q + 2 * k + 7 * lora.r + answers * together)
    layer += 4 * (q + k) * any(name.endswith("q_norm") for name in skeleton.language)
    layer += 2 * b * q * (q != k)
    wide = min(tokens, mlp_tokens or tokens)  # tokens of one MLP that are there at once
    layer += 4 * b * i * (wide == tokens)
    inputs, anew = (b * d * layers, layer) if checkpointing else (layer * layers, 0)
    mlp = b * i * wide * (2 if wide == tokens else 6)
    head = min(answers * batch * text.vocab_size, TILE) * (4 if b == 4 else 4 + b)
    parts = {
        "weights": weight_bytes(skeleton, base),
        "adapter": adapter_parameters(skeleton, lora) * (20 if frozen_copy else 16),
        "pixels": 4 * pixels,
    }
    kept = round(pixels * batch * vision_kept(skeleton, lora, b, checkpointing))
    if kept:  # an adapter that lies there already may have some on the vision side, too
        parts["vision_kept"] = kept
    vision = round(pixels * encoded * vision_bytes(skeleton, b))
    activations = tokens * inputs + row * b * d * (1 + features_taken(skeleton)) + max(tokens * anew + mlp, head)
    activations += b * d * i * (base.quantization == "nf4")
    total = sum(parts.values()) + max(vision, activations - parts["pixels"])
    return parts | {"vision": vision, "activations": activations, "total": total}


def adapter_parameters(skeleton: Skeleton, lora: LoraConfig) -> int:
    """r (inputs + outputs) of every linear layer that PEFT adapts."""
    adapted = adapted_layers(skeleton.language | skeleton.vision, lora).values()
    return sum(lora.r * (module.in_features + module.out_features) for module in adapted)


def adapted_layers(modules: dict[str, Any], lora: LoraConfig) -> dict[str, Any]:
    """The linear layers that PEFT adapts, by name."""
    from peft.tuners.tuners_utils import check_target_module_exists

    return {name: one for name, one in linear_layers(modules).items() if check_target_module_exists(lora, name)}


def vision_kept(skeleton: Skeleton, lora: LoraConfig, b: int, checkpointing: bool) -> float:
    """Bytes that autograd keeps of the vision side, for each number in the pixels; 0 where it has no adapter."""
    adapted = adapted_layers(skeleton.vision, lora)
    if not adapted:
        return 0.0
    numbers, v, w, m, number, rotary = blocks_of(skeleton)
    leads = 4 * b * v * features_taken(skeleton)
    if not any(map(_in_block, adapted)):
        return leads / numbers
    block = b * (8 * v + 2 * (m - 1) * w + 3 * v * rotary + lora.r * len(adapted) / number) + 6 * v * (b < 4)
    return (leads + number * (b * v if checkpointing else block)) / numbers


def _in_block(name: str) -> bool:
    """Whether a layer is one of the vision tower's, and not of what leads from it to the language model."""
    return not {*name.split(".")} & {*CONNECTOR}
