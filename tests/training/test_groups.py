"""Groups of processes that compute rows together: what is refused, and what each has of a row.

What they compute is in promises/test_long_rows.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from support.trainers import train_recipe

from longvpo.errors import LongVPOError
from longvpo.models.attention import attends_to_all
from longvpo.training.arguments import training_arguments
from longvpo.training.groups import Group
from longvpo.training.plan import plan_training
from longvpo.training.processes import check_processes
from longvpo.training.run import train
from longvpo.training.step.ulysses import mine
from longvpo.training.tokens import check_heads


def test_a_dry_run_says_the_groups_and_what_is_refused(dataset: Path, world: Path, tmp_path: Path) -> None:
    plan = plan_training(train_recipe(dataset, world))
    assert "groups" not in plan
    together = plan_training(train_recipe(dataset, world, "sequence_parallel=2"))
    assert (together["processes_a_row"], together["groups"], together["triplets_a_step"]) == (2, 1, 16)
    before, after = (one["memory_gb_estimate"]["activations"] for one in (plan, together))
    assert 0.5 * before < after < 0.65 * before, "all but embeddings, features and the answers' mask"
    (processes,) = together["refused"]
    assert processes.startswith("sequence_parallel=2 computes each row in 2 processes, and this run has 1: start it")
    assert "--num_processes 2" in processes
    with pytest.raises(LongVPOError, match="sequence_parallel=2 computes each row in 2 processes"):
        train(train_recipe(dataset, world, "sequence_parallel=2"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    _, heads = plan_training(train_recipe(dataset, world, "sequence_parallel=3"))["refused"]
    said = "sequence_parallel=3: tiny has 4 heads of attention, which 3 processes cannot share evenly: "
    assert heads == f"{said}set it to one of 1, 2, 4"


def test_processes_that_are_no_whole_groups_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = training_arguments({}, Path("unused"))
    monkeypatch.setattr(type(arguments), "world_size", 6)
    check_processes(arguments, 3)
    with pytest.raises(LongVPOError, match="computes each row in 4 processes, and this run has 6"):
        check_processes(arguments, 4)
    arguments.deepspeed_plugin = type("Plugin", (), {"zero_stage": 2})
    check_processes(arguments)
    with pytest.raises(LongVPOError, match=r"does not go with DeepSpeed: use recipes/accelerate/ddp\.yaml"):
        check_processes(arguments, 2)
    with pytest.raises(LongVPOError, match="it stands beside `training`, as `sequence_parallel: 2`"):
        training_arguments({"sequence_parallel": 2}, Path("unused"))


@pytest.mark.parametrize(
    ("config", "plain"),
    [
        (transformers.Qwen2Config(), True),
        (transformers.LlamaConfig(), True),
        (transformers.MistralConfig(sliding_window=4096), False),
        (transformers.MistralConfig(sliding_window=None), True),
        (transformers.Gemma3TextConfig(), False),
        (transformers.MambaConfig(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_that_do_not_attend_to_everything_before_are_known(
    config: transformers.PretrainedConfig, plain: bool, dataset: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert attends_to_all(config) == plain
    monkeypatch.setattr("longvpo.training.tokens.skeleton_of", lambda base: type("Skeleton", (), {"text": config}))
    recipe = train_recipe(dataset, world, "sequence_parallel=2")
    if plain:
        check_heads(recipe)
        return
    with pytest.raises(LongVPOError, match="not all layers of tiny attend to everything before: set it to 1"):
        check_heads(recipe)


@pytest.mark.parametrize("tokens", [1, 3, 7, 8])
def test_the_parts_of_a_row_are_the_row_and_zeros_behind_it(tokens: int) -> None:
    row = torch.arange(1.0, tokens + 1)[None, :, None]
    parts = [mine(row, 1, Group(4, rank, None)) for rank in range(4)]
    assert len({part.shape for part in parts}) == 1
    whole = torch.cat(parts, 1)
    assert torch.equal(whole[:, :tokens], row)
    assert not whole[:, tokens:].any()
    assert whole.shape[1] - tokens < 4
