"""A finished dataset or adapter becomes a release: its files, its licence, its card, its line in the changelog.

Everything is made on this machine first; hub.py sends it. What is published names no folder of this machine and no
password: paths are cut to their last name, and addresses lose what stands before an @.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from longvpo.cards import CONFIGS, dataset_card, kind_of, model_card
from longvpo.errors import LongVPOError
from longvpo.folder import PROVENANCE, RELEASE, as_json, as_yaml, read_json, read_text, read_yaml, write_text
from longvpo.hub import File, Release, publish
from longvpo.licenses import UNKNOWN, check_license, dataset_license
from longvpo.merged import merge
from longvpo.model import ADAPTER_WEIGHTS
from longvpo.private import public
from longvpo.recipe import DatasetRecipe, TrainRecipe
from longvpo.retry import again
from longvpo.target import Target, check_push, read

NOT_PUBLISHED = ("work", "runs", RELEASE)
RESULTS = ("results.json", "heat_map.png")
BENCHMARKS = "benchmarks.yaml"  # in a folder of results: scores in the form of the Hub's .eval_results


def before_work(target: Target, recipe: DatasetRecipe | TrainRecipe, recipe_hash: str) -> Target:
    """Where the result of a recipe will be published, when that is allowed: asked before hours of work.

    Raises:
        LongVPOError: a licence is missing or unknown to the Hub, or check_push says no.
    """
    if isinstance(recipe, DatasetRecipe):
        dataset_license(recipe.license, {f"{key}.license": source.license for key, source in recipe.keyed_sources})
    else:
        check_license(recipe.license or recipe.base.license, "base.license", "base.license=")
    return check_push(target, recipe_hash)


def licensed(facts: dict[str, Any], stated: str | None) -> dict[str, Any]:
    """The facts of a build or a training with the licence under which it is published.

    Args:
        stated: at the release, for what the recipe stated none of: sources of a dataset, or the base of an adapter.

    Raises:
        LongVPOError: a licence is missing or unknown to the Hub, or none is missing and another is stated.
    """
    sources = facts.get("sources", [])
    said = {f"the licence of source {one['name']}": one["license"] for one in sources}
    said = said or {"the licence of the base": facts["license"]}
    missing = UNKNOWN in said.values()
    if stated:
        check_license(stated, "--license", "--license ")
        if not missing and stated not in {facts["license"], *said.values()}:
            raise LongVPOError("--license is for what the recipe states no licence of, and it states all of them")
        said = {what: stated if one == UNKNOWN else one for what, one in said.items()}
    license = dataset_license(facts["license"] if sources else None, said, "--license ")
    named = [one | {"license": license_id} for one, license_id in zip(sources, said.values(), strict=False)]
    more = {"licensed_at_release": True} if stated and missing else {}
    return facts | more | ({"sources": named} if sources else {}) | {"license": license}


def push(folder: Path, target: Target, results: Path | None = None, license: str | None = None) -> dict[str, Any]:
    """Publish a finished dataset or adapter at target.tag.

    Args:
        results: folder that `longvpo evaluate` made, of an adapter.
        license: as `licensed` takes it.

    Returns:
        What hub.publish says; it is kept in `folder`, so that what is made from it can name it.

    Raises:
        LongVPOError: the folder holds no such thing, or it cannot be published; the text says what is.
    """
    with staged(folder, target, results, license) as release:
        published = publish(release)
    write_text(folder / RELEASE, as_json(published))
    return published


def push_folder(
    folder: Path,
    repo_id: str | None,
    tag: str,
    private: bool | None,
    collection: str | None,
    results: Path | None,
    merged: bool,
    license: str | None = None,
) -> dict[str, Any]:
    """Publish what lies finished in a folder, under the name of its recipe where no other is given.

    Raises:
        LongVPOError: as check_push and push.
    """
    kind = kind_of(folder)
    facts = read_json(folder / "facts.json")
    if kind == "dataset" and (results or merged):
        raise LongVPOError(f"{folder} holds a dataset: --results and --merged are of adapters")
    licensed(facts, license)
    name = repo_id or facts["name"] + ("-merged" if merged else "")
    target = check_push(Target(kind, name, tag, private, collection), facts["recipe"])
    if not merged:
        return push(folder, target, results, license)
    with tempfile.TemporaryDirectory(prefix="longvpo-merged-") as temporary:
        merge(folder, Path(temporary))
        return push(Path(temporary), target, results, license)


@contextmanager
def staged(folder: Path, target: Target, results: Path | None = None, license: str | None = None) -> Iterator[Release]:
    """Everything that the release will hold, as files."""
    kind_of(folder)
    facts = licensed(read_json(folder / "facts.json"), license)
    with tempfile.TemporaryDirectory(prefix="longvpo-release-") as temporary:
        copy = Path(temporary)
        for path in folder.iterdir():
            if path.name not in NOT_PUBLISHED:
                (copy / path.name).symlink_to(path.resolve())  # nothing large is copied
        if results is not None:
            _add_results(copy, results)
        write_text(copy / "facts.json", as_json(public(facts)))
        for name in ("results.json", "trainer_state.json", "adapter_config.json"):
            if (copy / name).exists():
                write_text(copy / name, as_json(public(read_json(copy / name))))
        provenance = public(read_json(folder / PROVENANCE))
        recipe = _found_again(public(read_yaml(folder / "recipe.yaml")), provenance)
        write_text(copy / "recipe.yaml", as_yaml(recipe))
        files = {path: File(copy / path) for path in _paths(copy) if path not in ("README.md", PROVENANCE)}
        provenance |= {
            "release": {"repo_id": target.repo_id, "kind": target.kind, "tag": target.tag},
            "files": {path: file.sha256 for path, file in sorted(files.items())},
        }
        write_text(copy / PROVENANCE, as_json(provenance))
        card = dataset_card(copy) if target.kind == "dataset" else model_card(copy)
        write_text(copy / "README.md", card)
        files |= {path: File(copy / path) for path in ("README.md", PROVENANCE)}
        yield Release(target, files, partial(changelog, tag=target.tag, facts=facts), _check)


def _found_again(recipe: dict[str, Any], provenance: dict[str, Any]) -> dict[str, Any]:
    """A training recipe that names its dataset and the adapter it began with where they are published."""
    dataset, adapter = provenance.get("dataset") or {}, provenance.get("adapter") or {}
    if "repo_id" in dataset:
        recipe["data"] |= {"dataset": dataset["repo_id"], "revision": dataset["revision"]}
    if "repo_id" in adapter:
        recipe |= {"adapter": adapter["repo_id"], "adapter_revision": adapter["revision"]}
    return recipe


def changelog(old: str, tag: str, facts: dict[str, Any]) -> str:
    """The changelog with an entry for the tag on top; one that has it already stays as it is."""
    heading = f"## {tag} ("
    if heading in old:
        return old
    if "triplets" in facts:
        what = f"an adapter from {facts['triplets']:,} triplets in {facts['steps']:,} steps"
    else:
        counts = {stage: facts[stage]["triplets"] for stage in ("stage1", "stage2") if facts[stage]}
        what = ", ".join(f"{count:,} triplets of {stage}" for stage, count in counts.items())
    entry = f"{heading}{datetime.now(UTC):%Y-%m-%d})\n\n- {what}; recipe `{facts['recipe']}`\n"
    title, _, before = (old or "# Changelog\n").partition("\n")
    return f"{title}\n\n{entry}" + (f"\n{before.lstrip()}" if before.strip() else "")


def _paths(folder: Path) -> list[str]:
    """All files below a folder, links followed; of a dataset, those of its configs and those at the top."""
    found = []
    for item in sorted(folder.iterdir()):
        if item.is_file() and not item.name.startswith("."):  # what file managers leave
            found.append(item.name)
        elif item.name in CONFIGS or item.name == ".eval_results":
            found += [f"{item.name}/{path.name}" for path in sorted(item.iterdir()) if path.is_file()]
    return found


def _add_results(copy: Path, results: Path) -> None:
    for name in RESULTS:
        if not (results / name).is_file():
            raise LongVPOError(f"{results} holds no results: it has no {name}. Give a folder of `longvpo evaluate`")
        (copy / name).unlink(missing_ok=True)
        shutil.copy(results / name, copy / name)
    if (results / BENCHMARKS).is_file():
        (copy / ".eval_results").mkdir()
        write_text(copy / ".eval_results" / "longvpo.yaml", benchmarks(results / BENCHMARKS))


def benchmarks(file: Path) -> str:
    """Scores on benchmarks that the Hub registers, as it wants them under .eval_results.

    Args:
        file: YAML, a list of entries with `dataset: {id, task_id}`, `value`, and perhaps `date`, `source` and `notes`.

    Raises:
        LongVPOError: an entry is damaged.
    """
    from huggingface_hub import eval_result_entries_to_yaml, parse_eval_result_entries

    try:
        entries = parse_eval_result_entries(yaml.safe_load(read_text(file)))
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LongVPOError(
            f"{file} is no list of benchmark scores ({type(error).__name__}: {error}): give entries with "
            "`dataset: {id: ..., task_id: ...}` and `value`"
        ) from None
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)


def _check(target: Target) -> None:
    """Read the release as a stranger would, at its tag and past all caches."""
    call = _check_dataset if target.kind == "dataset" else _check_model
    again(partial(call, target), passes=lambda error: 0.0)


def _check_dataset(target: Target) -> None:
    import datasets

    for config in datasets.get_dataset_config_names(target.repo_id, revision=target.tag):
        rows = datasets.load_dataset(target.repo_id, config, split="train", revision=target.tag, streaming=True)
        first = next(iter(rows.take(1)), None)
        if first is None and rows.info.splits["train"].num_examples:
            raise LongVPOError(f"config {config} of {target} cannot be read at {target.tag}")


def _check_model(target: Target) -> None:
    """The adapter's weights, or the merged model's: their names and sizes, not all their bytes."""
    from huggingface_hub import HfApi

    api = HfApi()
    read(api, target, "README.md", target.tag)
    if api.file_exists(target.repo_id, ADAPTER_WEIGHTS, revision=target.tag):
        api.parse_safetensors_file_metadata(target.repo_id, ADAPTER_WEIGHTS, revision=target.tag)
    else:
        api.get_safetensors_metadata(target.repo_id, revision=target.tag)
