"""How a card tells of a training, also of one whose facts are of an earlier version."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from support.world import GOLDEN

from longvpo.release.settings import settings


def told(lora: dict[str, Any] | None = None, **training: Any) -> dict[str, str]:
    """The rows of the golden adapter, with facts of before there was what was used, and with another recipe."""
    facts = json.loads((GOLDEN / "adapter" / "facts.json").read_text())
    recipe = yaml.safe_load((GOLDEN / "adapter" / "recipe.yaml").read_text())
    earlier = {name: value for name, value in facts.items() if name not in ("training", "lora")}
    return dict(settings(earlier, recipe | {"training": recipe["training"] | training, "lora": lora}))


@pytest.mark.parametrize(
    ("names", "weights", "said"),
    [
        (["sigmoid", "sft"], None, "`sigmoid` with weight 1, `sft` with weight 1"),
        (["sigmoid", "sft"], ["1", 0.5], "`sigmoid` with weight 1, `sft` with weight 0.5"),
        ("sigmoid", "0.5", "`sigmoid` with weight 0.5"),
        (["sigmoid", "sft"], [1], "`sigmoid`, `sft`; weights 1"),
        (["sigmoid"], ["${x}"], "`sigmoid` with weight ${x}"),
        (None, [1.0, 0.5], None),
        (None, None, None),
    ],
)
def test_losses_of_a_recipe(names: Any, weights: Any, said: str | None) -> None:
    assert told(loss_type=names, loss_weights=weights).get("losses") == said


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (10, "10 warm-up steps"),
        ("10", "10 warm-up steps"),
        (0, "0 warm-up steps"),
        (0.1, "warm-up in 10 % of the steps"),
        ("0.03", "warm-up in 3 % of the steps"),
        (1.0, "1 warm-up steps"),
        ("${x}", "${x} warm-up steps"),
    ],
)
def test_a_warm_up_below_1_is_a_share(steps: Any, said: str) -> None:
    assert told(warmup_steps=steps, learning_rate="5e-7")["learning rate"].startswith("5e-07, ")
    assert told(warmup_steps=steps)["learning rate"].endswith(said)
    assert told(learning_rate="${rate}")["learning rate"].startswith("${rate}, ")


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ("all-linear", ", on `all-linear`"),
        (["q_proj", "v_proj"], ", on `q_proj`, `v_proj`"),
        (r".*\.(q|k|v)_proj", r", on `.*\.(q\|k\|v)_proj`"),
        (r"a\|b", r", on `a\/b`"),
        (None, ""),
    ],
)
def test_the_places_of_an_adapter(targets: Any, said: str) -> None:
    lora = {"r": 16, "lora_alpha": 32, "lora_dropout": "0.05", "target_modules": targets}
    assert told(lora)["LoRA"] == f"rank 16, alpha 32, dropout 0.05{said}"
