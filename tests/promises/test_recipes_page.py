"""The pages of the recipes say what is computed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from support.released import RELEASED, table
from support.world import ROOT

from longvpo.models.counting import video_row
from longvpo.recipe.builtin import builtin_recipes


def test_the_page_of_training_says_what_is_computed() -> None:
    page = (ROOT / "recipes" / "training.md").read_text().splitlines()
    start = next(number for number, line in enumerate(page) if line.startswith("| base |"))
    written = page[start : page.index("", start)]
    assert written == table()


def test_the_page_names_every_recipe() -> None:
    page = (ROOT / "recipes" / "README.md").read_text()
    assert [name for name in builtin_recipes() if f"`{name}`" not in page] == []


@pytest.mark.parametrize("model", RELEASED)
def test_what_the_page_says_of_frames(model: str) -> None:
    _, processor = RELEASED[model]()
    small, large = (video_row(processor, 32, size, 1.0).video for size in ((398, 224), (796, 448)))
    assert (small < large) == model.startswith("Qwen/")
    a_frame = [video_row(processor, frames, (796, 448), 1.0).video / frames for frames in (32, 64, 128, 256)]
    shrinks = any(later < 0.9 * earlier for earlier, later in pairwise(a_frame))
    assert shrinks == model.startswith("Qwen/Qwen3")
