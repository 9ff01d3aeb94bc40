"""The table and the figure of the miniature study, from what is kept of its arms."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from miniature_arms import ARMS, CURVE, Arm

HERE = Path(__file__).parent
KEPT = HERE / "results" / "miniature.jsonl"
FIGURE = HERE / "results" / "miniature.png"
PAGE = HERE / "miniature.md"
BEGIN, END = "<!-- written by miniature.py --table -->\n", "<!-- until here -->\n"

COLUMNS = [("needle", number) for number in ("1", "2", "8", "32")] + [("multi", number) for number in ("2", "8", "32")]
PAPER_OF_BASE = "InternVL3-8B: MLVU 71.4, LongVideoBench 62.3, LVBench 48.8, MVBench 75.4"
BASES = {  # rows of bases, in front of the arm that begins there
    "stage1": ("base", "**base**", PAPER_OF_BASE),
    "no-nf4": ("base-no-nf4", "base, no NF4", ""),
    "order": ("base-order", "order questions: the base taught them", ""),
}
AGAINST = {"no-nf4": "stage1", "order": "base-order"}

Kept = dict[str, list[dict[str, Any]]]  # by arm: what each seed gave


def write_page(kept: Path) -> None:
    """Gather what is kept into one file, and write table and figure from it."""
    lines = [json.loads(path.read_text()) for path in sorted(kept.glob("*.json"))]
    KEPT.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_kept(KEPT)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + table(found) + END + rest.partition(END)[2])
    figure(found, FIGURE)


def read_kept(path: Path) -> Kept:
    """All arms of the study; none where it was not run."""
    return read_lines(path.read_text().splitlines() if path.is_file() else ())


def read_lines(lines: Iterable[str]) -> Kept:
    """What each line says of an arm with a seed."""
    found: Kept = {}
    for arm in sorted(map(json.loads, lines), key=lambda arm: arm["seed"]):
        found.setdefault(arm["arm"], []).append(arm)
    return found


def values(runs: Sequence[dict[str, Any]], measure: str, number: str) -> list[float]:
    """An accuracy in percent, a seed."""
    return [run[measure][number] for run in runs if number in run[measure]]


def longest(run: dict[str, Any], measure: str) -> float:
    """The value at the most clips or scenes."""
    return list(run[measure].values())[-1]


def cell(found: Sequence[float]) -> str:
    """Mean, and in brackets the least and the most."""
    if not found:
        return "not run"
    mean, least, most = (round(value) for value in (statistics.mean(found), min(found), max(found)))
    return f"{mean} ({least}–{most})"


def difference(runs: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]], measure: str) -> str:
    """At 32 clips or scenes, seed by seed: mean, least and most; bold where it is beyond chance.

    That is: all seeds have one sign, and the mean lies beyond two standard errors of two shares of all the questions.
    """
    theirs = {run["seed"]: run for run in others}
    both = [(run, theirs[run["seed"]]) for run in runs if run["seed"] in theirs]
    changes = [longest(run, measure) - longest(other, measure) for run, other in both]
    if not changes:
        return "not run"
    counted = "questions" if measure == "needle" else "multi_questions"
    number = sum(longest(run, counted) for run, _ in both)
    shares = [statistics.mean(longest(one[place], measure) for one in both) / 100 for place in (0, 1)]
    error = 100 * math.sqrt(sum(share * (1 - share) for share in shares) / number)
    mean = statistics.mean(changes)
    text = f"{mean:+.0f} ({min(changes):+.0f} to {max(changes):+.0f})"
    beyond = min(changes) * max(changes) > 0 and abs(mean) > 2 * error
    return f"**{text}**" if beyond else text


def title(arm: Arm, runs: Sequence[dict[str, Any]]) -> str:
    return arm.title.format(f"{runs[0]['triplets']:,}" if runs else "fewer")


def table(found: Kept) -> str:
    """The table in Markdown, with what stands above and below it."""
    heads = [
        f"{number} clip{'s' * (number != '1')}" if measure == "needle" else f"{number} scenes"
        for measure, number in COLUMNS
    ]
    lines = ["| | " + " | ".join([*heads, "at 32, against", "CPU s", "the paper"]) + " |"]
    lines.append("|---|" + "---:|" * (len(heads) + 2) + "---|")
    for arm in ARMS:
        if arm.name in BASES:
            name, shown, paper = BASES[arm.name]
            lines.append(row(shown, found.get(name, []), "", "", paper))
        runs = found.get(arm.name, [])
        against = AGAINST.get(arm.name, arm.against)
        measure = "multi" if arm.stage == 2 else "needle"
        change = f"{difference(runs, found.get(against, []), measure)} {against}" if runs else "not run"
        seconds = cell([run["cpu_seconds"] for run in runs])
        lines.append(row(title(arm, runs), runs, change, seconds, arm.paper))
    shown = [f"![accuracy by clips, by scenes and by triplets]({FIGURE.relative_to(HERE)})", ""] if found else []
    return "\n".join([*about(found), "", *lines, "", *shown, *(f"- {line}" for line in below(found))]) + "\n"


def row(shown: str, runs: Sequence[dict[str, Any]], change: str, seconds: str, paper: str) -> str:
    measured = [values(runs, measure, number) for measure, number in COLUMNS]
    cells = [cell(some) if some or not runs else "–" for some in measured]
    return "| " + " | ".join([shown, *cells, change, seconds, paper]) + " |"


def about(found: Kept) -> list[str]:
    """What was asked, and how exact that is."""
    runs = found.get("stage1", [])
    if not runs:
        return ["The study: not run."]
    needles, multi = (max(runs[0][counted].values()) for counted in ("questions", "multi_questions"))
    one, all_seeds = (50 / math.sqrt(count * min(needles, multi)) for count in (1, len(runs)))
    return [
        f"Accuracy in %: mean (least–most) of {len(runs)} seeds. A seed has {needles} questions for each number of",
        f"clips and {multi} for each number of scenes. The choice of questions gives a standard error of at most",
        f"{one:.1f} points in a seed, and {all_seeds:.1f} in the mean.",
    ]


def below(found: Kept) -> list[str]:
    """The promised gains, seed by seed, and what the reference costs."""
    lines = []
    for arm, measure, what in (("stage1", "needle", "clips"), ("stage2", "multi", "scenes")):
        bases = {run["seed"]: run for run in found.get("base", [])}
        runs = [run for run in found.get(arm, []) if run["seed"] in bases]
        gains = [longest(run, measure) - longest(bases[run["seed"]], measure) for run in runs]
        said = ", ".join(f"{gain:+.0f}" for gain in gains) or "not run"
        lines.append(
            f"Points above the base at 32 {what} after {arm.replace('stage', 'stage ')}, seed by seed: {said}."
        )
    steps = [run["steps"] for run in found.get("reference-full", []) if "steps" in run]
    if steps:
        for kind, where in (("anchor", "the anchor"), ("full", "the whole context")):
            step = [1000 * one[kind]["seconds_a_step"] for one in steps]
            reference = [1000 * one[kind]["phases"]["reference"] for one in steps]
            work = [1000 * one[kind]["tflop_a_step"] for one in steps]
            lines.append(
                f"With the reference on {where}, a step takes {cell(step)} milliseconds. The reference takes "
                f"{cell(reference)} of them. A step has {statistics.mean(work):.1f} GFLOP."
            )
    return lines


def figure(found: Kept, path: Path) -> None:
    """Needles by clips, questions about two scenes by scenes, and accuracy at 32 clips by triplets."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    drawn, axes = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
    shown = {
        "needle": ("base", "stage1", "no-filter", "anchor-first", "rejected-first", "dpo-only", "nll-only"),
        "multi": ("base", "stage1", "stage2", "stage2-alone", "stage2-from-base"),
    }
    for axis, (measure, names) in zip(axes, shown.items(), strict=False):
        for name in names:
            runs = found.get(name, [])
            if runs:
                numbers = list(runs[0][measure])
                columns = [values(runs, measure, number) for number in numbers]
                band(axis, [int(number) for number in numbers], columns, name.replace("-", " "))
        axis.set_xscale("log", base=2)
        axis.set_xlabel("clips in the context" if measure == "needle" else "scenes of the video")
    axes[0].set(title="one clip among others", ylabel="accuracy, %")
    axes[1].set(title="questions about two scenes")
    runs = [found[name] for name in (*CURVE, "stage1") if found.get(name)]
    if runs:
        for number in ("8", "32"):
            points = [[some[0]["triplets"], values(some, "needle", number)] for some in runs]
            band(axes[2], *map(list, zip(*points, strict=True)), f"{number} clips")
        axes[2].set_xscale("log", base=2)
    axes[2].set(title="after stage 1, by its triplets", xlabel="triplets")
    for axis in axes:
        axis.set_ylim(0, 103)
        ticks = sorted({x for line in axis.get_lines() for x in line.get_xdata()})
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        if axis.get_lines():
            axis.legend(fontsize=8, loc="lower left")
    path.parent.mkdir(exist_ok=True)
    drawn.savefig(path, dpi=90)
    pyplot.close(drawn)


def band(axis: Any, numbers: list[int], columns: list[list[float]], label: str) -> None:
    """The mean as a line, from least to most as a band."""
    (line,) = axis.plot(numbers, [statistics.mean(some) for some in columns], marker=".", label=label)
    axis.fill_between(
        numbers, [min(some) for some in columns], [max(some) for some in columns], alpha=0.15, color=line.get_color()
    )
