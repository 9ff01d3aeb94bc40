"""MLPs of a language model, some tokens at a time: what lies between their matrices is never there for a whole row.

A layer's MLP is several times wider than the layer, and autograd keeps four such tensors of every token. Each token
goes through it by itself. So it is taken in tiles, each checkpointed: the result is the same, computed once more.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from longvpo.errors import LongVPOError
from longvpo.models.load import is_language


def install(model: Any, tokens: int) -> None:
    """Let the MLPs of a model's language layers take `tokens` at a time.

    The rule: no table of families. An MLP is the parent of a linear layer that narrows from the MLP's width.

    Raises:
        LongVPOError: there are none.
    """
    text = model.config.get_text_config()
    shape = (text.intermediate_size, text.hidden_size)
    modules = dict(model.named_modules())  # PEFT's linear layers have the widths of those within
    narrow = (name for name, one in modules.items() if shape == (_width(one, "in"), _width(one, "out")))
    names = {name.rpartition(".")[0] for name in narrow if is_language(name) and not name.endswith(".base_layer")}
    if not names:
        raise LongVPOError(f"mlp_tokens: {type(model).__name__} has no MLPs of one width: leave mlp_tokens out")
    for name in names:
        modules[name].forward = partial(_tiled, modules[name].forward, tokens)


def _width(module: Any, side: str) -> Any:
    return getattr(module, f"{side}_features", None)


def _tiled(plain: Any, tokens: int, x: torch.Tensor) -> torch.Tensor:
    """An MLP of hidden states (rows, tokens, width)."""
    if x.shape[1] <= tokens:
        return plain(x)
    once_more = partial(checkpoint, plain, use_reentrant=False) if torch.is_grad_enabled() else plain
    return torch.cat([once_more(tile) for tile in x.split(tokens, 1)], 1)
