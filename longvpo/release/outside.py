"""A release as a stranger reads it: from the Hub, at a revision, past all caches and all folders of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

from longvpo.errors import LongVPOError
from longvpo.io.files import CARD
from longvpo.io.retry import with_retries
from longvpo.io.temporary import own_folder
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.release.target import Target, read_file


def check_from_outside(target: Target, revision: str) -> None:
    """Read the release at a commit or a tag. Raises what the readers raise, or LongVPOError where rows are missing."""
    call = _read_dataset if target.kind == "dataset" else _read_model
    with_retries(partial(call, target, revision), passes=lambda error: 0.0)


def _read_dataset(target: Target, revision: str) -> None:
    import datasets

    # without the scheme, a folder ./namespace/name that happens to be here would be read
    name = f"hf://datasets/{target.repo_id}"
    with _no_caches():
        for config in datasets.get_dataset_config_names(name, revision=revision):
            rows = datasets.load_dataset(name, config, split="train", revision=revision, streaming=True)
            first = next(iter(rows.take(1)), None)
            if first is None and rows.info.splits["train"].num_examples:
                raise LongVPOError(f"config {config} of {target} cannot be read at {revision}")


@contextmanager
def _no_caches() -> Iterator[None]:
    """The readers' caches are empty for a while, and may be where nothing can be written otherwise."""
    import datasets
    import huggingface_hub

    with (
        own_folder("read") as place,
        patch.object(huggingface_hub.constants, "HF_HUB_CACHE", str(place / "hub")),
        patch.object(datasets.config, "HF_DATASETS_CACHE", place / "datasets"),
        patch.object(datasets.config, "DOWNLOADED_DATASETS_PATH", place / "downloads"),
        patch.object(datasets.config, "EXTRACTED_DATASETS_PATH", place / "extracted"),
    ):
        yield


def _read_model(target: Target, revision: str) -> None:
    """The adapter's weights, or the merged model's: their names and sizes, not all their bytes."""
    from huggingface_hub import HfApi

    api = HfApi()
    read_file(api, target, CARD, revision)
    if api.file_exists(target.repo_id, ADAPTER_WEIGHTS, revision=revision):
        api.parse_safetensors_file_metadata(target.repo_id, ADAPTER_WEIGHTS, revision=revision)
    else:
        api.get_safetensors_metadata(target.repo_id, revision=revision)
