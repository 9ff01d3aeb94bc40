"""What the tests share: a small drawn world, the triplets built from it, and the tiny model, each made once a run."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.update(
    HF_HOME=tempfile.mkdtemp(prefix="longvpo-tests-"),
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TRANSFORMERS_VERBOSITY="error",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",  # threads of several processes on few cores wait for each other, spinning
)

import numpy as np
import pytest
from support.families import FAMILIES
from support.films import joined
from support.hub.pushes import Pushes, forking
from support.hub.server import hub
from support.real_servers import llama_cpp, transformers_serve
from support.world import FOOTAGE, SMALL

from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe


def pytest_configure() -> None:
    """A shell lets `make test &`, and all that it starts, ignore an interrupt: some tests send one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Promises first: they take longest, and the many short tests fill what is left of two workers' time."""
    items.sort(key=lambda item: "promises" not in item.path.parts)


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


SHARED: dict[Path, dict[str, tuple[int, int]]] = {}


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """The files of a folder: how large each is, and when it was changed."""
    found = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def shared(folder: Path) -> Path:
    """The folder, which all tests of a run read and none may change."""
    SHARED[folder] = state(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def shared_folders_stay_as_they_are() -> Iterator[None]:
    """A file in a shared folder would be found by the tests that happen to run later, and by no others."""
    yield
    for folder, before in SHARED.items():
        SHARED[folder] = state(folder)
        changed = sorted(name for name, _ in before.items() ^ SHARED[folder].items())
        assert not changed, f"a test here changed {folder}, which others read too: {changed}; let it take a copy"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty drawn clips with captions."""
    from longvpo.tiny.world import write_world

    folder = tmp_path_factory.mktemp("world")
    write_world(folder, clips=60, seed=11, split="train")
    return shared(folder)


@pytest.fixture(scope="session")
def test_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty clips of held-out combinations, with questions and answers."""
    from longvpo.tiny.world import write_world

    folder = tmp_path_factory.mktemp("test_world")
    write_world(folder, clips=60, seed=12, split="test")
    return shared(folder)


@pytest.fixture(scope="session")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long videos of 4 to 9 drawn scenes, with nothing said about them."""
    from longvpo.tiny.stories import write_stories

    folder = tmp_path_factory.mktemp("stories")
    write_stories(folder, [4, 6, 9, 6, 5, 8], seed=13, split="train")
    return shared(folder)


@pytest.fixture(scope="session")
def dataset_recipe(world: Path) -> DatasetRecipe:
    return load_recipe(DatasetRecipe, "tiny/dataset", [f"sources.0.folder={world}", *SMALL])


@pytest.fixture(scope="session")
def dataset(dataset_recipe: DatasetRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty triplets in a folder."""
    from longvpo.dataset.run import build

    folder = tmp_path_factory.mktemp("built") / "dataset"
    build(dataset_recipe, folder)
    return shared(folder)


@pytest.fixture(scope="session")
def trained(dataset: Path, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter after two steps."""
    from longvpo.recipe.training import TrainRecipe
    from longvpo.training.run import train

    folder = tmp_path_factory.mktemp("trained") / "adapter"
    data = [f"data.dataset={dataset}", f"data.videos.drawn={world}"]
    train(load_recipe(TrainRecipe, "tiny", [*data, "training.max_steps=2", "training.logging_steps=1"]), folder)
    return shared(folder)


@pytest.fixture(scope="session")
def pushes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushes]:
    """Commands that talk to a Hub on this machine."""
    folder = tmp_path_factory.mktemp("pushes")
    with hub(folder / "hub") as address, forking(address, folder) as started:
        yield started


@pytest.fixture(scope="session")
def rows(dataset: Path) -> list[dict[str, Any]]:
    from datasets import load_dataset

    return load_dataset(str(dataset), "stage1", split="train").to_list()


@pytest.fixture(scope="session")
def batch(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Contexts of three lengths, answers of different lengths, each kind of reference."""
    picked = [dict(next(row for row in rows if len(row["context"]) == length)) for length in (4, 1, 2)]
    picked[0]["chosen"] = "red and blue, in the sea"
    picked[2]["rejected"] = "in the sea and in the fog"
    return [row | {"reference": kind} for row, kind in zip(picked, ("anchor", "full", "anchor"), strict=True)]


@pytest.fixture(scope="session", params=FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a family of models."""
    return request.param


@pytest.fixture(scope="session")
def base(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the family."""
    folder = tmp_path_factory.mktemp(name) / "base"
    for part in FAMILIES[name]():
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def footage() -> Path:
    if not FOOTAGE.is_dir():
        pytest.skip("the folder ../shared/videos with real footage is not here")
    return FOOTAGE


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The url of llama.cpp with a real language model of 135 million parameters, which is small and weak."""
    with llama_cpp(tmp_path_factory.mktemp("llama")) as url:
        yield url


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The url of `transformers serve` with the embedded model."""
    with transformers_serve(tmp_path_factory.mktemp("serve")) as url:
        yield url


@pytest.fixture(scope="session")
def ten_minutes(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """The film and the times of its joins."""
    return joined(footage, tmp_path_factory.mktemp("joined"))


@pytest.fixture(scope="session")
def first(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of forty triplets."""
    return Path(shutil.copytree(dataset, tmp_path_factory.mktemp("first") / "dataset"))


@pytest.fixture(scope="session")
def second(world: Path, stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one under the same name, of both stages, with its frames."""
    from longvpo.dataset.run import build

    folder = tmp_path_factory.mktemp("second") / "dataset"
    sources = [f"sources.0.folder={world}", f"stage2.sources.0.folder={stories}", "embed=frames", "seed=5"]
    small = ["stage1.triplets=30", "stage2.triplets=20", "context.clips=[2, 4]", "stage2.max_scenes=9"]
    build(load_recipe(DatasetRecipe, "tiny", [*sources, *small]), folder)
    return folder


@pytest.fixture(scope="session")
def adapter(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(trained, tmp_path_factory.mktemp("trained") / "adapter"))


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from longvpo.video.frames import write_video

    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), np.uint8), 4)
    return path
