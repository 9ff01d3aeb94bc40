"""Tests of models wait little for servers, and know the keys that must not be shown."""

from __future__ import annotations

import pytest
from support.endpoints import KEY

from longvpo.models import chat


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_WAIT", 0.02)
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_user")
