"""Rotary positions whose frequencies depend on the length of a row, and on nothing that was computed before.

With dynamic NTK scaling (InternVL3 above 32,768 tokens) the length of a row decides the frequencies. transformers
keeps those of the longest row since the last short one, and takes one length for all rows of a call. Log-probabilities
of a row would then change with the rows before it and beside it. Here each row gets the frequencies that it has in a
batch of its own. (`longrope` has two sets of frequencies, chooses at every call, and keeps nothing.)

The rule: no table of families. A module that keeps what transformers' update of frequencies reads is one of these.
"""

from __future__ import annotations

from typing import Any

import torch

ORIGINAL = "original_inv_freq"  # a buffer; where layers are of several kinds, one a kind, its name before it


def make_independent(model: Any) -> None:
    """Let a model's dynamic rotary modules give each row the frequencies that it has in a batch of its own.

    Models call them once a forward, outside the layers, so gradient checkpointing keeps what they gave.
    """
    for module in model.modules():
        kinds = getattr(module, "rope_type", "")
        dynamic = any("dynamic" in kind for kind in (kinds.values() if isinstance(kinds, dict) else [kinds]))
        if dynamic and hasattr(module, "original_max_seq_len") and not isinstance(module, _Alone):
            kind = type(module)
            module.__class__ = type(kind.__name__, (_Alone, kind), {})  # a copy of the model has it, too


class _Alone:
    """Before a module whose frequencies follow the longest row: it is asked for one row at a time, and forgets."""

    original_max_seq_len: int

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Cosines and sines (rows, tokens, size) for positions (rows, tokens). A packed row starts again at 0."""

        def alone(positions: torch.Tensor) -> Any:
            _reset(self)
            return super(_Alone, self).forward(x, positions, *args, **kwargs)  # type: ignore[misc]

        if position_ids.ndim != 2 or position_ids.max() < self.original_max_seq_len:
            return alone(position_ids)
        rows = []
        for row in position_ids:
            starts = ((row[1:] == 0) & (row[:-1] != 0)).nonzero()[:, 0] + 1
            parts = [alone(part[None]) for part in row.tensor_split(starts.tolist())]
            rows.append([torch.cat(found, 1) for found in zip(*parts, strict=True)])
        return tuple(torch.cat(found) for found in zip(*rows, strict=True))


def _reset(module: Any) -> None:
    """Put back the frequencies and the length from before the first call."""
    for name in [name for name in module._buffers if name.endswith(ORIGINAL)]:
        prefix = name.removesuffix(ORIGINAL)
        setattr(module, f"{prefix}inv_freq", getattr(module, name))
        setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)
