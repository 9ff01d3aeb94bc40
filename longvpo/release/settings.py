"""How an adapter was trained, as rows of its card's table.

The rule: a number is the one that was used. Facts of earlier versions have none: then a row says what the recipe says,
and what it leaves to TRL is not told.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from markupsafe import Markup

from longvpo.release.markdown import code, inline

Row = tuple[str, str]


def settings(facts: dict[str, Any], recipe: dict[str, Any]) -> list[Row]:
    """Names and texts, each a row: schedule, losses, adapter, batch, epochs, optimiser, precision."""
    used, told = facts.get("training"), recipe["training"]
    said = {**told, **(used or {})}
    rows = [
        ("learning rate", _listed(said, learning_rate="{}", lr_scheduler_type="{} schedule", **_warm_up(said))),
        ("losses", _weighed(used["loss"]) if used else _losses(told)),
        ("beta of DPO", _listed(said, beta="{}")),
        ("LoRA", _adapter(facts, recipe)),
        ("batch", _batch(facts, said)),
        ("epochs", _epochs(facts, said)),
        ("optimiser", _optimiser(said)),
        ("precision", _precision(recipe, said)),
    ]
    return [(name, text) for name, text in rows if text]


def base_on_hub(facts: dict[str, Any], recipe: dict[str, Any]) -> str:
    """Id on the Hub of the base of a training, as it is stated or as it was loaded.

    Empty: it is not known, or the base is the embedded one.
    """
    section = recipe.get("base") or {}
    said = facts.get("stated", {}).get("base.hub_id") or section.get("hub_id")
    model = section.get("model", "")
    folder = "folder" in facts.get("base", {}) or Path(model).exists()  # earlier versions do not tell
    return said or (model if model.count("/") == 1 and not folder else "")


def _warm_up(said: dict[str, Any]) -> dict[str, str]:
    """The form of warm-up steps: below 1 they are a share of all steps, as transformers takes them."""
    steps = _number(said.get("warmup_steps"))
    share = re.fullmatch(r"0\.\d+", steps)
    return {"warmup_steps": f"warm-up in {100 * float(steps):g} % of the steps" if share else "{} warm-up steps"}


def _listed(said: dict[str, Any], **forms: str) -> str:
    """The values that are known, each in its form."""
    return ", ".join(form.format(_number(said[name])) for name, form in forms.items() if said.get(name) is not None)


def _number(value: Any) -> str:
    """A number in few digits. YAML may have it as a text, such as 5e-7. Any other text stays as it is."""
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError):
        return str(value)


def _epochs(facts: dict[str, Any], said: dict[str, Any]) -> str:
    if int(said.get("max_steps") or -1) > 0:  # it counts, and num_train_epochs does not
        return f"{facts['steps'] * facts['triplets_a_step'] / facts['triplets']:.2g}, by `max_steps`"
    return _listed(said, num_train_epochs="{}")


def _weighed(losses: dict[str, Any]) -> str:
    return ", ".join(f"{code(name)} with weight {_number(weight)}" for name, weight in losses.items())


def _losses(told: dict[str, Any]) -> str:
    """Losses and weights as a recipe has them; where it has not one weight for each loss, the two lists."""
    names = _as_list(told.get("loss_type"))
    weights = _as_list(told.get("loss_weights")) or [1] * len(names)
    if not names:
        return ""
    if len(names) == len(weights):
        return _weighed(dict(zip(names, weights, strict=True)))
    return f"{', '.join(map(str, map(code, names)))}; weights {', '.join(map(_number, weights))}"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _adapter(facts: dict[str, Any], recipe: dict[str, Any]) -> str:
    """Its size and its places. Where a training began with another adapter, only facts have them."""
    lora = facts.get("lora") or recipe.get("lora")
    if not lora:
        return ""
    size = _listed(lora, r="rank {}", lora_alpha="alpha {}", lora_dropout="dropout {}")
    if "layers" in lora:
        return f"{size}, on {lora['layers']:,} linear layers: {', '.join(map(str, map(code, lora['targets'])))}"
    targets = _as_list(lora.get("target_modules"))
    return Markup(", on ").join([inline(size), *([Markup(", ").join(map(_pattern, targets))] if targets else [])])


def _pattern(targets: Any) -> Markup:
    """A regular expression in a table, where an escaped bar stands for a bar, except after another escape."""
    told, text = code(targets), str(targets)
    return told if "/" in text or "\\|" in text else told.replace("/", "\\|")


def _batch(facts: dict[str, Any], said: dict[str, Any]) -> str:
    each = _listed(
        said,
        per_device_train_batch_size="{} per device",
        gradient_accumulation_steps="{} accumulation steps",
    )
    several = ""
    if facts["processes"] > 1:
        shared = facts.get("sequence_parallel")
        several = f"{facts['processes']} processes{f', {shared} of them per row' if shared else ''}"
    parts = ", ".join(filter(None, (each, several)))
    return f"{facts['triplets_a_step']} triplets per step{f': {parts}' if parts else ''}"


def _optimiser(said: dict[str, Any]) -> str:
    name = code(said["optim"]) if said.get("optim") else ""
    rest = _listed(
        said,
        adam_beta1="beta1 {}",
        adam_beta2="beta2 {}",
        weight_decay="weight decay {}",
        max_grad_norm="gradient norm at most {}",
    )
    return ", ".join(filter(None, (str(name), rest)))


def _precision(recipe: dict[str, Any], said: dict[str, Any]) -> str:
    base = recipe["base"]
    parts = [f"base in {base['quantization'].upper() if base['quantization'] else base['dtype']}"]
    mixed = next((name for name, key in (("bfloat16", "bf16"), ("float16", "fp16")) if said.get(key)), None)
    parts += [f"autocast to {mixed}"] if mixed else []
    parts += ["gradient checkpointing"] if said.get("gradient_checkpointing") else []
    return ", ".join(parts)
