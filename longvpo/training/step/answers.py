"""The attention of a pair's answer tokens, which is not a square: few queries, and the whole prompt before them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import repeat_kv

Causal = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def in_two_calls(
    causal: Causal, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, prompt: int, chosen: int
) -> list[torch.Tensor]:
    """What the answer tokens of a pair attend to, an answer at a time: (1, tokens, heads, size) of each.

    Args:
        causal: attention, (1, heads, tokens, size) to (1, tokens, heads, size), whose last query sees the last key,
            the query before it one key less.
        q, k, v: queries, keys and values of the pair's part of the row; keys and values may have fewer heads.
    """
    middle = prompt + chosen
    others = (torch.cat([states[:, :, :prompt], states[:, :, middle:]], 2) for states in (k, v))
    return [
        causal(q[:, :, prompt:middle], k[:, :, :middle], v[:, :, :middle]),
        causal(q[:, :, middle:], *others),
    ]


def by_mask(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    prompt: int,
    mask: torch.Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """The same by SDPA and a mask, both answers at once: (1, tokens, heads, size).

    SDPA could take two causal calls as well (`causal_lower_right`), without keys and values repeated. On an H200 in
    bfloat16 that took 1.15 to 1.29 times as long at 17,000 to 68,000 tokens (benchmarks/answers_attention.py). It
    needed 0.87 of the memory of this call. On a CPU it took 1.0 to 1.4 times as long.
    """
    grouped = q.shape[1] != k.shape[1]
    if grouped and q.device.type != "cpu":  # the kernels that take a mask take no grouped heads
        k, v = (repeat_kv(states, q.shape[1] // states.shape[1]) for states in (k, v))
        grouped = False
    found = scaled_dot_product_attention(
        q[:, :, prompt:], k, v, attn_mask=mask, scale=scaling, dropout_p=dropout, enable_gqa=grouped
    )
    return found.transpose(1, 2)
