"""Fixtures that several files of this room share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import datasets  # noqa: F401  its log keeps the stderr of the moment of its import, which must not be that of a test
import pytest
from support.forked import Forge, forge
from support.trainings import command, facts_of
from support.triplets import rows_of, write_dataset

from longvpo.tiny.world import write_world


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven triplets, contexts of one to eight clips: an odd number, so that two processes cannot share them all."""
    return write_dataset(tmp_path_factory.mktemp("data") / "triplets", stage1=rows_of("stage1", 11, 8))


@pytest.fixture(scope="session")
def forged() -> Iterator[Forge]:
    with forge() as started:
        yield started


@pytest.fixture(scope="session")
def one(data: Path, world: Path, forged: Forge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, two triplets a step, two epochs; NF4, as the recipe has it."""
    output = tmp_path_factory.mktemp("one") / "adapter"
    section = ("per_device_train_batch_size=2", "num_train_epochs=2", "dataloader_drop_last=true")
    assert forged(command(data, world, output, *section), output.with_name("log"))["codes"] == [0]
    facts = facts_of(output)
    assert (facts["processes"], facts["triplets_a_step"], facts["steps"]) == (1, 2, 10)
    return output


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips."""
    folder = tmp_path_factory.mktemp("drawn")
    write_world(folder, clips=4, seed=1, split="test")
    return folder


@pytest.fixture
def at(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of the clips, where the command is run."""
    shutil.copytree(drawn, tmp_path / "clips")
    monkeypatch.chdir(tmp_path)
    return tmp_path
