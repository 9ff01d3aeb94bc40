"""Scores on public benchmarks: what lmms-eval measured, as a card and the Hub's .eval_results show it.

The rule: a score is shown only where longvpo's own model class was asked. It writes into lmms-eval's file which base,
which adapter (the sha256 of its weights) and which frames that was. A base and an adapter stand side by side only
where all else is equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError
from longvpo.io.private import public
from longvpo.io.records import Record, read_record, understood
from longvpo.release.measured import GAIN, LOSS

FOUND = "DATE_results.json"
ASKED = ("offset", "gen_kwargs")  # by lmms-eval, beside `--limit`
SETTINGS = (
    *("longvpo", "lmms_eval", "model", "dtype", "quantization", "attention", "frames", "fps", "short_side"),
    *("fit", "backend", "frames_quality"),
)
LATER = ("attention", "fit", "backend", "frames_quality")  # not in the files of earlier versions
PAPERS = ("OpenGVLab/InternVL3-8B", "OpenGVLab/InternVL3-8B-hf")  # the base that has scores in the paper
MVBENCH = (
    *("action_antonym", "action_count", "action_localization", "action_prediction", "action_sequence"),
    *("character_order", "counterfactual_inference", "egocentric_navigation", "episodic_reasoning"),
    *("fine_grained_action", "fine_grained_pose", "moving_attribute", "moving_count", "moving_direction"),
    *("object_existence", "object_interaction", "object_shuffle", "scene_transition", "state_change"),
    "unexpected_action",
)


@dataclass(frozen=True)
class Benchmark:
    task: str  # lmms-eval's name
    title: str
    metric: str = ""  # lmms-eval's name; empty: the first
    whole: float = 100.0  # what all answers right are given
    parts: tuple[str, ...] = ()  # the tasks whose mean is its score
    paper: tuple[float, ...] = ()  # percent of the paper's InternVL3-8B: base, stage 1, stage 2
    registered: tuple[str, str] | None = None  # where the Hub registers it as a benchmark: dataset and task_id


# none is known to be a benchmark that the Hub registers; `registered` is for when one is
BENCHMARKS = (
    Benchmark("lvbench", "LVBench", "lvbench_score", 1.0, paper=(48.8, 52.4, 53.6)),
    Benchmark("longvideobench_val_v", "LongVideoBench, val", "lvb_acc", 1.0, paper=(62.3, 66.8, 66.0)),
    Benchmark("mlvu_dev", "MLVU, dev", "mlvu_percetion_score", paper=(71.4, 75.1, 76.4)),
    Benchmark("videomme", "Video-MME", "videomme_perception_score", paper=(66.5, 68.1, 68.9)),
    Benchmark("videomme_w_subtitle", "Video-MME, subtitles", "videomme_perception_score", paper=(72.5, 74.0, 74.0)),
    Benchmark(
        "mvbench",
        "MVBench",
        "mvbench_accuracy",
        parts=tuple(f"mvbench_{one}" for one in MVBENCH),
        paper=(75.4, 75.1, 75.0),
    ),
)


def found_in(path: Path) -> list[Path]:
    """lmms-eval's results in a folder, the oldest first, or the one in a file; they are called DATE_results.json."""
    files = path.rglob("*_results.json") if path.is_dir() else [path] if path.is_file() else []
    return sorted(files, key=lambda file: (file.name, str(file)))


def read_benchmarks(files: Sequence[Path], facts: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """The scores of an adapter and of its base out of lmms-eval's results, a row a benchmark.

    Args:
        files: as found_in gives them. Where two are about one model and benchmark, the one with more questions counts,
            so that a try with `--limit` takes no whole score's place. Between equal ones the later counts. Files about
            other adapters are passed over.
        facts: the adapter's; recipe: that of its training.

    Returns:
        `adapter`, the sha256 of its weights, and `rows`: a benchmark's names, what was asked and how, and `base` and
        `adapter`, each a value and a date, or null. Values are in percent; those of an unknown
        task are as lmms-eval has them.

    Raises:
        LongVPOError: a file is damaged or of another model, none is of this adapter, or two cannot be compared.
    """
    found: dict[str, dict[str, tuple[Path, dict[str, Any]]]] = {}
    model = public(recipe["base"]["model"], "model")
    for file in files:
        results = read_record(file)
        with understood(file):
            asked = _asked(file, results)
            if asked["model"].rpartition("@")[0] != model:
                raise LongVPOError(f"{file} is of {asked['model']}, and the adapter's base is {model}: leave it out")
            if asked["adapter"] not in (None, facts["weights_sha256"]):
                continue
            for benchmark in _benchmarks(results):
                row = _row(benchmark, results, asked)
                percent, value = " %" if row["percent"] else "", row["value"]
                if not math.isfinite(value) or (percent and not 0 <= value <= 100):
                    told = f"{row['metric']} of {row['task']} comes to {value}{percent}"
                    raise LongVPOError(f"{file}: {told}, which is not a score: run lmms-eval again")
                models, of = found.setdefault(benchmark.task, {}), "adapter" if asked["adapter"] else "base"
                if of not in models or row["questions"] >= models[of][1]["questions"]:
                    models[of] = (file, row)
    if not any("adapter" in models for models in found.values()):
        names = ", ".join(map(str, files[:3]))
        raise LongVPOError(
            f"{names}: nothing there is of this adapter; run lmms-eval with it, as `longvpo evaluate RECIPE "
            "--benchmarks all --adapter FOLDER` prints it"
        )
    rows = [_side_by_side(found[task]) for task in sorted(found, key=lambda task: (_order(task), task))]
    return {"adapter": facts["weights_sha256"], "rows": rows}


def _asked(file: Path, results: Record) -> dict[str, Any]:
    """What longvpo's model class wrote into lmms-eval's results of itself."""
    if "config" not in results:
        raise LongVPOError(f"{file} is not of lmms-eval: give its {FOUND}, or the folder that `longvpo evaluate` made")
    written = results["config"]["batch_sizes"]
    if not written or not isinstance(written[0], dict) or "longvpo" not in written[0]:
        raise LongVPOError(f"{file} is of another model class of lmms-eval: give only what --model longvpo measured")
    asked: dict[str, Any] = written[0]
    return asked


def _benchmarks(results: Record) -> list[Benchmark]:
    """Those that have a score in these results: ours, a group only with all of its parts, and unknown tasks."""
    scores = results["results"]
    ours = [one for one in BENCHMARKS if set(one.parts or (one.task,)) <= scores.keys()]
    groups = {name for name, parts in results["group_subtasks"].items() if parts}
    known = groups.union(*((one.task, *one.parts) for one in BENCHMARKS))
    return ours + [Benchmark(task, task) for task in scores.keys() - known if _numbers(scores[task])]


def _row(benchmark: Benchmark, results: Record, asked: dict[str, Any]) -> dict[str, Any]:
    """A benchmark's score in these results, and all that decided it."""
    tasks = benchmark.parts or (benchmark.task,)
    scores = [results["results"][task] for task in tasks]
    metric = f"{benchmark.metric},none" if benchmark.metric else _numbers(scores[0])[0]
    values = [one[metric] for one in scores]
    counts = [results["n-samples"][task] for task in tasks]
    return {
        "task": benchmark.task,
        "title": benchmark.title,
        "metric": metric.removesuffix(",none"),
        "percent": bool(benchmark.metric),
        "questions": sum(count["effective"] for count in counts),
        "of": sum(count["original"] for count in counts),
        **{name: results["config"][name] for name in ASKED},
        **{name: asked.get(name) if name in LATER else asked[name] for name in SETTINGS},
        "value": round(100 / benchmark.whole * sum(values) / len(values), 2) if benchmark.metric else values[0],
        "date": asked["date"],
    }


def _numbers(scores: dict[str, Any]) -> list[str]:
    """The names of a task's numbers that are scores, and not errors of scores."""
    return [
        name
        for name, value in scores.items()
        if "," in name and "stderr" not in name and isinstance(value, int | float)
    ]


def _side_by_side(models: dict[str, tuple[Path, dict[str, Any]]]) -> dict[str, Any]:
    """The rows of base and adapter as one. Raises LongVPOError when they were not asked the same in the same way."""
    (file, row), *_, (other, theirs) = [*models.values()] * 2  # where there is one model, the same twice
    for name in ("questions", *ASKED, *SETTINGS):
        if row[name] != theirs[name]:
            raise LongVPOError(
                f"{row['task']}: {name} is {row[name]} in {file} and {theirs[name]} in {other}. Base and adapter "
                "stand side by side only where both were asked in the same way: run one of them again"
            )
    shared = {name: value for name, value in row.items() if name not in ("value", "date")}
    sides = {
        name: {"value": models[name][1]["value"], "date": models[name][1]["date"]} if name in models else None
        for name in ("base", "adapter")
    }
    return shared | sides | {"interval": _interval(shared, sides)}


def _interval(row: dict[str, Any], sides: dict[str, Any]) -> float | None:
    """Half of the 95 % interval of the change in points (Agresti's and Caffo's).

    It is computed as if base and adapter had been asked different questions, each about a video of its own:
    lmms-eval's results have only sums. Both were asked the same, which makes the true interval narrower. Several
    questions about one video, as in LVBench, make it wider.
    """
    if not row["percent"] or None in sides.values():
        return None
    asked = row["questions"] + 2
    shares = [(side["value"] / 100 * row["questions"] + 1) / asked for side in sides.values()]
    return round(196 * math.sqrt(sum(share * (1 - share) for share in shares) / asked), 1)


def _order(task: str) -> int:
    names = [one.task for one in BENCHMARKS]
    return names.index(task) if task in names else len(names)


def table(benchmarks: dict[str, Any], model: str) -> list[list[str]]:
    """The table of a card, its head first: BENCHMARKS, run or not, and then other tasks.

    Args:
        benchmarks: as read_benchmarks gives them.
        model: the base; the paper's own scores stand beside those of the base that the paper had.
    """
    papers = model in PAPERS
    head = ["benchmark", "base", "this one", "change", "questions", "asked with"]
    rows = {row["task"]: row for row in benchmarks["rows"]}
    lines = [[*_cells(one.title, rows.pop(one.task, None)), _paper(one.paper)] for one in BENCHMARKS]
    lines += [[*_cells(row["title"], row), _paper(())] for row in rows.values()]
    lines = [[*head, "the paper's own: base, stage 1, stage 2"], *lines]
    return lines if papers else [line[:-1] for line in lines]


def _cells(title: str, row: dict[str, Any] | None) -> list[str]:
    if row is None:
        return [title, *["not run"] * 5]
    sides = [row["base"], row["adapter"]]
    questions = f"{row['questions']:,}" + (f" of {row['of']:,}" if row["questions"] != row["of"] else "")
    frames = f"at most {row['frames']} frames, {row['fps']:g} a second, short side {row['short_side']}"
    dates = " and ".join(sorted({side["date"] for side in sides if side}))
    precision = ", ".join(filter(None, (row["dtype"], row["quantization"])))
    return [
        title,
        *(f"{side['value']:{'.1f' if row['percent'] else '.4g'}}" if side else "not run" for side in sides),
        _change(row),
        questions,
        f"{frames}; {precision}; lmms-eval {row['lmms_eval']}, {dates}",
    ]


def _change(row: dict[str, Any]) -> str:
    if not row["base"] or not row["adapter"]:
        return "not run"
    change = row["adapter"]["value"] - row["base"]["value"]
    if row["interval"] is None:
        return f"{change:+.3g}"
    mark = "" if abs(change) <= row["interval"] else f" {GAIN if change > 0 else LOSS}"
    return f"{change:+.1f} ±{row['interval']}{mark}"


def _paper(scores: tuple[float, ...]) -> str:
    return ", ".join(map(str, scores)) or "none"


def entries(benchmarks: dict[str, Any]) -> list[dict[str, Any]]:
    """What goes to the Hub's .eval_results: the adapter's whole scores on benchmarks that the Hub registers."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    registered = {one.task: one.registered for one in BENCHMARKS if one.registered}
    rows = [row for row in benchmarks["rows"] if row["task"] in registered and row["adapter"]]
    return eval_result_entries_to_yaml(
        [
            EvalResultEntry(
                *registered[row["task"]],
                row["adapter"]["value"],
                date=row["adapter"]["date"],
                notes=f"lmms-eval {row['lmms_eval']}, at most {row['frames']} frames",
            )
            for row in rows
            if row["questions"] == row["of"]
        ]
    )
