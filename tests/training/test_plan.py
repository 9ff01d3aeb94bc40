"""What a dry run of training says, before any weight is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.trainers import lora, train_recipe

from longvpo import cli
from longvpo.models.counting import video_row
from longvpo.models.load import load_processor
from longvpo.training.plan import estimate, plan_training
from longvpo.training.rows import training_rows
from longvpo.training.tokens import row_lengths

Capture = pytest.CaptureFixture[str]


def run(monkeypatch: pytest.MonkeyPatch, capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `longvpo train tiny/stage1 --dry-run`."""
    monkeypatch.setattr("sys.argv", ["longvpo", "train", "tiny/stage1", *map(str, arguments), "--dry-run"])
    try:
        cli.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def no_weights(*_: Any, **__: Any) -> None:
    raise AssertionError("a dry run loads no weights")


def test_a_dry_run_says_what_training_costs(
    dataset: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("longvpo.training.run.load_model", no_weights)
    monkeypatch.setattr("safetensors.safe_open", no_weights)
    arguments = [f"data.dataset={dataset}", f"data.videos.drawn={world}"]
    code, out, _ = run(monkeypatch, capsys, *arguments, "--json")
    said = json.loads(out)
    assert code == 0
    assert (said["triplets"], said["steps"], said["frames_longest"], said["tokens_a_frame"]) == (40, 3, 32, 1.0)
    assert 0 < said["tokens_mean"] < said["tokens_longest"]
    memory = said["memory_gb_estimate"]
    parts = ["weights", "adapter", "pixels", "vision", "activations", "total", "total_with_checkpointing"]
    assert list(memory) == parts
    fixed, seeing = memory["weights"] + memory["adapter"], memory["pixels"] + memory["vision"]
    assert memory["total"] == pytest.approx(fixed + max(seeing, memory["activations"]), rel=0.01)
    assert memory["total_with_checkpointing"] < memory["total"]

    code, out, _ = run(monkeypatch, capsys, *arguments, "training.gradient_checkpointing=true", "video.fps=0.5")
    assert "frames_longest: 16" in out.splitlines()
    assert list(yaml.safe_load(out)["memory_gb_estimate"]) == [*parts[:-1], "total_without_checkpointing"]


def test_a_dry_run_finds_rows_beyond_the_token_budget(
    dataset: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    arguments = [f"data.dataset={dataset}", f"data.videos.drawn={world}", "token_budget=30"]
    code, out, err = run(monkeypatch, capsys, *arguments)
    assert (code, out) == (1, "")
    assert "have more tokens than the token_budget of 30. The longest is row" in err.splitlines()[-1]


@pytest.mark.parametrize("missing", ["someone/base", "/no/where"])
def test_a_base_out_of_reach_leaves_the_rest_of_the_plan(
    dataset: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, missing: str
) -> None:
    arguments = [f"data.dataset={dataset}", f"data.videos.drawn={world}", f"base.model={missing}"]
    code, out, err = run(monkeypatch, capsys, *arguments)
    plan = yaml.safe_load(out)
    assert code == missing.startswith("/"), "a folder that is not here ends the run; the Hub may be reached from there"
    assert ("the run would end before its work: cannot load /no/where" in err) == bool(code)
    assert (plan["triplets"], plan["steps"]) == (40, 3)
    assert list(plan)[-1] == "cost"
    assert plan["cost"].startswith(f"not estimated: cannot load {missing}: ")


def test_without_the_dataset_a_full_frame_budget_stands_for_it(dataset: Path, world: Path, tmp_path: Path) -> None:
    recipe = train_recipe(tmp_path / "not-here", world)
    assert "no frame_budget is set" in plan_training(recipe)["cost"]
    said = plan_training(recipe.model_copy(update={"frame_budget": 48}))
    assert (said["triplets"], said["frames_longest"], said["tokens_a_frame"]) == (None, 48, 1.0)
    assert said["memory_gb_estimate"]["total"] > 0


def test_without_the_videos_their_pictures_are_taken_to_be_wide(name: str, base: Path, dataset: Path) -> None:
    recipe = train_recipe(dataset, Path("/no/where"), f"base.model={base}", "video.short_side=448")
    rows, processor = training_rows(recipe, 0), load_processor(recipe.base)
    row = max(row_lengths(recipe, rows, processor), key=lambda row: row.tokens)
    assert row.pixels == video_row(processor, 32, (796, 448), 1.0).pixels


def test_what_changes_the_estimate(dataset: Path, world: Path, tmp_path: Path) -> None:
    def memory(*overrides: str, **options: Any) -> dict[str, float]:
        recipe = train_recipe(dataset, world, *overrides)
        rows = training_rows(recipe, 0)
        found: dict[str, float] = estimate(recipe, rows, **{"batch": 1, "checkpointing": True} | options)[
            "memory_gb_estimate"
        ]
        return found

    usual = memory()
    assert memory(batch=4)["activations"] > 3 * usual["activations"]
    assert memory("base.quantization=null")["weights"] > usual["weights"]
    assert memory("lora.r=32")["adapter"] == pytest.approx(2 * usual["adapter"], rel=0.01)
    assert memory("vision_cache_gb=1", "video.max_frames=1")["vision"] < usual["vision"] / 4
    lora(r=8).save_pretrained(tmp_path)
    on = train_recipe(dataset, world).model_copy(update={"adapter": str(tmp_path)})
    found = estimate(on, None, 1, True) | estimate(on, training_rows(on, 0), 1, True)
    # half the rank, and a frozen copy
    assert found["memory_gb_estimate"]["adapter"] == pytest.approx(usual["adapter"] / 2 * 20 / 16, rel=0.01)
