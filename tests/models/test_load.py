"""How models are loaded: what it changes beside them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from longvpo.models.load import load_model
from longvpo.recipe.sections import ModelSection


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there it computes on the GPU")
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("said", "threads"), [(None, 1), ("2", 2)])
def test_the_embedded_model_computes_with_one_thread_unless_another_number_is_said(
    monkeypatch: pytest.MonkeyPatch, said: str | None, threads: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    load_model(ModelSection(model="tiny"))
    assert torch.get_num_threads() == threads
