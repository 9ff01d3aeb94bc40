"""The encoders that measure clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

from longvpo.errors import LongVPOError
from longvpo.models import embed
from longvpo.models.embed import Embedder
from longvpo.recipe.sections import FilterSection


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dino")
    torch.manual_seed(0)
    Dinov2Model(
        Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14)
    ).save_pretrained(folder)
    size = {"height": 56, "width": 56}
    BitImageProcessor(size={"shortest_edge": 56}, crop_size=size).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("pooling", ["cls", "mean", None])
def test_a_frames_vector_is_of_its_first_token_or_the_mean_of_all(pooling: str | None, dino: Path) -> None:
    section = {"visual_model": str(dino), "text_model": "tiny", "visual_pooling": pooling}
    embedder = Embedder(FilterSection.model_validate(section))
    frame = np.random.default_rng(0).integers(0, 255, (1, 64, 80, 3), np.uint8)
    model, processor = Dinov2Model.from_pretrained(dino).eval(), BitImageProcessor.from_pretrained(dino)
    with torch.no_grad():
        tokens = model(**processor(Image.fromarray(frame[0]), return_tensors="pt")).last_hidden_state[0]
    expected = tokens[0] if pooling == "cls" else tokens.mean(0)
    assert embedder.clips([frame])[0] == pytest.approx((expected / expected.norm()).numpy(), abs=1e-5)


def test_an_encoder_without_tokens_has_no_pooling() -> None:
    section = FilterSection(visual_model="someone/clip", visual_pooling="cls")
    with pytest.raises(LongVPOError, match=r"leave filters\.visual_pooling out"):
        embed._pool([object()], section)


def test_an_image_encoder_of_transformers_measures_clips(dino: Path) -> None:
    embedder = Embedder(FilterSection(visual_model=str(dino), visual_frames=3, text_model="tiny"))
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 255, (frames, 64, 80, 3), np.uint8) for frames in (1, 5, 9)]
    vectors = embedder.clips([*clips, clips[1]])
    assert vectors.shape == (4, 32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert vectors[1] @ vectors[3] == pytest.approx(1, abs=1e-5)
    assert vectors[1] @ vectors[2] < 0.9999
    # a clip is the mean of the unit vectors of evenly spread frames
    single = embedder.clips([clips[1][[place]] for place in (0, 2, 4)])
    mean = single.mean(axis=0)
    assert vectors[1] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
