"""What made a dataset or an adapter: versions and revisions, as provenance.json beside it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from longvpo.io.files import PACKAGE, PROVENANCE, RELEASE, file_hash
from longvpo.io.records import read_record
from longvpo.io.weights import ADAPTER_WEIGHTS

PACKAGES = (
    *("accelerate", "av", "bitsandbytes", "datasets", "decord", "huggingface_hub", "numpy", "peft"),
    *("sentence-transformers", "torch", "torchvision", "transformers", "trl"),
)


def made_by(recipe: str, key: str, **more: Any) -> dict[str, Any]:
    """Nothing in it changes from run to run on one installation.

    Args:
        recipe: the recipe's hash.
        key: changes with everything that decided the result.
        more: what else to record, by name.
    """
    return {
        "longvpo": {"version": version("longvpo"), "git": _git()},
        "recipe": recipe,
        "key": key,
        **more,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": installed(PACKAGES),
    }


def found_at(name: str, kind: Literal["dataset", "model"], revision: str) -> dict[str, Any]:
    """Where a dataset or an adapter comes from: its repository, tag or branch, and commit.

    A folder that was published knows where. About another, its name is known, and the key of what made it.
    """
    folder = Path(name)
    if folder.exists():
        file = folder / RELEASE
        if file.is_file():
            said = read_record(file)
            return {"repo_id": said["repo_id"], "revision": said["tag"], "commit": said["commit"]}
        made = read_record(folder / PROVENANCE) if (folder / PROVENANCE).is_file() else {}
        return {"folder": folder.resolve().name, **({"key": made["key"]} if "key" in made else {})}
    from huggingface_hub import HfApi

    try:
        commit = HfApi().repo_info(name, repo_type=kind, revision=revision).sha
    except Exception:  # any error: it was read from the cache, without a network
        commit = None
    return {"repo_id": name, "revision": revision, "commit": commit}


def made_of(recipe: Any) -> dict[str, Any]:
    """Where the dataset of a TrainRecipe, and the adapter that it starts from, are published, if they are."""
    return {
        "dataset": found_at(recipe.data.dataset, "dataset", recipe.data.revision),
        "adapter": found_at(recipe.adapter, "model", recipe.adapter_revision) if recipe.adapter else None,
    }


def published_since(
    provenance: dict[str, Any], recipe: dict[str, Any], facts: dict[str, Any], beside: Path
) -> dict[str, Any]:
    """A training's provenance, with the repositories of the dataset and of the first adapter where they were folders
    then, and were published since. Only the same content counts: a folder of the same key, or the same weights.

    Args:
        beside: the folder in which the result lies: a relative path of the recipe may be meant from elsewhere.
    """
    given = {"dataset": recipe.get("data", {}).get("dataset"), "adapter": recipe.get("adapter")}
    for name, path in given.items():
        said = provenance.get(name) or {}
        if not path or "folder" not in said:
            continue
        for folder in (Path(path), beside / Path(path).name):
            if (folder / RELEASE).is_file() and _is_same(folder, said, facts if name == "adapter" else {}):
                provenance = provenance | {name: found_at(str(folder), "dataset", "main")}
                break
    return provenance


def _is_same(folder: Path, said: dict[str, Any], facts: dict[str, Any]) -> bool:
    weights = folder / ADAPTER_WEIGHTS
    if facts.get("adapter_sha256") and weights.is_file():
        return bool(file_hash(weights) == facts["adapter_sha256"])
    made = read_record(folder / PROVENANCE) if (folder / PROVENANCE).is_file() else {}
    return "key" in said and made.get("key") == said["key"]


def hardware(processes: int) -> str:
    """What the first process of a run has run on."""
    import torch

    if torch.cuda.is_available():
        return f"{processes} x {torch.cuda.get_device_name()}"
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Versions of those of the packages that are here."""
    found = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _git() -> str | None:
    """The commit of a checkout, with `+changes` where files differ from it; None of an installed package."""
    folder = PACKAGE.parent
    if not (folder / ".git").exists():
        return None
    try:
        said = [
            subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=20)
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):  # no git, or not the owner's
        return None
    return said[0].stdout.strip() + ("+changes" if said[1].stdout else "")
