"""Weights of an adapter that are none, or of another model, are one line that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.world import TINY

from longvpo.errors import LongVPOError, first_line
from longvpo.io.weights import check_weights
from longvpo.models.load import check_adapter, load_model

NAME = "adapter_model.safetensors"
WEIGHTS = {"a.lora_A.weight": np.ones((2, 3), np.float32), "a.lora_B.weight": np.ones((3, 2), np.float32)}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_file(WEIGHTS, tmp_path / NAME, metadata={"format": "pt"})
    return tmp_path / NAME


def header(values: Any) -> bytes:
    text = json.dumps(values).encode()
    return len(text).to_bytes(8, "little") + text


def test_weights_that_are_some(file: Path) -> None:
    check_weights(file)


BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda content: b"", "holds no weights that can be used"),
    "three bytes": (lambda content: b"abc", "holds no weights that can be used"),
    "a git-lfs pointer": (lambda content: POINTER, "is a pointer of git-lfs, and `git lfs pull` brings"),
    "a page": (lambda content: b"<!DOCTYPE html><html>Sign in</html>", "holds no weights that can be used"),
    "zeros": (lambda content: bytes(len(content)), "holds no weights that can be used"),
    "a pickle": (lambda content: b"PK\x03\x04" + bytes(400), "holds no weights that can be used"),
    "cut in its header": (lambda content: content[:60], "holds no weights that can be used"),
    "cut in its values": (lambda content: content[:-10], "holds no weights that can be used"),
    "too long": (lambda content: content + b"x", "holds no weights that can be used"),
    "no tensors": (lambda content: header({"__metadata__": {}}), "holds no weights that can be used"),
    "a list": (lambda content: header([1, 2, 3, 4]), "holds no weights that can be used"),
    "half a header": (lambda content: header({"a": 1})[:8] + b'{"a"   xx', "holds no weights that can be used"),
}


@pytest.mark.parametrize("name", BAD)
def test_weights_that_are_none(name: str, file: Path) -> None:
    spoil, says = BAD[name]
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(LongVPOError) as said:
        check_weights(file)
    assert str(said.value).startswith(str(file))
    assert says in str(said.value)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter of the tiny model."""
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("adapter")
    config = LoraConfig(r=4, target_modules=r".*language_model.*q_proj", task_type="CAUSAL_LM")
    model = get_peft_model(load_model(TINY), config)
    model.peft_config["default"].base_model_name_or_path = "tiny"
    model.save_pretrained(folder, save_embedding_layers=False)
    return folder


def config(**values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def weights(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Callable[[Path], None]:
    return lambda folder: save_file(change(load_file(folder / NAME)), folder / NAME)


def without_one(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return dict(sorted(values.items())[1:])


def with_another(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return values | {"base_model.model.other.lora_A.weight": np.ones((4, 4), np.float32)}


def renamed(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.replace("layers", "blocks"): value for name, value in values.items()}


UNFIT: dict[str, tuple[Callable[[Path], None], str]] = {
    "another rank": (config(r=8), "size mismatch for base_model"),
    "other modules": (config(target_modules=["no_such"]), "Target modules"),
    "fewer modules": (config(target_modules=".*language_model.*1.*q_proj"), "has weights that belong nowhere: base_m"),
    "a module less": (weights(without_one), "it has no weights of base_model.model"),
    "a module more": (weights(with_another), "belong nowhere: base_model.model.other.lora_A.weight"),
    "another architecture": (weights(renamed), "it has no weights of base_model.model"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_an_adapter_that_does_not_fit_says_where(name: str, trained: Path, tmp_path: Path) -> None:
    spoil, says = UNFIT[name]
    adapter = tmp_path / "adapter"
    shutil.copytree(trained, adapter)
    spoil(adapter)
    with pytest.raises(LongVPOError, match="does not fit tiny: ") as said:
        load_model(TINY, adapter)
    assert says in str(said.value)
    assert "\n" not in str(said.value)


def test_an_adapter_that_fits_is_taken(trained: Path) -> None:
    assert load_model(TINY, trained).peft_config["default"].r == 4


UNKNOWN: dict[str, tuple[Callable[[Path], None], str]] = {
    "a kind of tomorrow": (config(peft_type="SUPERLORA"), "peft_type SUPERLORA"),
    "no kind": (config(peft_type=None), "peft_type None"),
    "another base": (config(base_model_name_or_path="someone/base"), "was trained on someone/base, not on tiny"),
    "no base": (config(base_model_name_or_path=None), "names no base_model_name_or_path"),
    "a damaged configuration": (lambda folder: (folder / "adapter_config.json").write_text("{"), "is damaged"),
    "a list": (lambda folder: (folder / "adapter_config.json").write_text("[]"), "is damaged"),
    "no weights": (lambda folder: (folder / NAME).unlink(), f"holds no adapter: it has no {NAME}"),
    "a pointer": (lambda folder: (folder / NAME).write_bytes(POINTER), "is a pointer of git-lfs"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_adapter_that_is_none_is_found_before_a_model_is_loaded(name: str, trained: Path, tmp_path: Path) -> None:
    spoil, says = UNKNOWN[name]
    adapter = tmp_path / "adapter"
    shutil.copytree(trained, adapter)
    spoil(adapter)
    with pytest.raises(LongVPOError) as said:
        check_adapter(TINY, adapter)
    assert says in str(said.value)


def test_a_heading_is_not_all_that_is_said() -> None:
    said = {
        "Error(s) in loading:\n\tsize mismatch for b: 1.\n\tmore": "Error(s) in loading: size mismatch for b: 1.",
        "no such file": "no such file",
        "it failed\nTraceback (most recent call last):\n  a": "it failed",
        "\n\n": "ValueError",
        "": "ValueError",
        "a:\n\n  b:\n c\nd": "a: b: c",
        "a:": "a:",
    }
    assert {text: first_line(ValueError(text)) for text in said} == said
