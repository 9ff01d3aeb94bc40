"""The attention of a pair's answer tokens, which is no square: few queries, and all the prompt before them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.backends.cuda import SDPAParams, can_use_flash_attention
from torch.nn.attention.bias import causal_lower_right
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
        q, k, v: of the pair's part of the row; keys and values may have fewer heads.
    """
    middle = prompt + chosen
    others = (torch.cat([states[:, :, :prompt], states[:, :, middle:]], 2) for states in (k, v))
    return [
        causal(q[:, :, prompt:middle], k[:, :, :middle], v[:, :, :middle]),
        causal(q[:, :, middle:], *others),
    ]


def sdpa_answers(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    prompt: int,
    chosen: int,
    mask: torch.Tensor,
    scaling: float | None,
    dropout: float,
) -> list[torch.Tensor]:
    """What the answer tokens of a pair attend to by SDPA: (1, tokens, heads, size), in one part or in two.

    On the CPU the mask is as quick, and its kernel takes grouped heads. On a GPU a mask keeps flash away, and keys and
    values must be repeated: there it is left to what flash cannot do, such as float32.
    """
    if torch.is_autocast_enabled(q.device.type):  # which knows SDPA, and not what `causal_lower_right` calls
        q, k, v = (states.to(torch.get_autocast_dtype(q.device.type)) for states in (q, k, v))
    grouped = q.shape[1] != k.shape[1]
    if flash_takes(q, k, v, dropout, grouped):

        def causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            bias = causal_lower_right(q.shape[2], k.shape[2])
            found = scaled_dot_product_attention(q, k, v, bias, dropout, scale=scaling, enable_gqa=grouped)
            return found.transpose(1, 2)

        return in_two_calls(causal, q, k, v, prompt, chosen)
    if grouped and q.device.type != "cpu":  # the kernels that take a mask take no grouped heads
        k, v = (repeat_kv(states, q.shape[1] // states.shape[1]) for states in (k, v))
        grouped = False
    found = scaled_dot_product_attention(
        q[:, :, prompt:], k, v, attn_mask=mask, scale=scaling, dropout_p=dropout, enable_gqa=grouped
    )
    return [found.transpose(1, 2)]


def flash_takes(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, dropout: float, grouped: bool) -> bool:
    """Whether SDPA's flash attention is there for these."""
    return q.is_cuda and can_use_flash_attention(SDPAParams(q, k, v, None, dropout, False, grouped))
