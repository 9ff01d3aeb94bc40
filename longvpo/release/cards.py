"""Files of a result and a template to the text of its card; card_file.py writes it.

The rule: a card states no number that no file beside it has, and says `not run` of what was not run. So it can be made
again anywhere, from recipe.yaml, facts.json, provenance.json and an adapter's results.json.
"""

from __future__ import annotations

import shlex
from functools import cache, partial
from math import isnan, nan
from pathlib import Path
from typing import Any, Literal

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, UndefinedError
from markupsafe import Markup

from longvpo.errors import LongVPOError, first_line
from longvpo.io.files import BENCHMARKS, PROVENANCE, as_yaml, shipped
from longvpo.io.home import meant_folder
from longvpo.io.records import Record, read_record, remedy, understood, unfinished
from longvpo.release.benchmarks import table
from longvpo.release.citation import citation
from longvpo.release.licenses import LICENSE, UNKNOWN, license_by, stated
from longvpo.release.markdown import as_json, at_hub, code, fenced, inline, page_of, paragraphs, quoted, tidy
from longvpo.release.measured import intervals_said, mark, scoring_said, spread, tables
from longvpo.release.parquet import column_types, dataset_info, shards
from longvpo.release.settings import base_on_hub, settings
from longvpo.release.spot_check import read_spot_check
from longvpo.release.words import BEGIN, END, with_words, words_of

FILES = ("facts.json", "recipe.yaml", PROVENANCE)
SHEETS = {"stage1": "contact_sheet.png", "stage2": "contact_sheet_stage2.png"}
CONFIGS = ("stage1", "stage2", "scenes", "clips", "dropped")  # the first that is there is the default
BAR = 24  # characters of the longest bar of a histogram
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
YOURS = Markup(f"{BEGIN}\n{END}")  # a place in the page: words are put there as they stand
SEEN = {"anchor": "the anchor clip", "relevant": "the relevant clips", "full": "the whole context"}


def card_of(folder: Path, words: str | None = None) -> str:
    """The card of a finished dataset, of an adapter, or of a base with an adapter merged into it, as text.

    Where provenance.json names a release, the card says how to load that.

    Args:
        words: those of a person, for the part between the markers; None: as words_of finds them in the folder.

    Raises:
        LongVPOError: the folder holds no dataset or adapter of longvpo, or a file in it is damaged.
    """
    card = _model_card if kind_of(folder) == "model" else _dataset_card
    with understood(*(folder / name for name in FILES)):
        facts, recipe, provenance = (read_record(folder / name) for name in FILES)
        release = provenance.get("release")
        name = release["repo_id"] if release else facts["name"]
        values = {"facts": facts, "recipe": recipe, "provenance": provenance, "release": release, "name": name}
        page = card(folder, **values, citation=citation(release))
        return with_words(page, words_of(folder, facts, recipe) if words is None else words)


def kind_of(folder: Path) -> Literal["dataset", "model"]:
    """What a folder holds. Raises LongVPOError when it is not a finished dataset or adapter of longvpo."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        what = f"{folder} holds no finished dataset or adapter: it has no {missing[0]}{meant_folder(folder)}"
        if unfinished(folder):
            raise LongVPOError(f"{what}. Its build has not finished: the same `longvpo build-dataset` resumes it")
        raise LongVPOError(f"{what}. Give the folder that `longvpo build-dataset` or `longvpo train` made")
    return kind_in(read_record(folder / "facts.json"))


def kind_in(facts: dict[str, Any]) -> Literal["dataset", "model"]:
    """What facts are about; those of the first versions do not say so."""
    return facts.get("kind") or ("model" if "trained_parameters" in facts else "dataset")


def _dataset_card(folder: Path, facts: Record, recipe: Record, **more: Any) -> str:
    files = {config: shards(folder / config) for config in CONFIGS}
    files = {config: paths for config, paths in files.items() if paths}
    infos = {config: dataset_info(config, paths) for config, paths in files.items()}
    rows = {config: info["splits"][0]["num_examples"] for config, info in infos.items()}
    triplets = sum(rows.get(stage, 0) for stage in SHEETS)
    sources = {source["dataset"].rpartition("@")[0] for source in facts["sources"] if source["dataset"]}
    licenses = {source["license"] for source in facts["sources"]}
    license_id = facts["license"] or (licenses.pop() if len(licenses) == 1 else UNKNOWN)
    written_by = license_by(folder / LICENSE)
    front = {
        "pretty_name": facts["name"],
        **_license(license_id, LICENSE if written_by else None),
        "language": list(facts.get("stated", {}).get("language", recipe["language"])),
        "task_categories": ["video-text-to-text"],
        "size_categories": [next((name for limit, name in SIZES if triplets < limit), "n>1M")],
        "annotations_creators": ["machine-generated"],
        "source_datasets": [f"extended|{source}" for source in sorted(sources)] or ["original"],
        "tags": ["longvpo", "video", "preference", "dpo", "trl", "long-video"],
        "configs": [
            {
                "config_name": config,
                "data_files": [{"split": "train", "path": _paths(folder, paths)}],
                **({"default": True} if number == 0 else {}),
            }
            for number, (config, paths) in enumerate(files.items())
        ],
        "dataset_info": list(infos.values()),
    }
    stages = [stage for stage in SHEETS if facts[stage]]
    for stage in stages:
        if rows.get(stage) != facts[stage]["triplets"]:
            raise LongVPOError(
                f"{folder / stage} holds {rows.get(stage, 0)} rows, and facts.json counts {facts[stage]['triplets']}: "
                f"a file of it is missing, or of another build; {remedy(folder / 'facts.json')}"
            )
    return _render(
        "dataset",
        front,
        facts=facts,
        recipe=recipe,
        **more,
        stages=stages,
        spot_check=read_spot_check(folder),
        rows=rows,
        columns=_columns(files),
        license_by=written_by,
        sheets={stage: name for stage, name in SHEETS.items() if (folder / name).is_file()},
    )


def _columns(files: dict[str, list[Path]]) -> list[dict[str, Any]]:
    """Every column once: its name, its type, the configs that have it, and whether configs of triplets do."""
    found: dict[tuple[str, str], list[str]] = {}
    for config, paths in files.items():
        for column in column_types(paths).items():
            found.setdefault(column, []).append(config)
    return [
        {"name": name, "type": type, "configs": configs, "triplets": not SHEETS.keys().isdisjoint(configs)}
        for (name, type), configs in found.items()
    ]


def _model_card(folder: Path, facts: Record, recipe: Record, provenance: Record, **more: Any) -> str:
    results = folder / "results.json"
    merged = not (folder / "adapter_config.json").is_file()
    base = base_on_hub(facts, recipe)
    written_by = license_by(folder / LICENSE)
    of_base = None if not base or recipe.get("license") else page_of(base)
    tags = ["longvpo", "dpo", "trl", "video", "long-video", *(() if merged else ("lora", "peft"))]
    front = {
        "library_name": "transformers" if merged else "peft",
        **_license(facts["license"], LICENSE if written_by else of_base),
        "language": list(facts.get("stated", {}).get("language", recipe["language"])),
        "pipeline_tag": "video-text-to-text",
        **({"base_model": base, "base_model_relation": "finetune" if merged else "adapter"} if base else {}),
        **({"datasets": [provenance["dataset"]["repo_id"]]} if "repo_id" in provenance["dataset"] else {}),
        "tags": [*tags, *([f"base_model:adapter:{base}"] if base and not merged else [])],
    }
    return _render(
        "model",
        front,
        facts=facts,
        recipe=recipe,
        provenance=provenance,
        **more,
        merged=merged,
        base=base,
        license_by=written_by,
        settings=settings(facts, recipe),
        seen=SEEN,
        benchmarks=_benchmarks(folder / BENCHMARKS, recipe["base"]["model"]),
        scores=(folder / ".eval_results").is_dir(),
        curves=(folder / "curves.png").is_file(),
        results=read_results(results, facts) if results.is_file() else None,
    )


def bars(histogram: dict[str, float]) -> Markup:
    """A histogram as a block of lines, without those of 0."""
    longest, width = max(histogram.values()), max(map(len, histogram))
    lines = (
        f"{' '.join(name.split()):>{width}}  {'█' * round(BAR * count / longest) or '▏'} {count:,g}"
        for name, count in histogram.items()
        if count
    )
    return fenced("\n".join(lines))


def pretty(row: dict[str, Any]) -> Markup:
    """A row as a block of JSON, a line for each column and for each item of a list of objects; numbers to 4 digits."""

    def text(value: Any) -> str:
        value = (
            [round(one, 4) if isinstance(one, float) else one for one in value] if isinstance(value, list) else value
        )
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n" + ",\n".join(f"    {as_json(one)}" for one in value) + "\n  ]"
        return as_json(value)

    columns = ",\n".join(f"  {as_json(str(name))}: {text(value)}" for name, value in row.items())
    return fenced(f"{{\n{columns}\n}}", "json")


def _render(kind: Literal["dataset", "model"], front: dict[str, Any], **values: Any) -> str:
    """The template's text; a name that it uses and that is not given is an error."""
    try:
        return f"---\n{as_yaml(front)}---\n{tidy(_template(kind).render(**values, yours=YOURS))}"
    except (UndefinedError, yaml.YAMLError, ArithmeticError) as error:  # such as a number in the place of a list
        raise ValueError(first_line(error)) from error


@cache
def _template(kind: Literal["dataset", "model"]) -> Template:
    environment = Environment(
        loader=FileSystemLoader(shipped(f"{kind}_cards")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,  # what a macro gives is text of the page
        finalize=lambda value: inline(value) if isinstance(value, str) and not hasattr(value, "__html__") else value,
    )
    environment.filters |= {"bars": bars, "pretty": pretty, "stated": stated}
    environment.filters |= {"code": code, "fenced": fenced, "quoted": quoted, "paragraphs": paragraphs}
    environment.filters |= {"at_hub": at_hub, "written": partial(inline, links=True), "shell": shlex.quote}
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    return environment.get_template("README.md.jinja")


def _license(license_id: str, place: str | None) -> dict[str, str]:
    """The Hub wants a name for what is not in its list, and where it can be read: a file or a page, if any."""
    if license_id != "other":
        return {"license": license_id}
    named = {"license_name": "see-license" if place == LICENSE else "see-the-card"}
    return {"license": license_id} | named | ({"license_link": place} if place else {})


def _paths(folder: Path, paths: list[Path]) -> str | list[str]:
    names = [str(path.relative_to(folder)) for path in paths]
    return names[0] if len(names) == 1 else names


def read_results(file: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """A results.json as the model card of these facts shows it: tables with this adapter's change against the base.

    Returns:
        this: the name of this adapter in the results. tables: title, column, groups, questions, and rows, by model
        and group as texts. kept: what is left on one clip. scoring and intervals: how answers were scored, and what ±
        and marks mean. recommended: as _recommended says. all: the results themselves.

    Raises:
        LongVPOError: it is damaged, or of other adapters.
    """
    results = read_record(file)
    with understood(file):
        this = next((name for name, sha256 in results["adapters"].items() if sha256 == facts["weights_sha256"]), None)
        if this is None:
            raise LongVPOError(f"{file} is of other adapters: evaluate this one, and give that folder as --results")
        return {
            "this": this,
            "tables": tables(results),
            "recommended": _recommended(results, this),
            "kept": _kept(results, this),
            "all": results,
            "scoring": scoring_said(results),
            "intervals": intervals_said(results),
        }


def _recommended(results: dict[str, Any], this: str) -> dict[str, Any] | None:
    """The longest tested context at which 90 % of the accuracy on one clip is left, in clips and frames.

    Empty where no question about one clip was answered right; None where one clip was not asked about.
    """
    needle = results["needle"][this]
    if isnan(needle.get("1", nan)):
        return None
    kept = [number for number, value in needle.items() if value >= 0.9 * needle["1"] > 0]
    longest = max(kept, key=int, default="")
    return {"clips": longest, "frames": results["frames"][longest]} if kept else {}


def _benchmarks(file: Path, model: str) -> list[list[str]] | None:
    """The table of scores on public benchmarks; None where lmms-eval measured nothing."""
    if not file.is_file():
        return None
    benchmarks = read_record(file)
    with understood(file):
        return table(benchmarks, model)


def _kept(results: dict[str, Any], this: str) -> str:
    """An adapter's accuracy on one clip, where no long video is needed, beside the base's; empty where not asked."""
    kept = results.get("retention", {}).get(this)
    if not kept or isnan(kept["change"]):
        return ""
    values = {this: kept["adapter"], "base": kept["base"]}
    adapter, base = (spread(results, "needle", name, "1", value) for name, value in values.items())
    change = f"{kept['change']:+.1f}{mark(results, 'needle', this, '1')}"
    said = f"{kept['adapter']:.1f}{adapter} % of {kept['questions']} questions"
    return f"{said}; the base {kept['base']:.1f}{base} % ({change})"
