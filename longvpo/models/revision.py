"""Which model it is: its name, its commit or the hash of its files, its size."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from longvpo.io.files import text_hash
from longvpo.io.remembered import remembered_hash
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.recipe.sections import ModelSection

# files beside a model that say something about it, and decide no answer
RECORDS = re.compile(r"\..*|.*\.(md|png|yaml|lock)|(facts|provenance|release|results|trainer_state)\.json|videos\.txt")


def model_name(section: ModelSection, adapter: Path | None = None) -> str:
    """model@revision of a loaded model, for rows, cards and the journal. A path is nobody's business, so of a folder
    it is the last name.

    Args:
        adapter: folder of the adapter over it; its name and eight digits of the hash of its weights are added.
    """
    if adapter is not None:
        weights = remembered_hash(adapter / ADAPTER_WEIGHTS)[:8]
        given = str(getattr(section, "adapter", None) or adapter)  # on the Hub, its folder is named after a commit
        name = adapter.resolve().name if Path(given).is_dir() else given
        return f"{model_name(section)}+{name}@{weights}"
    name = Path(section.model).resolve().name if _is_folder(section) else section.model
    return f"{name}@{revision_of(section)}"


def revision_of(section: ModelSection) -> str:
    """What changes with a loaded model: its commit on the Hub, or eight digits of the hash of its folder's files."""
    return folder_hash(Path(section.model))[:8] if _is_folder(section) else commit_of(section)


def commit_of(section: ModelSection) -> str:
    """The commit of a model that was loaded from the Hub, as a branch moves; of another, its revision."""
    from huggingface_hub import try_to_load_from_cache

    if _is_folder(section) or section.model == "tiny":
        return section.revision
    # transformers 5.23 no longer keeps it; the Hub's client has put the file under its name
    there = try_to_load_from_cache(section.model, "config.json", revision=section.revision)
    return Path(there).parent.name if isinstance(there, str) else section.revision


def _is_folder(section: ModelSection) -> bool:
    return section.model != "tiny" and Path(section.model).is_dir()


def folder_hash(folder: Path) -> str:
    """Changes with the files of a model's folder that decide an answer: weights, configuration, processor."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not RECORDS.fullmatch(path.name))
    return text_hash(json.dumps([(path.name, remembered_hash(path)) for path in files]))


def about_base(model: Any, revision: str) -> dict[str, Any]:
    """A loaded base: its revision, its parameters and its bytes."""
    adapters = [one for name, one in model.named_parameters() if "lora_" in name]
    return {
        "revision": revision,
        "parameters": model.num_parameters() - sum(one.numel() for one in adapters),
        "bytes": model.get_memory_footprint() - sum(one.nbytes for one in adapters),  # as it was trained on
    }
