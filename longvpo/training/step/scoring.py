"""Log-probabilities of answers' tokens from the hidden states before them, in one pass over the vocabulary.

The logits z of a token are never whole. The vocabulary is read tile by tile. Three things are kept: the largest logit
m, the sum of exp(z - m), and the sum of exp(z - m) times the head's rows. Each is rescaled when m grows, as
FlashAttention does with values. The third over the second is the mean row under the softmax. It gives two things for
nothing:

    gradient of log p(target) by the hidden state   =   row of the target - mean row
    entropy                                         =   log Z - hidden state . mean row

so that nothing is computed again in the backward pass. TRL's fused LM head computes the logits there a second time. It
is still used for heads that are trained, or whose logits are more than a product.
"""

from __future__ import annotations

import functools
from types import MethodType
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from trl.trainer.utils import FusedCausalLMOutput, maybe_gather_lm_head_ctx

from longvpo.training.memory import TILE
from longvpo.training.step.phases import phase

# keys of configurations whose logits are more than a product
NOT_LINEAR = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")


def install(model: Any) -> None:
    """Let `model(..., shift_labels=, fused_lm_head=True)` score hidden states this way, after TRL gave it its own.

    The backbone must pass only the hidden states of the labelled tokens, as packing.py makes it do.
    """
    fused, head, config = model.forward, model.get_output_embeddings(), model.config.get_text_config()
    plain = head.bias is None and not head.weight.requires_grad
    plain = plain and all(getattr(config, name, None) is None for name in NOT_LINEAR)

    @functools.wraps(type(model).forward)  # generate checks its arguments against the signature
    def forward(
        self: Any,
        *args: Any,
        shift_labels: torch.Tensor | None = None,
        statistics: bool = True,
        squares: bool = False,
        **kwargs: Any,
    ) -> Any:
        if shift_labels is None:
            return fused(*args, **kwargs)
        if not plain or "output_router_logits" in kwargs:
            return fused(*args, shift_labels=shift_labels, **kwargs)
        kwargs.pop("fused_lm_head")
        hidden = self.base_model(*args, **kwargs).last_hidden_state[0]
        head = self.get_output_embeddings()  # as FSDP and PEFT leave it
        weight = head.weight.full_tensor() if isinstance(head.weight, DTensor) else head.weight
        with phase("answers"), maybe_gather_lm_head_ctx(weight):
            scored = score_tokens(
                hidden.to(weight.device), weight, shift_labels[0].to(weight.device), statistics, squares
            )
        return FusedCausalLMOutput(**{name: None if one is None else one[None] for name, one in scored.items()})

    model.forward = MethodType(forward, model)


class _LogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        needed: bool,  # the mean row
        statistics: bool,
        squares: bool,
    ) -> tuple[torch.Tensor | None, ...]:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        rows = hidden.to(dtype)
        nothing = torch.zeros(len(hidden), device=hidden.device)
        top, total, target, summed, squared = nothing - torch.inf, nothing, nothing, nothing, nothing
        pull = torch.zeros(hidden.shape, device=hidden.device)
        size = max(TILE // max(len(hidden), 1), 1024)
        for start in range(0, len(weight), size):
            part = weight[start : start + size].to(dtype)
            tile = (rows @ part.T).float()
            here = (targets >= start) & (targets < start + len(part))
            column = (targets - start).clamp(0, len(part) - 1)
            target = torch.where(here, tile.gather(1, column[:, None])[:, 0], target)
            if statistics:
                summed = summed + tile.sum(1)
            higher = torch.maximum(top, tile.amax(1))
            shrunk = (top - higher).exp()
            top = higher
            tile.sub_(top[:, None]).exp_()
            total = total * shrunk + tile.sum(1)
            if squares:
                squared = squared * shrunk.square() + tile.square().sum(1)
            if needed:
                pull = pull * shrunk[:, None] + tile.to(dtype) @ part
        log_z = top + total.log()
        mean_row = pull / total[:, None]
        ctx.save_for_backward((weight[targets].float() - mean_row).to(hidden.dtype) if needed else None)
        found = (
            log_z - (rows.float() * mean_row).sum(1) if statistics else None,
            squared.log() - 2 * total.log() if squares else None,
            summed / len(weight) if statistics else None,
            target >= top if statistics else None,
        )
        ctx.mark_non_differentiable(*(one for one in found if one is not None))
        return target - log_z, *found

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
        (direction,) = ctx.saved_tensors
        return gradient[:, None].to(direction.dtype) * direction, None, None, None, None, None


def score_tokens(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, statistics: bool = True, squares: bool = False
) -> dict[str, torch.Tensor | None]:
    """What TRL's loss reads of n tokens, by its names, each of shape (n,), with gradients only for log_probs.

    Args:
        hidden: (n, size), from which the tokens are predicted.
        weight: (vocabulary, size), of the LM head.
        targets: (n,) ids of the tokens.
        statistics: entropy, mean_logits and is_top1 too, which TRL logs.
        squares: log_sum_sq_probs too, which TRL's use_weighting needs.
    """
    names = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
    needed = statistics or (hidden.requires_grad and torch.is_grad_enabled())
    return dict(zip(names, _LogProbs.apply(hidden, weight, targets, needed, statistics, squares), strict=True))
