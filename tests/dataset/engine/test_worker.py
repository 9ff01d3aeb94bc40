"""A worker sees what the build sees, or says what it does not, and stops where another process has taken over."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from longvpo.dataset.engine.local import Kit
from longvpo.dataset.engine.worker import MARK, Post, Worker, shared
from longvpo.errors import LongVPOError
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe, recipe_hash


def worker(recipe: DatasetRecipe, working: Path, **changes: Any) -> Worker:
    post = Post("ours", os.getcwd(), {}, (), None, (working,), 1)._replace(**changes)
    return Worker(post, pickle.dumps(Kit(recipe, working, working / "journal")), "1")


def test_a_folder_that_a_machine_does_not_see_is_named(dataset_recipe: DatasetRecipe, tmp_path: Path) -> None:
    with pytest.raises(LongVPOError, match=r"the worker on .* does not see .*/gone: give all machines a folder"):
        worker(dataset_recipe, tmp_path, seen=(tmp_path, tmp_path / "gone")).ready()
    one = worker(dataset_recipe, tmp_path)
    with pytest.raises(LongVPOError, match=f"does not see .*{MARK} as this build wrote it"):
        one.ready()  # a folder of this name, on a disk of its own
    (tmp_path / MARK).write_text("ours")
    one.check_build()
    (tmp_path / MARK).write_text("another's")
    with pytest.raises(LongVPOError, match="another process works in this folder"):
        one.check_build()


def test_workers_share_what_a_server_is_asked_and_paid() -> None:
    endpoint = "{url: 'http://localhost:1/v1', concurrency: 10, max_cost: 8, price_in: 1}"
    recipe = load_recipe(DatasetRecipe, "tiny", [f"writer.endpoint={endpoint}"])
    share = shared(recipe, 4)
    assert share.writer.endpoint is not None
    assert (share.writer.endpoint.concurrency, share.writer.endpoint.max_cost) == (2, 2)
    assert shared(recipe, 100).writer.endpoint.concurrency == 1  # type: ignore[union-attr]
    assert recipe_hash(recipe) != recipe_hash(share), "so it stays with the worker"
    assert shared(load_recipe(DatasetRecipe, "tiny"), 4) == load_recipe(DatasetRecipe, "tiny")


def test_what_a_machine_sets_itself_stays(
    dataset_recipe: DatasetRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "of this machine")
    monkeypatch.setenv("LONGVPO_TEST", "")
    monkeypatch.delenv("LONGVPO_TEST")
    worker(dataset_recipe, tmp_path, environment={"HF_TOKEN": "of the build", "LONGVPO_TEST": "1"})
    assert (os.environ["HF_TOKEN"], os.environ["LONGVPO_TEST"]) == ("of this machine", "1")


def test_no_work_begins_where_memory_was_full(dataset_recipe: DatasetRecipe, tmp_path: Path) -> None:
    """Its other calls would ask for answers that are lost when it is ended."""
    one = worker(dataset_recipe, tmp_path)
    for error in (LongVPOError("no answer"), MemoryError("no memory")):
        with pytest.raises(type(error)), one.at_models():
            raise error
    with pytest.raises(MemoryError, match="was full at other work"), one.at_models():
        pytest.fail("nobody asks here")
