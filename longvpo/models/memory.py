"""Memory of a base and of a question to it, from arithmetic: its configuration, and no weights.

Parameters are counted on a skeleton of the base on torch's meta device. The parts below are in bytes. b is the bytes
per number of the base's `dtype`. d, L and i are the language model's width, layers and MLP width. k is the width of
all its key heads. T is the tokens of a batch of questions.

    weights   NF4: n/2 + n/64 + n/4096 for a linear layer of n weights in the language model (4 bits, a byte of scale
              for 64 of them, a float32 for 256 of these); n b for all others
    vision    b a pixel, and what each patch takes, as in training/memory.py: it runs before the language model
    cache     T 2 k b L: keys and values of all layers
    layer     T b (3 i + 5 d): three tensors of an MLP, and those of the width of the model: five, by what an H100 held
    total     weights + the larger of vision and cache + layer

CUDA itself, fragments of memory and the tokens of the answers are left out.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from longvpo.models.load import LANGUAGE, NO_CODE, loading, model_path
from longvpo.recipe.sections import ModelSection

# names under which families keep what maps features of the vision tower to the language model's width
CONNECTOR = ("multi_modal_projector", "connector", "merger", "deepstack_merger_list")


class Skeleton:
    """A base without weights: its modules by name, those of the language model apart."""

    def __init__(self, config: Any) -> None:
        import torch
        from transformers import AutoModelForImageTextToText

        with torch.device("meta"):
            self.model = AutoModelForImageTextToText.from_config(config)
        self.config, self.text = config, config.get_text_config()
        modules = dict(self.model.named_modules())
        # such as model.language_model.layers.0.self_attn.q_proj
        self.language = {name: module for name, module in modules.items() if {*name.split(".")[:2]} & {*LANGUAGE}}
        self.vision = {name: module for name, module in modules.items() if name not in self.language}


def skeleton_of(base: ModelSection) -> Skeleton:
    """A base without weights. Raises LongVPOError when its configuration cannot be had."""
    from transformers import AutoConfig

    with loading(base.model):
        return Skeleton(AutoConfig.from_pretrained(model_path(base.model), revision=base.revision, **NO_CODE))


def question_memory(skeleton: Skeleton, base: ModelSection, tokens: int, pixels: int) -> dict[str, int]:
    """Bytes on the device while questions are answered: weights, vision, cache, layer and the total.

    Args:
        tokens, pixels: those of all questions of a batch, padding included; pixels are the numbers that the processor
            makes of frames.
    """
    import torch

    b, text = getattr(torch, base.dtype).itemsize, skeleton.text
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    parts = {
        "weights": weight_bytes(skeleton, base),
        "vision": round(pixels * vision_bytes(skeleton, b)),
        "cache": 2 * tokens * b * size * text.num_key_value_heads * text.num_hidden_layers,
        "layer": tokens * b * (3 * text.intermediate_size + 5 * text.hidden_size),
    }
    return parts | {"total": parts["weights"] + max(parts["vision"], parts["cache"] + parts["layer"])}


def weight_bytes(skeleton: Skeleton, base: ModelSection) -> int:
    """Bytes of the frozen base; NF4's lookup tables, a kilobyte a layer, are left out."""
    import torch

    b = getattr(torch, base.dtype).itemsize
    found: int = b * sum(parameter.numel() for parameter in skeleton.model.parameters())
    if base.quantization == "nf4":
        for module in linear_layers(skeleton.language).values():
            n = module.weight.numel()
            found += n // 2 + -(-n // 64) + 4 * -(-n // (64 * 256)) - b * n
    return found


class _Blocks(NamedTuple):
    """The blocks of a vision side, by its modules' own widths."""

    numbers: int  # in the pixels of a patch
    v: int
    w: int
    m: int
    number: int
    rotary: bool


def blocks_of(skeleton: Skeleton) -> _Blocks:
    from torch.nn import Conv2d, Conv3d

    patch = next(module for module in skeleton.vision.values() if isinstance(module, Conv2d | Conv3d))
    v = patch.out_channels
    shapes = Counter(tuple(module.weight.shape) for module in linear_layers(skeleton.vision).values())
    # the pair of linear layers that widen and narrow again, in every block
    w = max((out for out, into in shapes if out > into == v and (into, out) in shapes), default=v)
    m = 1 + shapes[w, v] // max(shapes[v, w], 1)
    rotary = any("rotary" in name for name in skeleton.vision)
    return _Blocks(patch.weight[0].numel(), v, w, m, shapes[v, w], rotary)


def vision_bytes(skeleton: Skeleton, b: int) -> float:
    """Bytes at the vision side's peak, for each number in the pixels."""
    numbers, v, w, m, _, rotary = blocks_of(skeleton)
    return b + b * max(m * w + 6 * v, (20 if rotary else 8) * v) / numbers


def features_taken(skeleton: Skeleton) -> int:
    """Layers of the language model that take features: some models (Qwen3-VL) feed later ones too."""
    return 1 + len(getattr(skeleton.config.vision_config, "deepstack_visual_indexes", ()))


def linear_layers(modules: dict[str, Any]) -> dict[str, Any]:
    from torch.nn import Linear

    return {name: module for name, module in modules.items() if isinstance(module, Linear)}


def gigabytes(count: int) -> float:
    """Gigabytes of 10^9 bytes, to three digits."""
    return float(f"{count / 1e9:.3g}")
