"""The attention of a model by its recipe, for language and vision apart, refused where this machine lacks it.

The rule: no table of families. A model's configuration says which of its parts is the language model.
"""

from __future__ import annotations

import copy
from typing import Any

from longvpo.errors import LongVPOError, first_line
from longvpo.recipe.sections import ModelSection


def attention_of(section: ModelSection, kind: Any, config: Any) -> dict[str, Any]:
    """What from_pretrained takes for `attention`, tried on the model without weights.

    Args:
        kind: the class that loads the model.

    Raises:
        LongVPOError: the model, or this machine, lacks that attention.
    """
    text = config.get_text_config()
    named = {} if section.attention is None else section.attention.model_dump(exclude_none=True)
    if "vision" in named and config is text:
        raise LongVPOError(f"{section.model} takes no pictures: leave its attention.vision out")
    chosen: dict[str, str] = {}
    for part, name in named.items():
        keys = [key for key in config.sub_configs if (getattr(config, key) is text) == (part == "language")]
        wanted = name if config is text else dict.fromkeys(keys, name)
        why = _why_not(section, kind, config, name, wanted)
        if why:
            raise LongVPOError(
                f"{section.model} cannot have attention.{part}={name} here: {why.rstrip('.')}. Set it to sdpa, or "
                "leave it out for the model's own choice"
            )
        if config is text:
            return {"attn_implementation": name}
        chosen |= wanted
    return {"attn_implementation": chosen} if chosen else {}


def attends_to_all(config: Any) -> bool:
    """Whether all layers of a language model attend to everything before, by its configuration."""
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return hasattr(config, "num_attention_heads") and getattr(config, "sliding_window", None) is None
    return set(kinds) == {"full_attention"}


def _why_not(section: ModelSection, kind: Any, config: Any, name: str, wanted: Any) -> str | None:
    import torch

    if "flash" in name and not torch.cuda.is_available():
        return "flash attention needs a GPU, and PyTorch sees none"
    if "flash" in name and section.dtype == "float32":
        return "flash attention takes bfloat16 and float16, and `dtype` is float32"
    try:
        with torch.device("meta"):
            kind.from_config(copy.deepcopy(config), dtype=getattr(torch, section.dtype), attn_implementation=wanted)
    except Exception as error:  # errors of transformers, kernels and the Hub have no common base
        return first_line(error)
    return None
