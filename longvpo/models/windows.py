"""Attention within windows, or within frames, of a vision side: equal ones in one call, not one call a window.

Vision towers such as Qwen2.5-VL's lay all patches of a video in one row, with the ends of its windows beside it. SDPA
has no such ends, so transformers calls it once a window: 50,000 times for 128 frames of 448 x 784. It hands the ends
only to flash attention, which it knows by name. Here an attention under such a name calls SDPA once for all windows of
one length. The sums are the same, and the size of a call is bounded.

The rule: no table of families. A tower whose attention takes `cu_seqlens` has windows.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from transformers import AttentionInterface, PreTrainedModel

NAME = "longvpo_windows_as_flash"  # transformers looks for `flash`
SCORES = (
    2**24
)  # numbers of one head in one call: 4,096 windows of 64 patches, or 5 frames of 448 x 784; 64 MB in float32


def install(model: Any) -> None:
    """Let the vision towers of a model that attend by SDPA within windows do so in few calls.

    Only their attention modules see the name: a model made from this one's configuration asks for no flash attention.
    """
    AttentionInterface.register(NAME, attend)
    text = model.config.get_text_config()
    for module in model.modules():
        config = getattr(module, "config", text)
        if (
            config is text
            or isinstance(module, PreTrainedModel)
            or getattr(config, "_attn_implementation", None) != "sdpa"
        ):
            continue
        if "cu_seqlens" in inspect.signature(module.forward).parameters:
            module.config = copy.copy(config)
            module.config._attn_implementation = NAME


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    cu_seq_lens_q: torch.Tensor | None = None,
    cu_seq_lens_k: torch.Tensor | None = None,
    max_length_q: Any = None,
    max_length_k: Any = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over (1, heads, patches, size) within windows; the result is (1, patches, heads, size).

    Args:
        cu_seq_lens_q: (windows + 1,) where each window begins, and the end; those of keys are the same.
    """
    sdpa = AttentionInterface()["sdpa"]
    if cu_seq_lens_q is None:
        plain: tuple[torch.Tensor, None] = sdpa(module, query, key, value, attention_mask, **kwargs)
        return plain
    starts, lengths = cu_seq_lens_q[:-1].long(), cu_seq_lens_q.diff()
    results, places = [], []
    for length in lengths.unique().tolist():
        for some in starts[lengths == length].split(max(SCORES // max(length, 1) ** 2, 1)):
            place = (some[:, None] + torch.arange(length, device=some.device)).flatten()
            windows = (
                states[0, :, place].unflatten(1, (len(some), length)).transpose(0, 1) for states in (query, key, value)
            )
            results.append(sdpa(module, *windows, None, **kwargs)[0].flatten(0, 1))
            places.append(place)
    back = torch.cat(places).argsort()
    return torch.cat(results)[back][None], None
