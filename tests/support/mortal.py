"""A writer whose process ends, or lacks memory, at some of its requests; and a small build of both stages."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import numpy as np
from support.scribe import Scribe

from longvpo.models.writer import Answer, Keep, Request
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe

TOGETHER = 4  # requests of a batch: so many are lost when their writer ends


class Mortal(Scribe):
    """After so many requests of all processes one of them falls, once each: killed, as the kernel ends a process where
    memory is full, or by an error of its own. What it was asked just then has no answer."""

    def __init__(self, asked: Path, falls: dict[int, str] | None = None, seconds: float = 0.0) -> None:
        super().__init__(asked, seconds)
        self.falls = falls or {}

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        for number, batch in enumerate(batches):
            with self.asked.open("a") as file:
                file.writelines(json.dumps([one.seed, one.text, one.media]) + "\n" for one in batch)
            time.sleep(self.seconds)
            self.fall()
            keep(number, [Answer(self.answer(request)) for request in batch])

    def fall(self) -> None:
        asked = self.asked.read_text().count("\n")
        for number, how in self.falls.items():
            mark = self.asked.with_name(f"{self.asked.name}-fell-{number}")
            if asked >= number and not mark.exists():
                mark.touch()
                if how == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise MemoryError("no memory is left")


class Quick:
    """An embedder that a process has at once: a text is its words, and a clip like no other."""

    def texts(self, texts: list[str]) -> np.ndarray:
        found = np.zeros((len(texts), 256), np.float32)
        for row, text in zip(found, texts, strict=True):
            row[[crc32(word.encode()) % 256 for word in text.split()]] = 1
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)

    def clips(self, clips: Iterable[np.ndarray]) -> np.ndarray:
        found = [np.random.default_rng(crc32(frames.tobytes())).normal(size=64) for frames in clips]
        return np.stack([one / np.linalg.norm(one) for one in found]) if found else np.zeros((0, 64))


def both_stages(world: Path, stories: Path, *more: str, triplets: int = 24) -> DatasetRecipe:
    """Blocks of a few clips, some of a small source that comes round before the other, and recursive captions."""
    small = f"{{name: few, folder: {world}, clips: 12, weight: 4, license: cc-by-4.0}}"
    overrides = [f"sources=[{{name: drawn, folder: {world}, license: cc-by-4.0}}, {small}]", "video.short_side=448"]
    overrides += [f"stage2.sources.0.folder={stories}", "context.clips=[1, 2, 4]", "video.cache_gb=0.6"]
    overrides += [f"stage1.triplets={triplets}", f"stage2.triplets={triplets}", "writer.batch_size=4"]
    overrides += ["filters.question_threshold=null", 'prompts.scene="{before}"', "stage2.caption_tokens=40"]
    return load_recipe(DatasetRecipe, "tiny", [*overrides, *more])


def asked_again(whole: Path, other: Path) -> int:
    """Requests of a build that were asked twice; those of a whole one were all asked, and no others."""
    once, again = (Counter(path.read_text().splitlines()) for path in (whole, other))
    assert set(once) == set(again)
    return again.total() - once.total()
