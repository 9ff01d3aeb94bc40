"""Rows that are set aside: no video on both sides, what is measured on them, and the best adapter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from support.trainers import make_trainer
from support.triplets import add_validation, rows_of, triplets, write_dataset

from longvpo.errors import LongVPOError
from longvpo.recipe.file import load_recipe
from longvpo.recipe.training import TrainRecipe
from longvpo.training.checkpoints import Checkpoints, best_of, unusable
from longvpo.training.held_out import linked, on_both_sides, train_and_eval_rows
from longvpo.training.plan import plan_training
from longvpo.training.rows import pictures_of, reference_identity
from longvpo.training.run import train
from longvpo.training.start import frames_of_recipe


@pytest.fixture(scope="module")
def loose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four rows over sixty clips, of one or two each; and a split of six others."""
    folder = write_dataset(tmp_path_factory.mktemp("loose") / "triplets", stage1=rows_of("stage1", 24, 2))
    add_validation(folder, rows_of("stage1", 6, 3))
    return folder


def recipe_of(dataset: Path, world: Path, *overrides: str, **training: Any) -> TrainRecipe:
    section = {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "warmup_steps": 0,
        "logging_steps": 1,
        "max_steps": 4,
        "learning_rate": 3e-2,
        "eval_strategy": "steps",
        "eval_steps": 1,
    }
    values = [f"data.dataset={dataset}", f"data.videos={{drawn: {world}, stories: {world}}}", *overrides]
    values += [f"training.{name}={value}" for name, value in (section | training).items()]
    return load_recipe(TrainRecipe, "tiny/stage1", values)


def test_no_video_is_on_both_sides(loose: Path, world: Path) -> None:
    recipe = recipe_of(loose, world, "data.eval=0.25")
    rows, evals = train_and_eval_rows(recipe, 0)
    assert (len(rows), len(evals)) == (18, 6)
    assert on_both_sides(rows, evals) == 0
    prompts = [row["prompt"] for row in triplets("stage1", 24, 2)]
    assert sorted([*rows["prompt"], *evals["prompt"]]) == sorted(prompts), "none is dropped, and none is cut"
    assert list(rows["prompt"]) == [prompt for prompt in prompts if prompt in rows["prompt"]], "in their order"
    again, other = train_and_eval_rows(recipe, 0)[1], train_and_eval_rows(recipe, 1)[1]
    assert list(again["prompt"]) == list(evals["prompt"]) != list(other["prompt"])


def test_rows_hang_together_through_others() -> None:
    shown = (("s", "ab"), ("s", "cd"), ("s", "bc"), ("t", "a"), ("s", "e"))
    contexts = [[{"source": source, "video": name} for name in names] for source, names in shown]
    assert linked(contexts) == [[0, 1, 2], [3], [4]]


def test_rows_that_cannot_be_parted(world: Path, tmp_path: Path) -> None:
    mixed = write_dataset(tmp_path / "mixed", stage1=rows_of("stage1", 40, 8))
    with pytest.raises(LongVPOError, match=r"data.eval: 0.25 of 40 rows cannot be set aside .* rows hang together"):
        train_and_eval_rows(recipe_of(mixed, world, "data.eval=0.25"), 0)


def test_a_split_and_the_plan(loose: Path, world: Path) -> None:
    plan = plan_training(recipe_of(loose, world, "data.eval=validation"))
    assert (plan["triplets"], plan["eval_triplets"]) == (24, 6)
    with pytest.raises(LongVPOError, match="triplets have more tokens than the token_budget of 10"):
        plan_training(recipe_of(loose, world, "data.eval=validation", "token_budget=10"))
    with pytest.raises(LongVPOError, match=r"data.eval.*between 0 and 1"):
        recipe_of(loose, world, "data.eval=1.5")


def entries(adapter: Path) -> list[dict[str, Any]]:
    history = json.loads((adapter / "trainer_state.json").read_text())["log_history"]
    of_triplets = ("step", "eval_loss", "eval_nll_loss", "eval_reference/margins", "eval_logps/chosen")
    return [
        {name: value for name, value in entry.items() if name in of_triplets or name.startswith("eval_rewards/")}
        for entry in history
        if "eval_loss" in entry
    ]


BEST = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 1, "load_best_model_at_end": True}
# the largest loss counts as the best here, so that an early step has it: what gets worse hangs on the machine
EARLY = {"metric_for_best_model": "nll_loss", "greater_is_better": True}


def test_the_best_adapter_is_kept_and_a_killed_run_ends_with_it(
    loose: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NF4 on a CPU, which bitsandbytes would pack for good in an evaluation."""
    recipe = recipe_of(loose, world, "data.eval=0.25", **BEST, **EARLY, eval_on_start=True)
    saved: dict[int, Any] = {}
    on_save = Checkpoints.on_save

    def watched(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        on_save(self, args, state, control, **kwargs)
        folder = Path(args.output_dir)
        saved[state.global_step] = load_file(folder / f"checkpoint-{state.global_step}" / "adapter_model.safetensors")
        names = {f"checkpoint-{state.global_step}", f"checkpoint-{state.best_global_step}"}
        assert {path.name for path in folder.glob("checkpoint-*")} == names, "the last, and the best"
        if state.global_step == killed_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "on_save", watched)
    killed_at = 0
    facts = train(recipe, tmp_path / "whole")["evaluation"]
    assert (facts["of"], facts["triplets"], facts["times"], facts["adapter_of"]) == (0.25, 6, 5, "best")
    log = entries(tmp_path / "whole")
    assert [entry["step"] for entry in log] == [0, 1, 2, 3, 4]
    best = max(log[1:], key=lambda entry: entry["eval_nll_loss"])
    assert facts["best"]["step"] == best["step"] < 4, "training lowers the loss"
    assert {"eval_rewards/accuracies", "eval_rewards/margins", "eval_reference/margins"} <= best.keys()
    weights = load_file(tmp_path / "whole" / "adapter_model.safetensors")
    assert all(torch.equal(value, saved[best["step"]][name]) for name, value in weights.items())

    card = (tmp_path / "whole" / "README.md").read_text()
    assert f"this adapter is of the best evaluation, after step {best['step']}: accuracy" in card

    killed_at = 3
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "killed")
    killed_at = 0
    shutil.move(tmp_path / "killed.checkpoints", tmp_path / "moved.checkpoints")
    facts = train(recipe, tmp_path / "moved")
    assert facts["resumed_from_step"] == 3
    assert facts["trained_parameters"] > 0
    assert entries(tmp_path / "moved") == log
    file = "adapter_model.safetensors"
    assert (tmp_path / "moved" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_checkpoint_whose_best_one_is_damaged_is_passed_over(
    loose: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(model: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("longvpo.training.run.whole_weights", ended)
    with pytest.raises(KeyboardInterrupt):
        train(recipe_of(loose, world, "data.eval=0.25", **BEST, **EARLY), tmp_path / "run")
    last = tmp_path / "run.checkpoints/checkpoint-4"
    best = best_of(last)
    assert best not in (None, last)
    assert unusable(last) is None
    (best / "adapter_model.safetensors").write_bytes(b"")
    assert unusable(last) == f"{best.name}/adapter_model.safetensors"


def test_what_is_measured_does_not_depend_on_batches_or_on_when_the_reference_is_scored(
    loose: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._cache_assets.HF_ASSETS_CACHE", str(tmp_path / "assets"))
    logs = []
    for number, reference in ((1, "each_step"), (4, "precomputed")):
        overrides = ("data.eval=validation", f"reference_log_probs={reference}")
        recipe = recipe_of(loose, world, *overrides, max_steps=1, per_device_eval_batch_size=number)
        train(recipe, tmp_path / reference)
        logs.append(entries(tmp_path / reference)[0])
    assert logs[0] == pytest.approx(logs[1], rel=1e-3, abs=1e-4)
    assert 0 <= logs[0]["eval_rewards/accuracies"] <= 1


def test_scores_that_the_dataset_brings_are_those_of_eval_rows_too(loose: Path, world: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(loose, tmp_path / "scored"))
    recipe = recipe_of(folder, world, "data.eval=validation", "reference_log_probs=dataset", max_steps=1)
    frames_of = frames_of_recipe(recipe)
    for path in (folder / "stage1").iterdir():
        rows = Dataset.from_parquet(str(path))
        said = json.dumps(reference_identity(recipe, "anchor", None, pictures_of(rows, frames_of)))
        brought = {"ref_chosen_logps": -1.5, "ref_rejected_logps": -4.0, "ref_scored_by": said}
        for name, value in brought.items():
            rows = rows.add_column(name, [value] * len(rows))
        rows.to_parquet(path)
    train(recipe, tmp_path / "adapter")
    assert entries(tmp_path / "adapter")[0]["eval_reference/margins"] == 2.5


def test_accuracy_is_of_triplets(batch: list[dict[str, Any]], world: Path, tmp_path: Path) -> None:
    found = []
    for number in (1, 2, 3):
        trainer = make_trainer("internvl", batch, world, tmp_path, per_device_eval_batch_size=number)
        found.append(trainer.evaluate(Dataset.from_list(batch)))
    for name in ("eval_loss", "eval_nll_loss", "eval_rewards/accuracies", "eval_rewards/margins"):
        assert [one[name] for one in found] == pytest.approx([found[0][name]] * 3, rel=1e-5), name
