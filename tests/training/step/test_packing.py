"""One row for both answers gives what two rows give: losses, metrics and gradients, for every family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.families import FAMILIES
from support.trainers import difference, make_trainer, step

from longvpo.training.step import packing
from longvpo.training.step.packing import pack, pair_mask


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
@pytest.mark.parametrize("name", FAMILIES)
def test_packed_equals_unpacked(
    name: str, checkpointing: bool, batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    trainer = make_trainer(name, batch, world, tmp_path, gradient_checkpointing=checkpointing)
    if checkpointing:
        trainer.model.get_base_model().gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    assert trainer.packed
    loss, gradients, metrics = step(trainer, batch, packed=True)
    expected, expected_gradients, expected_metrics = step(trainer, batch, packed=False)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert difference(gradients, expected_gradients) < 1e-5
    assert metrics == pytest.approx(expected_metrics, rel=1e-4, abs=1e-5)
    assert len(gradients) == sum("lora_" in key for key, _ in trainer.model.named_parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_packed_equals_unpacked_in_bfloat16_within_its_noise(
    name: str, batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    trainer = make_trainer(name, batch, world, tmp_path)
    exact, exact_gradients, _ = step(trainer, batch, packed=False)
    for parameter in trainer.model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()
    found = {}
    for packed in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            loss, gradients, _ = step(trainer, batch, packed)
        found[packed] = abs(loss - exact) / abs(exact), difference(gradients, exact_gradients)
    # bfloat16 is wrong by so much without packing; with packing it is by no more than twice as much
    assert found[True][0] < 2 * max(found[False][0], 2**-8)
    assert found[True][1] < 2 * found[False][1]


def later(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Rejected stands after chosen, as the row lies."""
    packed = pack(*args, **kwargs)
    for pair in packed["pairs"]:
        middle, end = pair.start + pair.prompt, pair.end
        first = packed["position_ids"][..., middle : middle + 1]
        packed["position_ids"][..., middle:end] = first + torch.arange(end - middle)
    return packed


def causal(prompt: int, chosen: int, rejected: int, device: torch.device) -> torch.Tensor:
    """Rejected sees chosen."""
    answers = chosen + rejected
    return torch.ones(answers, prompt + answers, dtype=torch.bool, device=device).tril(prompt)


def ahead(prompt: int, chosen: int, rejected: int, device: torch.device) -> torch.Tensor:
    """An answer's tokens see what comes after them."""
    mask = pair_mask(prompt, chosen, rejected, device)
    mask[:chosen, prompt : prompt + chosen] = True
    return mask


def next_place(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Tokens are scored where they are read, not where they are predicted."""
    packed = pack(*args, **kwargs)
    return packed | {"answers": packed["answers"] + (packed["answers"] < packed["input_ids"].shape[1] - 1)}


@pytest.mark.parametrize(
    ("part", "wrong"), [("pack", later), ("pair_mask", causal), ("pair_mask", ahead), ("pack", next_place)]
)
@pytest.mark.parametrize("name", FAMILIES)
def test_an_error_in_the_row_is_seen(
    name: str,
    part: str,
    wrong: Callable[..., Any],
    batch: list[dict[str, Any]],
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = make_trainer(name, batch, world, tmp_path)
    expected, expected_gradients, _ = step(trainer, batch, packed=False)
    monkeypatch.setattr(packing, part, wrong)
    loss, gradients, _ = step(trainer, batch, packed=True)
    assert loss != pytest.approx(expected, rel=1e-5)
    assert difference(gradients, expected_gradients) > 1e-3


def test_the_row_and_what_an_answer_sees() -> None:
    ids = torch.tensor([[5, 6, 7, 1, 2, 0], [8, 9, 3, 4, 0, 0], [5, 6, 7, 3, 0, 0], [8, 9, 1, 2, 3, 4]])
    mask = torch.tensor([[0, 0, 0, 1, 1, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 1, 1, 1, 1]])
    packed = pack(ids, mask, (ids > 0).long(), torch.arange(6).expand(1, 4, 6))
    assert packed["input_ids"].tolist() == [[5, 6, 7, 1, 7, 8, 9, 3, 9, 1, 2, 3]]
    assert packed["position_ids"].tolist() == [[0, 1, 2, 3, 2, 0, 1, 2, 1, 2, 3, 4]]
    assert packed["answers"].tolist() == [2, 3, 6, 7, 4, 8, 9, 10, 11]
    first, second = packed["pairs"]
    assert first[:3] == (0, 2, 5)
    assert second[:3] == (5, 1, 12)
    assert first.mask.int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 1]]


def test_nothing_of_tokens_times_tokens_or_vocabulary_is_built(
    rows: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    row = next(row for row in rows if len(row["context"]) == 8) | {"reference": "full"}
    trainer = make_trainer("internvl", [row], world, tmp_path)
    seen: list[tuple[int, ...]] = []

    class Shapes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            seen.extend(tuple(t.shape) for t in torch.utils._pytree.tree_leaves(result) if torch.is_tensor(t))
            return result

    collated = trainer.data_collator([row])
    tokens = int(collated["attention_mask"][0].sum())
    vocabulary = trainer.model.config.text_config.vocab_size
    answers = int(collated["completion_mask"].sum())
    with Shapes():
        trainer.compute_loss(trainer.model, collated).backward()
    large = [shape for shape in seen if sum(size > tokens // 2 for size in shape) > 1]
    assert tokens > 4 * answers
    assert tokens != vocabulary
    assert not [shape for shape in large if vocabulary in shape], "logits of answers' tokens alone"
    assert not [shape for shape in large if sum(tokens // 2 < size <= tokens + 50 for size in shape) > 1]


def test_a_model_that_cannot_share_a_prompt_says_so_and_trains(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    internvl = FAMILIES["internvl"]

    def eager() -> Any:
        model, processor = internvl()
        model.set_attn_implementation("eager")
        return model, processor

    monkeypatch.setitem(FAMILIES, "eager", eager)
    with pytest.warns(UserWarning, match=r"the prompt is computed twice.*its attention is eager"):
        trainer = make_trainer("eager", batch, world, tmp_path)
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(batch)).item()
    packed = make_trainer("internvl", batch, world, tmp_path)
    assert packed.packed
    assert loss == pytest.approx(packed.compute_loss(packed.model, packed.data_collator(batch)).item(), rel=1e-5)


def test_generation_and_plain_forward_stay_as_they_were(batch: list[dict[str, Any]], world: Path) -> None:
    model, processor = FAMILIES["internvl"]()
    inputs = processor.tokenizer(["what is red?", "a longer question than that"], return_tensors="pt", padding=True)
    inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    model.eval()
    with torch.no_grad():
        before = model(**inputs).logits
        said = model.generate(**inputs, max_new_tokens=5, do_sample=False)
        assert packing.install(model) is None
        assert torch.equal(model(**inputs).logits, before)
        assert torch.equal(model.generate(**inputs, max_new_tokens=5, do_sample=False), said)


def test_a_model_that_loses_the_pairs_on_their_way_is_found_out() -> None:
    model, _ = FAMILIES["internvl"]()
    inner = model.model.language_model.forward
    model.model.language_model.forward = lambda *args, pairs=None, **kwargs: inner(*args, **kwargs)
    assert packing.install(model) == "its answers change when they share one"
