"""Folders that are spoilt, each in one way, for builds that meet them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets  # noqa: F401  its log keeps the stderr of the moment of its import, which must not be that of a test
import pytest
from support.commands import run

from longvpo.models.load import load_processor
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe, recipe_hash
from longvpo.recipe.sections import ModelSection

Spoil = Callable[[Path], object]


ROW = '{"file_name": "videos/00000.mp4", "caption": "a red disc"}'


def nothing(at: Path) -> None:
    """The arguments are bad enough."""


def all_of(*spoils: Spoil) -> Spoil:
    return lambda at: [spoil(at) for spoil in spoils]


def file(name: str, content: str | bytes = "mine") -> Spoil:
    def spoil(at: Path) -> None:
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def closed(name: str) -> Spoil:
    return lambda at: (at / name).chmod(0)


def build(at: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    """Runs the command; `recipe=` names another recipe than tiny/dataset."""
    filled = [argument.replace("@", str(at)) for argument in arguments]
    named = [argument.removeprefix("recipe=") for argument in filled if argument.startswith("recipe=")]
    own = [f"{at}/recipe.yaml"] if (at / "recipe.yaml").exists() else named
    rest = [argument for argument in filled if not argument.startswith("recipe=")]
    output = [] if "--output" in rest else ["--output", at / "out"]
    return run(monkeypatch, "build-dataset", *(own or ["tiny/dataset", *few(at)]), *rest, *output)


def few(at: Path) -> list[str]:
    """The arguments of every build from the built-in recipe."""
    return [f"sources.0.folder={at}/clips", "context.clips=[2]", "stage1.triplets=4", "stage2=null"]


def recipe(content: str | bytes) -> Spoil:
    """A recipe file, which is taken instead of the built-in recipe."""
    return file("recipe.yaml", content)


def table(content: str | bytes, name: str = "metadata.jsonl") -> Spoil:
    return all_of(lambda at: (at / "clips" / "metadata.jsonl").unlink(), file(f"clips/{name}", content))


def no_videos(at: Path) -> None:
    shutil.rmtree(at / "clips" / "videos")


def truncated_videos(at: Path) -> None:
    for path in (at / "clips" / "videos").iterdir():
        path.write_bytes(path.read_bytes()[:500])


def dataset(*rows: dict[str, Any]) -> Spoil:
    """A dataset in the folder `repository`."""
    return file("repository/train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def archive(at: Path) -> None:
    with tarfile.open(at / "repository" / "videos.tar", "w") as file:
        file.add(at / "clips" / "videos" / "00000.mp4", "a.mp4")


def truncated_archive(at: Path) -> None:
    archive(at)
    os.truncate(at / "repository" / "videos.tar", 2000)


def text_model(at: Path) -> None:
    """A language model without eyes, in the folder `text`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = load_processor(ModelSection(model="tiny")).tokenizer
    tokenizer.chat_template = "{{ messages[0].content }}"
    tokenizer.save_pretrained(at / "text")
    said = json.loads((at / "text" / "tokenizer_config.json").read_text())
    del said["processor_class"]
    (at / "text" / "tokenizer_config.json").write_text(json.dumps(said))
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(at / "text")


def build_of(recipe: str, table: str = "0") -> Spoil:
    return file("out/work/key.json", json.dumps({"key": f"{recipe},{table}", "recipe": recipe}))


def build_of_other_table(at: Path) -> None:
    build_of(recipe_hash(load_recipe(DatasetRecipe, "tiny/dataset", few(at))))(at)


def files(folder: Path) -> dict[str, str]:
    """sha256 by path."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and os.access(path, os.R_OK)]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
