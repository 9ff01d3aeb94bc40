"""Answers' tokens scored in one pass over the vocabulary, held against the logits themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from longvpo.training.step import scoring
from longvpo.training.step.scoring import score_tokens

TOKENS, SIZE, VOCABULARY = 37, 16, 3001


def inputs(scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(TOKENS, SIZE, generator=generator) * scale
    weight = torch.randn(VOCABULARY, SIZE, generator=generator)
    targets = torch.randint(0, VOCABULARY, (TOKENS,), generator=generator)
    targets[:9] = (hidden[:9] @ weight.T).argmax(1)  # some are the most likely
    targets[9:11] = torch.tensor([0, VOCABULARY - 1])
    return hidden.requires_grad_(), weight, targets


def by_hand(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
    logits = hidden @ weight.T
    log_probs = logits.log_softmax(-1)
    return {
        "log_probs": log_probs.gather(1, targets[:, None])[:, 0],
        "entropy": -(log_probs.exp() * log_probs).sum(1),
        "log_sum_sq_probs": (2 * log_probs).logsumexp(1),
        "mean_logits": logits.mean(1),
        "is_top1": logits.argmax(1) == targets,
    }


@pytest.mark.parametrize("tile", [2**23, 64 * 1024])
@pytest.mark.parametrize("scale", [0.01, 3.0, 100.0], ids=["flat", "usual", "sharp"])
def test_as_the_logits_say(tile: int, scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "TILE", tile)
    hidden, weight, targets = inputs(scale)
    found, expected = score_tokens(hidden, weight, targets, squares=True), by_hand(hidden, weight, targets)
    weights = torch.linspace(-1, 2, TOKENS)
    (gradient,) = torch.autograd.grad((expected["log_probs"] * weights).sum(), hidden)
    for name, values in expected.items():
        other = found[name]
        assert other is not None
        if name == "is_top1":
            assert torch.equal(other, values)
            assert 9 <= values.sum() < TOKENS
        else:
            torch.testing.assert_close(other, values, rtol=1e-5, atol=1e-5 * max(scale, 1))
    assert found["log_probs"] is not None
    (ours,) = torch.autograd.grad((found["log_probs"] * weights).sum(), hidden)
    assert (ours - gradient).norm() < 1e-5 * gradient.norm()


def test_bfloat16_is_as_wrong_as_trls_own() -> None:
    from trl.trainer.utils import _ChunkedLogProbFunction

    hidden, weight, targets = inputs()
    exact = by_hand(hidden, weight, targets)["log_probs"]
    (exact_gradient,) = torch.autograd.grad(exact.sum(), hidden)
    errors = []
    for compute in (
        lambda h, w: score_tokens(h, w, targets)["log_probs"],
        lambda h, w: _ChunkedLogProbFunction.apply(h, w, None, targets, 1.0, 32768, None, 1.0)[0],
    ):
        half = hidden.detach().bfloat16().requires_grad_()
        found: Any = compute(half, weight.bfloat16())
        (gradient,) = torch.autograd.grad(found.sum(), half)
        errors.append(((found - exact).abs().mean(), (gradient.float() - exact_gradient).norm()))
    assert errors[0][0] <= 1.1 * errors[1][0]
    assert errors[0][1] <= 1.1 * errors[1][1]


def test_a_reference_computes_nothing_that_it_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, targets = inputs()
    products: list[Any] = []

    class Products(TorchDispatchMode):
        def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if operation is torch.ops.aten.mm.default:
                products.append(operation)
            return operation(*args, **(kwargs or {}))

    with torch.no_grad(), Products():
        found = score_tokens(hidden, weight, targets, statistics=False)
    assert len(products) == 1, "the logits alone"
    assert [name for name, values in found.items() if values is not None] == ["log_probs"]


def test_no_more_than_a_tile_of_logits_is_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "TILE", TOKENS * 1024)
    hidden, weight, targets = inputs()
    largest: list[int] = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = operation(*args, **(kwargs or {}))
            largest.extend(
                leaf.numel() for leaf in tree_leaves(result) if torch.is_tensor(leaf) and leaf.shape[:1] == (TOKENS,)
            )
            return result

    with Sizes():
        found = score_tokens(hidden, weight, targets, squares=True)["log_probs"]
        assert found is not None
        found.sum().backward()
    assert max(largest) == TOKENS * 1024 < TOKENS * VOCABULARY


def test_a_head_that_is_more_than_a_product_stays_trls(tmp_path: Any) -> None:
    from support.families import FAMILIES
    from trl.trainer.utils import add_fused_lm_head

    losses = []
    for softcap in (None, 0.05):
        model, processor = FAMILIES["internvl"]()
        model.requires_grad_(False)
        model.config.get_text_config().final_logit_softcapping = softcap
        ids = processor.tokenizer("what color is the ring?", return_tensors="pt")["input_ids"]
        add_fused_lm_head(model)
        expected = model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs
        scoring.install(model)
        labels = torch.cat([ids[:, 1:], ids[:, :1]], 1)
        found = model(input_ids=ids, shift_labels=labels, fused_lm_head=True, statistics=False).log_probs
        torch.testing.assert_close(found[:, :-1], expected, rtol=1e-5, atol=1e-5)
        losses.append(found.sum().item())
    assert losses[0] != pytest.approx(losses[1], rel=1e-4)
