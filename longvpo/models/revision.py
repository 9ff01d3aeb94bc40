"""Which model it is: its name, its commit, its size."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from longvpo.recipe.sections import ModelSection


def model_name(section: ModelSection, config: Any) -> str:
    """model@revision of a loaded model, for rows and cards.

    A path is nobody's business, so of a folder it is the last name, and eight digits that change with its
    configuration and the sizes of its files.
    """
    folder = Path(section.model)
    if section.model == "tiny" or not folder.is_dir():
        return f"{section.model}@{commit_of(section)}"
    files = sorted((path.name, path.stat().st_size) for path in folder.iterdir() if path.is_file())
    said = json.dumps([config.to_dict(), files], sort_keys=True, default=str).replace(str(folder), "")
    return f"{folder.resolve().name}@{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def commit_of(section: ModelSection) -> str:
    """The commit of a model that was loaded from the Hub, as a branch moves; of another, its revision."""
    from huggingface_hub import try_to_load_from_cache

    if section.model == "tiny" or Path(section.model).is_dir():
        return section.revision
    # transformers 5.23 no longer keeps it; the Hub's client has put the file under its name
    there = try_to_load_from_cache(section.model, "config.json", revision=section.revision)
    return Path(there).parent.name if isinstance(there, str) else section.revision


def about_base(model: Any, revision: str) -> dict[str, Any]:
    """A loaded base: its revision, its parameters and its bytes."""
    adapters = [one for name, one in model.named_parameters() if "lora_" in name]
    return {
        "revision": revision,
        "parameters": model.num_parameters() - sum(one.numel() for one in adapters),
        "bytes": model.get_memory_footprint() - sum(one.nbytes for one in adapters),  # as it was trained on
    }
