"""A packed row over several processes (DeepSpeed-Ulysses, arXiv 2309.14509): each has a part of its tokens.

Every process of a group embeds the whole row with its video features. It keeps its part of the tokens: T / N tokens,
of which the last may be padding. All that takes tokens one by one stays as it is. Attention needs all tokens, but not
all heads. Before it, parts of the tokens with all heads become all tokens with a part of the heads. After it, they
change back. Behind the last layer only the hidden states from which answers are predicted are brought together.

Positions are made of the whole row, and then cut: with dynamic scaling they depend on its length.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from transformers.integrations.sdpa_attention import repeat_kv

from longvpo.models.load import LANGUAGE
from longvpo.training.groups import Group, swap, total


def install(model: Any, group: Group) -> None:
    """Let a model's language model compute its part of a packed row, which is one with `pairs`.

    The rule: no table of families. What a language model is given a token is cut by its shape.
    """
    text = next(part for name, part in model.named_modules() if name.endswith(LANGUAGE))
    plain, cutting = text.forward, [False]

    @functools.wraps(plain)
    def forward(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("pairs") is None:
            return plain(*args, **kwargs)
        embedded = kwargs.pop("inputs_embeds")
        cutting[0] = True
        try:
            return plain(*args, inputs_embeds=mine(embedded, 1, group), **_deeper(kwargs, embedded.shape[1], group))
        finally:
            cutting[0] = False

    def cut(module: Any, args: Any, output: Any) -> Any:
        """Cosines and sines (..., tokens, size)."""
        return tuple(mine(one, -2, group) for one in output) if cutting[0] else output

    text.forward = forward
    for module in text.modules():
        if hasattr(module, "rope_type"):
            module.register_forward_hook(cut)


def _deeper(kwargs: dict[str, Any], tokens: int, group: Group) -> dict[str, Any]:
    """This process's part of the features for a model's first layers (Qwen3-VL): a mask (1, tokens) of their places,
    and for each layer (places, size)."""
    found = dict(kwargs)
    for name, mask in kwargs.items():
        if not torch.is_tensor(mask) or mask.dtype != torch.bool or mask.shape != (1, tokens):
            continue
        found[name] = mine(mask, 1, group)
        start = group.rank * part_of(tokens, group)
        first, count = int(mask[:, :start].sum()), int(found[name].sum())
        for other, layers in kwargs.items():
            if isinstance(layers, list) and layers and torch.is_tensor(layers[0]) and len(layers[0]) == mask.sum():
                found[other] = [layer[first : first + count] for layer in layers]
    return found


def part_of(tokens: int, group: Group) -> int:
    """Tokens of each process, the last ones perhaps padding."""
    return -(-tokens // group.size)


def mine(states: torch.Tensor, axis: int, group: Group) -> torch.Tensor:
    """This process's part of the tokens, which lie along one axis, with zeros behind the row's end."""
    tokens = states.shape[axis]
    length = part_of(tokens, group)
    start = min(group.rank * length, tokens)
    part = states.narrow(axis, start, min(length, tokens - start))
    lack = length - part.shape[axis]
    if not lack:
        return part
    shape = list(part.shape)
    shape[axis] = lack
    return torch.cat([part, part.new_zeros(shape)], axis)


def turned(states: torch.Tensor, group: Group) -> torch.Tensor:
    """(1, a, b, size) of each process to (1, a / N, b N, size): the second dimension is split, the third joined.

    So heads and tokens change places. (1, heads, part of tokens, size) becomes (1, part of heads, tokens, size). (1,
    tokens, part of heads, size) becomes (1, part of tokens, heads, size).
    """
    parts = states.unflatten(1, (group.size, -1)).transpose(0, 1)
    return swap(parts, group).permute(1, 2, 0, 3, 4).flatten(2, 3)


def by_heads(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, group: Group
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A part of the tokens with all heads becomes all tokens with a part of the heads. Heads of keys and values that
    are too few for the group are repeated as often as it takes."""
    shared = query.shape[1] // key.shape[1]
    times = next(n for n in range(1, shared + 1) if shared % n == 0 and key.shape[1] * n % group.size == 0)
    return turned(query, group), turned(repeat_kv(key, times), group), turned(repeat_kv(value, times), group)


def by_tokens(result: torch.Tensor, tokens: int, group: Group) -> torch.Tensor:
    """What attention gives of the row, (1, row, part of heads, size), becomes (1, part of tokens, heads, size).

    Args:
        tokens: those of the row and the padding behind it.
    """
    padding = result.new_zeros(1, tokens - result.shape[1], *result.shape[2:])
    return turned(torch.cat([result, padding], 1), group)


def picked(hidden: torch.Tensor, places: torch.Tensor, group: Group) -> torch.Tensor:
    """Hidden states (places, size) at places of the row, in every process, from each one's part (1, tokens, size)."""
    start = group.rank * hidden.shape[1]
    here = (places >= start) & (places < start + hidden.shape[1])
    found = hidden[0, (places - start).clamp(0, hidden.shape[1] - 1)]
    return total(found * here[:, None], group)
