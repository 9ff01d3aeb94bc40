"""A finished dataset or adapter becomes a release: its files, its licence, its card, its line in the changelog.

Everything is made on this machine first, out of the files that longvpo made; hub.py sends it. What is published names
no folder of this machine and no key: values are cut (private.py), and then all bytes are searched (leaks.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError, say
from longvpo.io.files import RELEASE, as_json, write_text
from longvpo.io.records import read_record, understood
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import recipe_hash
from longvpo.recipe.training import TrainRecipe
from longvpo.release.cards import kind_of
from longvpo.release.hub import publish
from longvpo.release.licenses import check_license, dataset_license, licensed
from longvpo.release.staging import check_files, staged
from longvpo.release.target import Kind, Target, check_push


def before_work(
    recipe: DatasetRecipe | TrainRecipe,
    repo_id: str | None,
    tag: str,
    private: bool | None,
    collection: str | None,
    overwrite_card: bool = False,
) -> Target:
    """Where the result of a recipe will be published, when that is allowed: asked before hours of work.

    Args:
        repo_id: None: the recipe's name; the others are as in a Target.

    Raises:
        LongVPOError: a licence is missing or unknown to the Hub, or check_push says no.
    """
    if isinstance(recipe, DatasetRecipe):
        kind: Kind = "dataset"
        dataset_license(recipe.license, {f"{key}.license": source.license for key, source in recipe.keyed_sources})
    else:
        kind = "model"
        check_license(recipe.license or recipe.base.license, "base.license", "base.license=")
    target = Target(kind, repo_id or recipe.name, tag, private, collection, overwrite_card)
    return check_push(target, recipe_hash(recipe))


def push(folder: Path, target: Target, results: Sequence[Path] = (), license: str | None = None) -> dict[str, Any]:
    """Publish a finished dataset or adapter at target.tag.

    Args:
        results: for an adapter: folders that `longvpo evaluate` made, and folders or files of lmms-eval's results.
        license: as `licensed` takes it.

    Returns:
        What hub.publish says; it is kept in `folder`, so that what is made from it can name it.

    Raises:
        LongVPOError: the folder holds no such thing, or it cannot be published; the text says what is.
    """
    with staged(folder, target, results, license) as release:
        published = publish(release)
    try:
        write_text(folder / RELEASE, as_json(published))
    except OSError as error:  # the release is there all the same
        why = error.strerror or error
        say(
            f"note: {folder / RELEASE} cannot be written ({why}): what is made from this folder will not name the "
            "release"
        )
    return published


def push_folder(
    folder: Path,
    repo_id: str | None,
    tag: str,
    private: bool | None,
    collection: str | None,
    results: Sequence[Path] = (),
    license: str | None = None,
    overwrite_card: bool = False,
) -> dict[str, Any]:
    """Publish what lies finished in a folder: where no name is given, where it was published before, or under the name
    of its recipe.

    Raises:
        LongVPOError: as check_push and push.
    """
    kind = kind_of(folder)
    facts = read_record(folder / "facts.json")
    if kind == "dataset" and results:
        raise LongVPOError(f"{folder} holds a dataset: --results is for adapters")
    with understood(folder / "facts.json"):
        check_files(folder, licensed(facts, license, folder), results)
        before = read_record(folder / RELEASE)["repo_id"] if (folder / RELEASE).is_file() else facts["name"]
    target = check_push(Target(kind, repo_id or before, tag, private, collection, overwrite_card), facts["recipe"])
    return push(folder, target, results, license)
