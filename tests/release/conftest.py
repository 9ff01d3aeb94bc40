"""A dataset to push, and a client of the Hub on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from support.hub.looks import ALICE
from support.hub.pushes import Pushes


@pytest.fixture
def folder(dataset: Path, tmp_path: Path) -> Path:
    """A dataset to push."""
    return Path(shutil.copytree(dataset, tmp_path / "dataset"))


@pytest.fixture
def api(pushes: Pushes) -> HfApi:
    return HfApi(endpoint=pushes.address, token=ALICE + "hand")


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
