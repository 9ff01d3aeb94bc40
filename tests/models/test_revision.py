"""A model's name changes with what it answers, and with nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from longvpo import TINY
from longvpo.errors import LongVPOError
from longvpo.io import remembered
from longvpo.io.files import TRAINED
from longvpo.models.load import check_adapter
from longvpo.models.revision import base_hash, folder_hash, identity, is_same, model_name
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


def test_a_model_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(TINY, tmp_path / "a copy"))
    assert identity(name(copy)) == identity("tiny@main") == identity(name(copy.rename(tmp_path / "moved")))
    assert identity("tiny@main+mine@0123abcd") == identity(f"{name(tmp_path / 'moved')}+yours@0123abcd")
    assert identity("tiny@main+mine@0123abcd") != identity("tiny@main+mine@0123abce")
    others = ["tiny@v2", "org/tiny@0123abcd", "org/other@0123abcd", "org/tiny@main", "scribe@1"]
    assert [identity(one) for one in others] == others, "a name of the Hub says which model it is"
    assert is_same("tiny", str(tmp_path / "moved"))
    assert not is_same("tiny", str(checkpoint(tmp_path / "another")))
    assert not is_same("someone/one", "someone/other"), "nothing is known of either"


def test_an_adapter_fits_its_base_wherever_that_lies(trained: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(TINY, tmp_path / "copy"))
    check_adapter(ModelSection(model=str(copy)), trained)
    made = json.loads((trained / "provenance.json").read_text())["base"]
    assert made["files"] == base_hash("tiny") == base_hash(str(copy))
    with pytest.raises(LongVPOError, match="was trained on tiny, not on"):
        check_adapter(ModelSection(model=str(checkpoint(tmp_path / "another"))), trained)
    # its base is known by what it said of it, also where that folder is gone; one of before said nothing
    other = Path(shutil.copytree(trained, tmp_path / "adapter"))
    config = json.loads((other / "adapter_config.json").read_text())
    (other / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "/gone/base"}))
    check_adapter(ModelSection(model=str(copy)), other)
    (other / "provenance.json").unlink()
    with pytest.raises(LongVPOError, match="was trained on /gone/base, not on"):
        check_adapter(ModelSection(model=str(copy)), other)
