"""Everything that a release will hold, as files on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from longvpo.errors import LongVPOError, say
from longvpo.io.files import (
    BENCHMARKS,
    CARD,
    PROVENANCE,
    as_json,
    as_yaml,
    read_json,
    read_text,
    read_yaml,
    write_text,
)
from longvpo.io.private import local_folders, public
from longvpo.io.records import read_record
from longvpo.io.temporary import own_folder
from longvpo.release.benchmarks import FOUND, entries, found_in, read_benchmarks
from longvpo.release.card_file import check_own_card, write_card
from longvpo.release.cards import SHEETS, card_of, kind_in, kind_of, read_results
from longvpo.release.closed import allowing, closed_in, frames_in
from longvpo.release.contents import check_dataset_files, check_model_files, gather_files
from longvpo.release.leaks import check_private, private_texts
from longvpo.release.licenses import LICENSE, license_by, license_text, licensed
from longvpo.release.manifest import File, Release
from longvpo.release.markdown import code
from longvpo.release.outside import check_from_outside
from longvpo.release.provenance import published_since
from longvpo.release.settings import base_on_hub
from longvpo.release.target import Target
from longvpo.release.words import words_of

ADAPTER_CONFIG, NAMED = "adapter_config.json", "base_model_name_or_path"
STATES = ("trainer_state.json", ADAPTER_CONFIG)
CUT = (  # JSON files beside ours in which libraries write where something was loaded from
    *("results.json", *STATES, "config.json", "generation_config.json"),
    *("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json", "tokenizer_config.json"),
)
RESULTS = ("results.json", "heat_map.png")
SCORES = "benchmarks.yaml"  # in a folder of results: scores in the form of the Hub's .eval_results


def check_files(folder: Path, facts: dict[str, Any], results: Sequence[Path] = ()) -> None:
    """Before the Hub is asked for anything: whether a release can be made of what lies in a folder.

    Raises:
        LongVPOError: a file is damaged, or of another program; it is named as the user knows it.
    """
    ours = [path for path in results if (path / "results.json").is_file()]
    if len({path.resolve() for path in ours}) > 1:
        raise LongVPOError(
            f"{ours[0]} and {ours[1]} are both of `longvpo evaluate`, and a release has one results.json. Give one of "
            "them, or evaluate once more with all that is to be compared"
        )
    for path in ours:
        read_results(path / "results.json", facts)
    _measured(results, facts, folder)
    _check_frames(folder, facts)
    for name in STATES:
        if (folder / name).is_file():
            read_record(folder / name)
    card_of(folder)


def _check_frames(folder: Path, facts: dict[str, Any]) -> None:
    """Raises LongVPOError where frames stand in the rows, and those of a source may not be published."""
    closed = closed_in(facts)
    held = frames_in(folder) if closed else []
    if held:
        raise LongVPOError(
            f"the sampled frames stand in {' and '.join(held)} (embed: frames), and those of source {closed[0]} may "
            f"not be published: {allowing(folder, closed[0])}; else build it without `embed`"
        )


def _keep_pictures(folder: Path, copy: Path, facts: dict[str, Any]) -> None:
    """Take contact sheets out of a release where a source does not say that its videos may be published."""
    closed = closed_in(facts)
    sheets = [copy / name for name in SHEETS.values() if closed and (copy / name).exists()]
    if sheets:
        say(
            f"left out: {', '.join(path.name for path in sheets)}, as the frames of source {closed[0]} may not be "
            f"published: {allowing(folder, closed[0])}"
        )
    for path in sheets:
        path.unlink()


@contextmanager
def staged(
    folder: Path, target: Target, results: Sequence[Path] = (), license: str | None = None
) -> Iterator[Release]:
    """Everything that the release will hold, as files.

    Raises:
        LongVPOError: parts of it are missing or damaged, a card was edited by hand, or something private is in it.
    """
    kind = kind_of(folder)
    facts = licensed(read_record(folder / "facts.json"), license, folder)
    with own_folder("release") as copy:
        gather_files(folder, copy, kind)
        said, recipe = read_json(copy / PROVENANCE), read_yaml(copy / "recipe.yaml")
        if not target.overwrite_card:
            check_own_card(folder)
        _check_frames(folder, facts)
        check_dataset_files(folder, copy, facts) if kind == "dataset" else check_model_files(folder, copy)
        _keep_pictures(folder, copy, facts)
        if kind == "dataset":
            _add_license(copy, facts)
        _add_results(copy, results, facts)
        write_text(copy / "facts.json", as_json(public(facts)))
        for name in CUT:
            values = read_json(copy / name) if (copy / name).exists() else None
            if public(values) != values:  # one that has nothing to cut stays as it is, byte by byte
                write_text(copy / name, as_json(public(values)))
        provenance = public(published_since(said, recipe, facts, folder.resolve().parent))
        base = base_on_hub(facts, recipe)
        local = facts.get("base", {}).get("folder")  # its name: it may lie nowhere as seen from here
        told = recipe | ({"base": recipe["base"] | {"model": local}} if local else {})
        write_text(copy / "recipe.yaml", as_yaml(_found_again(public(told), provenance, base)))
        _name_base(copy / ADAPTER_CONFIG, base or local)
        if local and not base:
            say(
                f"note: the base was loaded from the folder {local}, so the card's program finds no base. Where it is "
                f"on the Hub, say so: longvpo card {folder} base.hub_id=OWNER/NAME"
            )
        (copy / CARD).unlink(missing_ok=True)
        (copy / PROVENANCE).unlink()
        files = {path.relative_to(copy).as_posix(): File(path) for path in sorted(copy.rglob("*")) if path.is_file()}
        provenance |= {
            "release": target.said or _said(target),
            "files": {path: file.sha256 for path, file in sorted(files.items())},
        }
        write_text(copy / PROVENANCE, as_json(provenance))
        write_card(copy, *_words(folder, facts, recipe, target))
        files |= {path: File(copy / path) for path in (CARD, PROVENANCE)}
        private = [str(folder), *map(str, results), *local_folders(recipe)]
        check_private({path: file.path for path, file in files.items()}, private_texts(private, _key_names(recipe)))
        yield Release(target, files, partial(changelog, tag=target.tag, facts=facts), check_from_outside)


def _name_base(config: Path, base: str | None) -> None:
    """Write into an adapter's configuration where others find its base."""
    said = read_json(config) if base and config.exists() else None
    if said and said.get(NAMED) != base:
        write_text(config, as_json(said | {NAMED: base}))


def _words(folder: Path, facts: dict[str, Any], recipe: dict[str, Any], target: Target) -> tuple[str, str | None]:
    """The words between the markers of the card, and their hash for write_card.

    They are those here, or else those that stand in the repository.

    Raises:
        LongVPOError: there are both, and no folder had those in the repository: a person wrote them there.
    """
    here, there = words_of(folder, facts, recipe), target.words
    if not here:
        return there, target.words_hash
    if there and here != there and target.words_edited and not target.overwrite_card:
        raise LongVPOError(
            f"the words between the markers of the {CARD} of {target} were edited there, and those of {folder} are "
            f"others: nothing was published. Write what is to stay into {folder / CARD}, and delete them there; "
            "--overwrite-card publishes those of this folder"
        )
    return here, None


def _said(target: Target) -> dict[str, Any]:
    """What a release says of itself."""
    said = {"repo_id": target.repo_id, "kind": target.kind, "tag": target.tag, "year": datetime.now(UTC).year}
    return said | ({"collection": target.collection} if target.collection else {})


def _add_license(copy: Path, facts: dict[str, Any]) -> None:
    """Write what was stated into LICENSE, where one id does not say it all. The user's own LICENSE stays as it is."""
    file, text = copy / LICENSE, license_text(public(facts))
    if license_by(file) == "publisher":
        return
    file.unlink(missing_ok=True)
    if text:
        write_text(file, text)


def _key_names(recipe: Any) -> list[str]:
    """Environment variables that a recipe names as holding keys."""
    if isinstance(recipe, list):
        return [name for item in recipe for name in _key_names(item)]
    if not isinstance(recipe, dict):
        return []
    here = [value for key, value in recipe.items() if key == "api_key_env" and isinstance(value, str)]
    return here + [name for item in recipe.values() for name in _key_names(item)]


def _found_again(recipe: dict[str, Any], provenance: dict[str, Any], base: str) -> dict[str, Any]:
    """A training recipe that names its base, its dataset and the adapter it began with where they are published."""
    if base:
        recipe["base"] |= {"model": base}
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
    if kind_in(facts) == "model":
        what = f"an adapter from {facts['triplets']:,} triplets in {facts['steps']:,} steps"
    else:
        counts = {stage: facts[stage]["triplets"] for stage in ("stage1", "stage2") if facts[stage]}
        what = ", ".join(f"{count:,} triplets of {stage}" for stage, count in counts.items())
    entry = f"{heading}{datetime.now(UTC):%Y-%m-%d})\n\n- {what}; recipe {code(facts['recipe'])}\n"
    title, _, before = (old or "# Changelog\n").partition("\n")
    return f"{title}\n\n{entry}" + (f"\n{before.lstrip()}" if before.strip() else "")


def _add_results(copy: Path, results: Sequence[Path], facts: dict[str, Any]) -> None:
    """What `longvpo evaluate` and lmms-eval measured, and scores for the Hub."""
    scores: list[dict[str, Any]] = []
    measured = _measured(results, facts, copy)
    if measured:
        write_text(copy / BENCHMARKS, as_json(measured))
        scores += entries(measured)
    for path in results:
        ours = [name for name in RESULTS if (path / name).is_file()]
        if not found_in(path) and len(ours) < len(RESULTS):
            missing = next(name for name in RESULTS if name not in ours)
            raise LongVPOError(
                f"{path} holds no results: it has no {missing}, and no {FOUND} of lmms-eval. Give a folder of "
                "`longvpo evaluate`, or the --output_path of lmms-eval"
            )
        for name in ours:
            (copy / name).unlink(missing_ok=True)
            shutil.copy(path / name, copy / name)
        if (path / SCORES).is_file():
            scores += read_scores(path / SCORES)
    if scores:
        (copy / ".eval_results").mkdir(exist_ok=True)
        write_text(copy / ".eval_results" / "longvpo.yaml", yaml.safe_dump(scores, sort_keys=False))


def _measured(results: Sequence[Path], facts: dict[str, Any], folder: Path) -> dict[str, Any] | None:
    """What lmms-eval measured of the adapter in `folder`; None where none of the results is its."""
    files = [file for path in results for file in found_in(path)]
    return read_benchmarks(files, facts, read_record(folder / "recipe.yaml")) if files else None


def read_scores(file: Path) -> list[dict[str, Any]]:
    """Scores on benchmarks that the Hub registers, as it wants them under .eval_results.

    Args:
        file: YAML, a list of entries with `dataset: {id, task_id}`, `value`, and perhaps `date`, `source` and `notes`.

    Raises:
        LongVPOError: an entry is damaged.
    """
    from huggingface_hub import eval_result_entries_to_yaml, parse_eval_result_entries

    try:
        found = parse_eval_result_entries(yaml.safe_load(read_text(file)))
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LongVPOError(
            f"{file} is not a list of benchmark scores ({type(error).__name__}: {error}): give entries with "
            "`dataset: {id: ..., task_id: ...}` and `value`"
        ) from None
    return eval_result_entries_to_yaml(found)
