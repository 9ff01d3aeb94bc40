"""What every test may name: the folders of the repository, the embedded model, small recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from longvpo.recipe.sections import ModelSection

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
GOLDEN = TESTS / "golden"
FOOTAGE = ROOT.parent / "shared" / "videos"  # real footage, where it lies beside the checkout
# a test in two sizes: a short one, and the whole of it for `make soak`
TWO_SIZES = pytest.mark.parametrize("soak", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["short", "soak"])
# so many spoiled inputs of a kind: a few, and all of them for `make fuzz`
SPOILED = pytest.mark.parametrize("spoiled", [40, pytest.param(2000, marks=pytest.mark.fuzz)], ids=["short", "fuzz"])
TINY = ModelSection(model="tiny", dtype="float32")
SMALL = ["stage1.triplets=40", "context.clips=[1, 2, 4, 8]", "stage2=null"]


def has_torchcodec() -> bool:
    """Whether torchcodec is installed, and finds FFmpeg's libraries."""
    try:
        import torchcodec
    except (ImportError, OSError, RuntimeError):
        return False
    return torchcodec.ffmpeg_major_version is not None
