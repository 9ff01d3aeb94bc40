"""Which model it is: its name, its commit or the hash of its files, its size."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from longvpo import TINY
from longvpo.io.files import text_hash
from longvpo.io.home import may_be_id
from longvpo.io.remembered import remembered_hash
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.recipe.sections import ModelSection

EMBEDDED = "tiny"
WEIGHTS = (".safetensors", ".bin")
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
    """The commit of a model that was loaded from the Hub, because a branch moves; for other models, the revision."""
    from huggingface_hub import try_to_load_from_cache

    if _is_folder(section) or section.model == EMBEDDED:
        return section.revision
    # transformers 5.23 no longer keeps it; the Hub's client has put the file under its name
    there = try_to_load_from_cache(section.model, "config.json", revision=section.revision)
    return Path(there).parent.name if isinstance(there, str) else section.revision


def identity(name: str) -> str:
    """A model_name without the names of folders, which say nothing: what is left is equal of equal models."""
    name = re.sub(rf"^{EMBEDDED}@main(?=\+|$)", lambda _: f"{EMBEDDED}@{_embedded()}", name)
    return re.sub(r"(^|(?<=\+))[^@+/]+(?=@[0-9a-f]{8}(\+|$))", "", name)


@cache
def _embedded() -> str:
    """The revision that a copy of the embedded model has."""
    return folder_hash(TINY)[:8]


def is_same(model: str, other: str, revision: str = "main") -> bool:
    """Whether two names are of one base: a model and a copy of it, in a folder or in the Hub's cache."""
    return model == other or (base_hash(model, revision) or "") == (base_hash(other, revision) or None)


def base_hash(model: str, revision: str = "main") -> str | None:
    """Changes with a base's configuration and weights, wherever they lie; None where they are not on this machine."""
    from huggingface_hub import try_to_load_from_cache

    folder = TINY if model == EMBEDDED else Path(model)
    if not folder.is_dir():
        there = try_to_load_from_cache(model, "config.json", revision=revision) if may_be_id(model) else None
        if not isinstance(there, str):
            return None
        folder = Path(there).parent
    files = sorted(path for path in folder.iterdir() if path.name == "config.json" or path.suffix in WEIGHTS)
    return text_hash(json.dumps([(path.name, _content(path)) for path in files])) if len(files) > 1 else None


def _content(path: Path) -> str:
    """sha256 of a file; the Hub's cache names large ones by it."""
    blob = path.resolve().name
    return blob if path.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", blob) else remembered_hash(path)


def _is_folder(section: ModelSection) -> bool:
    return section.model != EMBEDDED and Path(section.model).is_dir()


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
