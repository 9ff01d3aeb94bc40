"""The encoders that measure clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

from longvpo.models.embed import Embedder
from longvpo.recipe.sections import FilterSection


def test_an_image_encoder_of_transformers_measures_clips(tmp_path: Path) -> None:
    torch.manual_seed(0)
    Dinov2Model(
        Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14)
    ).save_pretrained(tmp_path)
    size = {"height": 56, "width": 56}
    BitImageProcessor(size={"shortest_edge": 56}, crop_size=size).save_pretrained(tmp_path)
    embedder = Embedder(FilterSection(visual_model=str(tmp_path), visual_frames=3, text_model="tiny"))
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
