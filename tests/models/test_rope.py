"""A row's log-probabilities depend on no row before it and beside it, where RoPE's frequencies depend on lengths."""

from __future__ import annotations

import copy
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from support.families import FAMILIES
from support.trainers import make_trainer

from longvpo.models.load import load_model
from longvpo.models.rope import make_independent
from longvpo.recipe.sections import ModelSection
from longvpo.training.step.packing import pack

LIMIT = 64  # positions; InternVL3 has 32,768


def dynamic(rope_type: str = "dynamic", limit: int = LIMIT) -> tuple[Any, Any]:
    """A small InternVL whose language model stretches its positions as InternVL3's does: (model, processor)."""
    model, processor = FAMILIES["internvl"]()
    text = model.config.text_config
    size = text.hidden_size // text.num_attention_heads // 2
    scaling = {"dynamic": {"factor": 2.0}, "longrope": {"short_factor": [1.0] * size, "long_factor": [2.0] * size}}
    text.max_position_embeddings = limit
    text.rope_parameters = {
        "rope_type": rope_type,
        "rope_theta": 1e6,
        "original_max_position_embeddings": limit,
        **scaling[rope_type],
    }
    torch.manual_seed(0)
    return type(model)(model.config), processor


@pytest.fixture(params=["dynamic", "longrope"])
def loaded(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    model, processor = dynamic(request.param)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    return load_model(ModelSection(model=str(tmp_path), dtype="float32"))


def row(tokens: int) -> torch.Tensor:
    return torch.arange(3, 3 + tokens)[None] % 300


@torch.no_grad()
def test_the_order_of_rows_changes_no_bit(loaded: Any) -> None:
    rows = {name: row(tokens) for name, tokens in (("short", 20), ("long", 2 * LIMIT), ("longest", 4 * LIMIT))}
    found: dict[str, list[torch.Tensor]] = {name: [] for name in rows}
    for model in (loaded, copy.deepcopy(loaded)):
        for order in permutations(rows):
            for name in order:
                found[name].append(model(input_ids=rows[name]).logits.log_softmax(-1))
    for name, values in found.items():
        assert all(torch.equal(values[0], value) for value in values), name


def test_a_row_alone_is_what_transformers_makes_of_it() -> None:
    model, _ = dynamic()
    rotary = model.model.language_model.rotary_emb
    ours = copy.deepcopy(rotary)
    make_independent(ours)
    positions = torch.arange(3 * LIMIT)[None]
    for expected, found in zip(rotary(torch.zeros(1), positions), ours(torch.zeros(1), positions), strict=True):
        assert torch.equal(expected, found)


def test_rows_beside_each_other_have_the_frequencies_that_they_have_alone() -> None:
    model, _ = dynamic()
    rotary = model.model.language_model.rotary_emb
    make_independent(rotary)
    one, other = torch.arange(2 * LIMIT), torch.arange(3 * LIMIT)
    alone = torch.cat([rotary(torch.zeros(1), positions[None])[0] for positions in (one, other)], 1)
    assert torch.equal(rotary(torch.zeros(1), torch.cat([one, other])[None])[0], alone), "packed"
    padded = torch.stack([torch.cat([torch.zeros(LIMIT, dtype=torch.long), one]), other])
    found = rotary(torch.zeros(1), padded)[0]
    assert torch.equal(found[:1, LIMIT:], alone[:, : 2 * LIMIT]), "padded on the left"
    assert torch.equal(found[1:], alone[:, 2 * LIMIT :])


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
def test_training_steps_have_the_same_loss_and_gradients_in_any_order(
    checkpointing: bool,
    batch: list[dict[str, Any]],
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, processor = dynamic(limit=16)  # all rows are longer
    make_independent(model)
    monkeypatch.setitem(FAMILIES, "dynamic", lambda: (model, processor))
    trainer = make_trainer("dynamic", batch, world, tmp_path, gradient_checkpointing=checkpointing)
    assert trainer.packed
    if checkpointing:
        trainer.model.get_base_model().gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    trainer.model.train()
    found: dict[int, list[torch.Tensor]] = {place: [] for place in range(len(batch))}
    for order in (range(len(batch)), reversed(range(len(batch)))):
        for place in order:
            trainer.model.zero_grad()
            loss = trainer.compute_loss(trainer.model, trainer.data_collator([batch[place]]))
            loss.backward()
            gradients = [p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]
            found[place].append(torch.cat([loss.detach()[None], *gradients]))
    assert all(torch.equal(first, second) for first, second in found.values())


def test_packed_rows_start_at_zero() -> None:
    """By that they are told apart."""
    ids = torch.tensor([[5, 6, 7, 1], [8, 9, 3, 4], [5, 6, 7, 3], [8, 9, 1, 2]])
    mask = torch.tensor([[0, 0, 1, 1]] * 4)
    assert (pack(ids, mask, torch.ones_like(ids), torch.arange(4).expand(1, 4, 4))["position_ids"] == 0).sum() == 2
