"""Embeddings of clips and of texts, by sentence-transformers, which loads image encoders such as DINOv2 too."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from longvpo.errors import LongVPOError
from longvpo.io.files import PACKAGE
from longvpo.io.home import may_be_id, meant_folder
from longvpo.models.load import NO_CODE, loading
from longvpo.recipe.sections import FilterSection

TINY = "tiny"  # the embedded encoders
TOGETHER = 16  # clips
EMBEDDED = {"image": "visual_encoder", "text": "text_encoder"}


class Embedder:
    """The recipe's two encoders: `clips` embeds frames, `texts` sentences."""

    def __init__(self, section: FilterSection) -> None:
        self.section = section
        self.images = _load(section.visual_model, section.visual_revision, "image")
        if section.visual_pooling:
            _pool(self.images, section)
        self.sentences = _load(section.text_model, section.text_revision, "text")

    def texts(self, texts: list[str]) -> np.ndarray:
        """Unit vectors, float32 of shape (n, dimension)."""
        vectors: np.ndarray = self.sentences.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return vectors

    def clips(self, clips: Iterable[np.ndarray]) -> np.ndarray:
        """Unit vectors of clips, float32 of shape (n, dimension): the normalised mean of the frames' unit vectors.

        Args:
            clips: frames of each, uint8 RGB of shape (frames, height, width, 3); at most `visual_frames` of them are
                used, evenly spread.
        """
        left = iter(clips)
        vectors = [self._embed(some) for some in iter(lambda: list(islice(left, TOGETHER)), [])]
        return np.concatenate(vectors) if vectors else np.zeros((0, 1))

    def _embed(self, clips: list[np.ndarray]) -> np.ndarray:
        from PIL import Image

        spread = [
            np.linspace(0, len(frames) - 1, min(len(frames), self.section.visual_frames)).round().astype(int)
            for frames in clips
        ]
        images = [Image.fromarray(frames[i]) for frames, indices in zip(clips, spread, strict=True) for i in indices]
        vectors = self.images.encode(images, normalize_embeddings=True, show_progress_bar=False)
        ends = np.cumsum([len(indices) for indices in spread])
        means = np.stack([part.mean(axis=0) for part in np.split(vectors, ends[:-1])])
        return means / np.linalg.norm(means, axis=1, keepdims=True)


def check_encoder(model: str) -> None:
    """Raises LongVPOError where an encoder's folder is not there; one on the Hub is not looked at."""
    if model != TINY and not may_be_id(model) and not Path(model).is_dir():
        raise LongVPOError(f"cannot load the encoder {model}: there is no such folder{meant_folder(model)}")


def _load(model: str, revision: str, takes: Literal["image", "text"]) -> Any:
    from sentence_transformers import SentenceTransformer

    path = str(PACKAGE / "tiny" / EMBEDDED[takes]) if model == TINY else model
    with loading(f"the encoder {model}"):
        options = {"dtype": "float32", "use_safetensors": True}
        encoder = SentenceTransformer(path, revision=revision, model_kwargs=options, **NO_CODE)
    if not encoder.supports(takes):
        key = "visual_model" if takes == "image" else "text_model"
        raise LongVPOError(f"the encoder {model} takes no {takes}: set filters.{key} to one that does, or to `tiny`")
    return encoder


def _pool(encoder: Any, section: FilterSection) -> None:
    """Let an encoder make a frame's vector of its tokens as the recipe says."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    parts = [module for module in encoder if isinstance(module, Pooling)]
    if not parts:
        raise LongVPOError(
            f"the encoder {section.visual_model} makes a frame's vector by itself: leave filters.visual_pooling out"
        )
    parts[0].pooling_mode = section.visual_pooling
