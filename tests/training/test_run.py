"""Training that starts from an adapter: what its frozen copy sees, rows of two configs, frames, and resuming."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.families import internvl
from support.stage2 import equal, stage2_recipe, weights_of, weights_of_parameters
from support.trainers import FRESH

from longvpo.errors import LongVPOError
from longvpo.models import load as models
from longvpo.models.encode import encode
from longvpo.models.load import load_model, load_processor
from longvpo.recipe.file import dump_recipe, load_recipe
from longvpo.recipe.training import TrainRecipe
from longvpo.training.run import train
from longvpo.training.step.trainer import AnchoredDPOTrainer
from longvpo.video.frames import ClipFrames
from longvpo.video.joined import at_rate, join


def test_a_run_of_stage_2(
    stage1: Path, both_stages: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = stage2_recipe(stage1, both_stages, world, "frame_budget=20")
    saved = load_file(stage1 / "adapter_model.safetensors")
    calls, compute_loss = [], AnchoredDPOTrainer.compute_loss

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(equal(weights_of(self.model, "default"), saved))
        assert equal(weights_of(self.model, "ref"), saved)
        assert self.data_collator.frame_budget == 20
        return compute_loss(self, *args, **kwargs)

    monkeypatch.setattr(AnchoredDPOTrainer, "compute_loss", watched)
    output = tmp_path / "stage2"
    facts = train(recipe, output)
    assert calls == [True] * 5, "the longest row, and one step of four batches, with the reference that stage 1 left"
    assert (facts["steps"], facts["triplets"], facts["trained_parameters"]) == (
        1,
        16,
        sum(map(torch.numel, saved.values())),
    )
    assert facts["configs"] == [
        {"config": "stage2", "reference": "full", "triplets": 12},
        {"config": "stage1", "reference": "anchor", "triplets": 4},
    ]
    weights = load_file(output / "adapter_model.safetensors")
    assert weights.keys() == saved.keys()
    assert not any(torch.equal(weights[key], saved[key]) for key in saved)
    assert not (output / "ref").exists()
    config = json.loads((output / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"]) == ("tiny", 4)

    card = (output / "README.md").read_text()
    assert f"| started from | `{stage1}`. Its frozen copy is the reference |" in card
    assert "| triplets | 16 |" in card
    assert "| config `stage2` | 12, the reference scored on the whole context |" in card
    assert "| config `stage1` | 4, the reference scored on the anchor clip |" in card
    assert "at most 64 per clip and 20 per context, thinned evenly |" in card
    assert "\n\n\n" not in card
    assert "|\n|" in card
    assert "|\n\n|" not in card

    assert train(recipe, output) == facts, "the same command again does nothing"
    assert train(load_recipe(TrainRecipe, str(output / "recipe.yaml")), output) == facts
    assert len(calls) == 5


@pytest.mark.soak  # a stranger does it in release/test_outside.py
def test_the_saved_adapter_loads_over_the_base_in_a_fresh_process(
    stage1: Path, both_stages: Path, world: Path, tmp_path: Path, stage2_rows: list[dict[str, Any]]
) -> None:
    recipe = stage2_recipe(stage1, both_stages, world, "data.mix=[]")
    adapter = tmp_path / "stage2"
    train(recipe, adapter)
    frames_of = ClipFrames(recipe.video, recipe.data.videos)
    video = join([frames_of(clip) for clip in stage2_rows[7]["context"]], "letterbox")
    inputs = encode(load_processor(recipe.base), [stage2_rows[7]["prompt"]], [video], [at_rate(len(video), 1.0)])
    torch.save(inputs, tmp_path / "inputs.pt")
    with torch.no_grad():
        before = load_model(recipe.base, stage1)(**inputs).logits
        expected = load_model(recipe.base, adapter)(**inputs).logits
    arguments = [str(models.TINY), str(adapter), str(tmp_path / "inputs.pt"), str(tmp_path / "logits.pt")]
    subprocess.run([sys.executable, "-c", FRESH, *arguments], check=True, capture_output=True, text=True)
    fresh = torch.load(tmp_path / "logits.pt")
    assert torch.equal(fresh, expected)
    assert not torch.allclose(fresh, before, atol=1e-4), "one step leaves a trace"


KILLED = """
import os, signal, sys
from longvpo.recipe.training import TrainRecipe
from longvpo.recipe.file import load_recipe
from longvpo.training.run import train
from longvpo.training.step.trainer import AnchoredDPOTrainer

calls, compute_loss = [], AnchoredDPOTrainer.compute_loss

def killed(self, *args, **kwargs):
    calls.append(1)
    if len(calls) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return compute_loss(self, *args, **kwargs)

AnchoredDPOTrainer.compute_loss = killed
train(load_recipe(TrainRecipe, sys.argv[1]), __import__("pathlib").Path(sys.argv[2]))
"""


def test_a_killed_run_goes_on_to_the_same_adapter_with_the_same_reference(
    stage1: Path, both_stages: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = ("max_steps=4", "save_strategy=steps", "save_steps=2", "gradient_accumulation_steps=1")
    recipe = stage2_recipe(stage1, both_stages, world, *(f"training.{item}" for item in section))
    saved = load_file(stage1 / "adapter_model.safetensors")
    train(recipe, tmp_path / "whole")

    values = dump_recipe(recipe).partition("\nlora:")
    (tmp_path / "recipe.yaml").write_text(values[0] + "\nreference" + values[2].partition("\nreference")[2])
    arguments = [str(tmp_path / "recipe.yaml"), str(tmp_path / "killed")]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "killed").exists()
    last = tmp_path / "killed.checkpoints" / "checkpoint-2"
    assert equal(load_file(last / "ref" / "adapter_model.safetensors"), saved)
    assert not equal(load_file(last / "adapter_model.safetensors"), saved)

    references, policies, compute_loss = [], [], AnchoredDPOTrainer.compute_loss

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        references.append(weights_of(self.model, "ref"))
        policies.append(weights_of(self.model, "default"))
        loss = compute_loss(self, *args, **kwargs)
        assert not any(parameter.requires_grad for parameter in weights_of_parameters(self.model, "ref"))
        return loss

    monkeypatch.setattr(AnchoredDPOTrainer, "compute_loss", watched)
    assert train(recipe, tmp_path / "killed")["steps"] == 4
    assert len(references) == 3, "the longest row, steps 3 and 4"
    assert all(equal(reference, saved) for reference in references)
    assert not any(equal(policy, saved) for policy in policies)
    assert equal(*(load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "killed")))
    assert sorted(path.name for path in (tmp_path / "killed").iterdir() if path.is_dir()) == []
    assert not (tmp_path / "killed.checkpoints").exists()


def test_another_starting_adapter_is_another_run(
    stage1: Path, both_stages: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same path with other weights in it: neither the result nor the checkpoints are those of this run."""
    start = tmp_path / "start"
    shutil.copytree(stage1, start)
    section = ("max_steps=2", "save_strategy=steps", "save_steps=1", "gradient_accumulation_steps=1")
    recipe = stage2_recipe(start, both_stages, world, *(f"training.{item}" for item in section))
    train(recipe, tmp_path / "done")
    compute_loss = AnchoredDPOTrainer.compute_loss

    def stopped(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 1:
            raise KeyboardInterrupt
        return compute_loss(self, *args, **kwargs)

    monkeypatch.setattr(AnchoredDPOTrainer, "compute_loss", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "half")
    weights = load_file(start / "adapter_model.safetensors")
    save_file({key: 2 * value for key, value in weights.items()}, start / "adapter_model.safetensors")
    with pytest.raises(LongVPOError, match="holds the result of another recipe or of other input"):
        train(recipe, tmp_path / "done")
    with pytest.raises(LongVPOError, match="holds a run of another recipe, dataset or starting adapter"):
        train(recipe, tmp_path / "half")


def test_the_internvl_recipes_train_a_small_internvl_in_two_stages(
    both_stages: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both real recipes as they stand, bfloat16, NF4 and gradient checkpointing included."""
    base = tmp_path / "base"
    for part in internvl():
        part.save_pretrained(base)
    common = [f"base.model={base}", f"data.dataset={both_stages}", f"data.videos={{drawn: {world}, stories: {world}}}"]
    rate = ["training.max_steps=2", "training.warmup_steps=0", "training.learning_rate=1e-3"]
    first = tmp_path / "stage1"
    train(load_recipe(TrainRecipe, "internvl3-1b/stage1", [*common, *rate]), first)
    saved = load_file(first / "adapter_model.safetensors")
    assert any((value != value.bfloat16().float()).any() for value in saved.values()), "bfloat16 cannot hold them"

    before, compute_loss = [], AnchoredDPOTrainer.compute_loss

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        before.append(equal(weights_of(self.model, "default"), saved))
        assert equal(weights_of(self.model, "ref"), saved)
        return compute_loss(self, *args, **kwargs)

    monkeypatch.setattr(AnchoredDPOTrainer, "compute_loss", watched)
    recipe = load_recipe(TrainRecipe, "internvl3-1b/stage2", [*common, *rate, f"adapter={first}", "frame_budget=16"])
    facts = train(recipe, tmp_path / "stage2")
    assert facts["steps"] == 2
    assert before == [True] * 9 + [False] * 8, "the longest row, and two steps"
    after = weights_of(load_model(recipe.base, tmp_path / "stage2"), "default")
    assert after.keys() == saved.keys()
    assert not any(torch.equal(after[key], saved[key]) for key in saved)


def test_a_run_that_ended_after_its_last_checkpoint_takes_no_step_more(
    dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = ("max_steps=2", "save_strategy=steps", "save_steps=1", "logging_steps=1", "lr_scheduler_type=constant")
    values = [f"data.dataset={dataset}", f"data.videos.drawn={world}", *(f"training.{item}" for item in section)]
    recipe = load_recipe(TrainRecipe, "tiny/stage1", values)
    train(recipe, tmp_path / "whole")

    def ended(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("longvpo.training.run.write_whole", ended)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "killed")
    monkeypatch.undo()
    facts = train(recipe, tmp_path / "killed")
    assert (facts["resumed_from_step"], facts["steps"]) == (2, 2)
    assert capsys.readouterr().err.count(f"resumed: from {tmp_path}/killed.checkpoints/checkpoint-2\n") == 1
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]
