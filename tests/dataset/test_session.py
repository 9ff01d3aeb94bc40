"""What a writer is asked about clips: a question goes by what is seen, and not by where it is kept."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from longvpo.clips.rows import Clip
from longvpo.dataset.session import clip_request
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.video.frames import ClipFrames

CLIP = Clip("c", "drawn", "videos/00000.mp4", 0.0, 4.0, "a ring", sha256="ab" * 32)


def media(*overrides: str) -> str:
    recipe = load_recipe(DatasetRecipe, "tiny", [*overrides])
    session: Any = SimpleNamespace(recipe=recipe, frames_of=ClipFrames(recipe.video, {}))
    return clip_request([CLIP], session, "what is it?").media


def test_an_answer_goes_by_the_quality_of_the_pictures_and_not_by_their_folder(tmp_path: Path) -> None:
    kept = [f"video.frames={tmp_path}", "video.frames_gb=3"]
    assert media(*kept, "video.frames_quality=null") == media("video.frames_quality=75") == media()
    assert media(*kept) == media("video.frames=elsewhere") == f"{media()} jpeg 90"
    assert media(*kept, "video.frames_quality=75") == f"{media()} jpeg 75"
