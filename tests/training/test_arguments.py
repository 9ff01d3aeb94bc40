"""The section `training:`: what is not the recipe's to set, and what a library would refuse only later."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from trl import DPOConfig

from longvpo.errors import LongVPOError
from longvpo.recipe.file import load_recipe
from longvpo.recipe.training import TrainRecipe
from longvpo.training.arguments import check_evaluated, named_key, training_arguments
from longvpo.training.plan import plan_training

TOKEN = "hf_" + "a" * 34
FIELDS = [field.name for field in dataclasses.fields(DPOConfig)]
AWAY = [name for name in FIELDS if "hub" in name or name.startswith("trackio_")]


def refused(**section: Any) -> str:
    with pytest.raises(LongVPOError) as error:
        training_arguments(section, Path("unused"))
    return str(error.value)


@pytest.mark.parametrize("key", AWAY)
def test_what_publishes_is_refused_and_its_value_is_not_repeated(key: str) -> None:
    said = refused(**{key: TOKEN})
    assert said.startswith(f"training.{key} is not the recipe's to set: ")
    assert TOKEN not in said


def test_the_line_says_what_publishes() -> None:
    assert "`longvpo push` publishes" in refused(push_to_hub=True)
    assert len(AWAY) > 8


@pytest.mark.parametrize(
    "section",
    [{"push_to_hub": False}, {"hub_token": None}, {"eval_strategy": "no"}, {"deepspeed": None}, {"max_length": None}],
)
def test_a_key_that_asks_for_nothing_is_no_mistake(section: dict[str, Any]) -> None:
    assert training_arguments(section, Path("unused")).push_to_hub is False


@pytest.mark.parametrize(
    ("section", "says"),
    [
        # what fights with ours
        ({"eval_strategy": "steps"}, "training.eval_strategy is not the recipe's to set: no rows are set aside"),
        ({"do_eval": True}, "Set data.eval to the name of a split, or to a share of the rows"),
        ({"eval_on_start": True}, "`longvpo evaluate` measures adapters"),
        ({"load_best_model_at_end": True}, "training.load_best_model_at_end is not"),
        ({"save_strategy": "best"}, "training.save_strategy is not"),
        ({"precompute_ref_log_probs": True}, "`reference_log_probs: precomputed` scores it beforehand"),
        ({"sync_ref_model": True}, "training.sync_ref_model is not"),
        ({"resume_from_checkpoint": "x"}, "resumes from its last whole checkpoint"),
        ({"save_only_model": True}, "training.save_only_model is not"),
        # numbers
        ({"logging_steps": "often"}, "training.logging_steps: 'often' is not a number"),
        ({"logging_steps": [1]}, "training.logging_steps: [1] is not a number"),
        ({"learning_rate": "nan"}, "training.learning_rate: 'nan' is not a number"),
        ({"seed": 1.5}, "training.seed: 1.5 is not a whole number"),
        ({"seed": None}, "training.seed: None is not a whole number"),
        ({"max_steps": True}, "training.max_steps: True is not a whole number"),
        ({"bf16": "maybe"}, "training.bf16: 'maybe' is not true or false"),
        ({"loss_weights": "much"}, "training.loss_weights: TRL refuses it: invalid float value: 'much'"),
        ({"adam_beta1": "x" * 999}, "xxx... is not a number"),
        # ranges
        ({"seed": 99_999_999_999}, "training.seed: 99999999999 is not between 0 and 4294967295"),
        ({"data_seed": -1}, "training.data_seed: -1 is not between"),
        ({"gradient_accumulation_steps": 0}, "training.gradient_accumulation_steps: 0 is not between 1 and"),
        ({"per_device_train_batch_size": 0}, "training.per_device_train_batch_size: 0 is not"),
        ({"num_train_epochs": 0}, "training.num_train_epochs: 0 takes no step"),
        ({"save_total_limit": -1}, "training.save_total_limit: -1 is not"),
        ({"adam_beta2": 1.5}, "training.adam_beta2: 1.5 is not between 0 and 1"),
        # what is only found out when it is made
        ({"optim": "galore_adamw"}, "training.optim: TRL refuses it: You need to install `galore_torch`"),
        ({"optim": "foo"}, "training.optim: TRL refuses it: foo is not a valid OptimizerNames"),
        ({"optim": "sgd", "optim_args": "lr"}, "training.optim: TRL refuses it: "),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "training.lr_scheduler_type: TRL refuses it: One of min_lr or"),
        ({"lr_scheduler_type": "warmup_stable_decay"}, "missing 1 required positional argument: 'num_decay_steps'"),
        ({"lr_scheduler_kwargs": {"turns": 1}}, "unexpected keyword argument 'turns'"),
        ({"bf16": True, "fp16": True}, "training.bf16: TRL refuses it: At most one of fp16 and bf16"),
    ],
)
def test_one_line_names_the_key(section: dict[str, Any], says: str) -> None:
    said = refused(**section)
    assert says in said
    assert "\n" not in said
    assert len(said) < 2000


def test_rows_to_evaluate_on_make_its_keys_ours() -> None:
    section = {"per_device_train_batch_size": 2, "save_strategy": "epoch", "load_best_model_at_end": True}
    found = training_arguments(section | {"eval_on_start": True}, Path("unused"), evaluates=True)
    assert (found.eval_strategy, found.per_device_eval_batch_size, found.metric_for_best_model) == ("epoch", 2, "loss")
    for section, says in (
        ({"eval_strategy": "no"}, "data.eval sets rows aside that training.eval_strategy: no never looks at"),
        (
            {"metric_for_best_model": "rouge"},
            "metric_for_best_model: 'rouge' is not measured: set it to loss",
        ),
        ({"load_best_model_at_end": True, "save_strategy": "no"}, "requires the save and eval strategy to match"),
        ({"do_predict": True}, "training.do_predict is not the recipe's to set: `longvpo evaluate` measures adapters"),
    ):
        with pytest.raises(LongVPOError) as error:
            training_arguments(section, Path("unused"), evaluates=True)
        assert says in str(error.value)
    found = training_arguments({"eval_strategy": "steps", "eval_steps": 50}, Path("unused"), evaluates=True)
    with pytest.raises(LongVPOError, match=r"training.eval_steps: 50 is more than the 40 steps of the run"):
        check_evaluated(found, 40)


def test_a_kernel_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longvpo.training.arguments.is_liger_kernel_available", lambda: False)
    assert "training.use_liger_kernel needs the package liger-kernel" in refused(use_liger_kernel=True)


def test_values_as_yaml_and_people_write_them() -> None:
    section = {
        "learning_rate": "1e-6",
        "seed": 3.0,
        "bf16": "no",
        "save_strategy": False,
        "dataloader_num_workers": "2",
    }
    found = training_arguments(section | {"optim": "adamw_8bit", "max_grad_norm": float("inf")}, Path("unused"))
    assert (found.learning_rate, found.seed, found.bf16, found.dataloader_num_workers) == (1e-6, 3, False, 2)
    assert found.save_strategy == "no"


@pytest.mark.parametrize(
    ("section", "text", "key"),
    [
        ({"beta": 0.1, "loss_type": ["sigmoid", "foo"]}, "Unknown loss type: foo. Should be one of", "loss_type"),
        ({"tf32": True}, "--tf32 requires Ampere or a newer GPU arch", "tf32"),
        ({"debug": "x", "seed": 1}, "a debug build, with the seed of another", None),
        ({"optim": 3}, "3 is not a valid OptimizerNames", "optim"),
        ({}, "CUDA is gone", None),
    ],
)
def test_which_key_a_sentence_is_about(section: dict[str, Any], text: str, key: str | None) -> None:
    assert named_key(section, text) == key


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.learning_rat=1e-3", r"does not know training.learning_rat \(did you mean learning_rate\?\)"),
        ("training.max_length=512", "training.max_length is set by longvpo"),
        ("training.beta=often", "training.beta: .often. is not a number"),
    ],
)
def test_training_section_is_checked_by_trl(override: str, message: str) -> None:
    with pytest.raises(LongVPOError, match=message):
        plan_training(load_recipe(TrainRecipe, "tiny/stage1", [override]))


def test_yaml_numbers_in_scientific_notation_are_numbers() -> None:
    plan = plan_training(load_recipe(TrainRecipe, "tiny/stage1", ["training.learning_rate=5e-7"]))
    assert plan["learning_rate"] == 5e-7
