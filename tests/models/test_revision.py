"""A model's name changes with what it answers, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from longvpo.io import remembered
from longvpo.io.files import TRAINED
from longvpo.models.revision import folder_hash, model_name
from longvpo.recipe.sections import ModelSection


def checkpoint(folder: Path, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    save_file({"weight": torch.randn(4, 4)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"hidden_size": 4}')
    return folder


def name(folder: Path) -> str:
    return model_name(ModelSection(model=str(folder)))


def test_retrained_weights_of_the_same_shape_have_another_name(tmp_path: Path) -> None:
    first, second = (checkpoint(tmp_path / str(seed) / "mine", seed) for seed in (0, 1))
    sizes = [{path.name: path.stat().st_size for path in folder.iterdir()} for folder in (first, second)]
    assert sizes[0] == sizes[1]
    assert name(first) != name(second)
    assert name(first) == name(checkpoint(tmp_path / "elsewhere" / "mine", 0)), "where it lies decides nothing"
    assert name(first).startswith("mine@")
    before = name(first)
    (first / "README.md").write_text("a card")
    (first / "facts.json").write_text("{}")
    (first / TRAINED).write_text("")
    assert name(first) == before
    for file in ("chat_template.jinja", "tokenizer.json", "config.json"):
        (first / file).write_text("other")
        assert name(first) != before
        before = name(first)


def test_a_large_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, read = checkpoint(tmp_path / "mine"), []
    hashed = remembered.file_hash
    monkeypatch.setattr(remembered, "LARGE", 100)
    monkeypatch.setattr(remembered, "file_hash", lambda path: read.append(path.name) or hashed(path))
    said = [folder_hash(folder) for _ in range(3)]
    assert len(set(said)) == 1
    assert read.count("model.safetensors") == 1
    save_file({"weight": torch.zeros(4, 4)}, folder / "model.safetensors")
    assert folder_hash(folder) != said[0]
    assert read.count("model.safetensors") == 2


def test_a_branch_goes_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    section, names = ModelSection(model="someone/model"), []
    for commit in ("a" * 40, "b" * 40):
        (tmp_path / "models--someone--model" / "snapshots" / commit).mkdir(parents=True)
        (tmp_path / "models--someone--model" / "snapshots" / commit / "config.json").write_text("{}")
        (tmp_path / "models--someone--model" / "refs").mkdir(exist_ok=True)
        (tmp_path / "models--someone--model" / "refs" / "main").write_text(commit)
        names.append(model_name(section))
    assert names == ["someone/model@" + "a" * 40, "someone/model@" + "b" * 40]
