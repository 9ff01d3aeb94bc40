"""Figures of the benchmarks' pages are those of the files in benchmarks/results, rounded."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.pages import tables
from support.world import ROOT

PAGES = ROOT / "benchmarks"
RESULTS = PAGES / "results"
SIDES = {  # what the page calls a side of gpu_step.py
    "stock TRL": "stock",
    "ours, the reference on the whole context": "full",
    "ours": "ours",
    "ours, reference scored before": "precomputed",
    "ours, and vision features kept": "kept",
}


def lines(name: str) -> list[dict[str, Any]]:
    """What a file of JSON lines holds, without the line that says on which machine."""
    found = [json.loads(line) for line in (RESULTS / name).read_text(encoding="utf-8").splitlines() if line]
    return [one for one in found if "torch" not in one]


def numbers(cell: str) -> list[str]:
    """The numbers of a cell, in their order: `2.78 (0.26x)` has two."""
    return re.findall(r"\d[\d.,]*(?:e-\d+)?", cell)


def says(written: str, measured: float) -> bool:
    """A number as it is written, to its last digit."""
    if "e-" in written:
        return f"{measured:.0e}" == written
    written = written.replace(",", "")
    digits = len(written.partition(".")[2])
    return abs(float(written) - measured) <= 0.5 * 10**-digits + 1e-9


def filled(rows: list[list[str]]) -> list[list[str]]:
    """Rows whose empty first cell stands for the one above."""
    for above, row in pairwise(rows):
        row[0] = row[0] or above[0]
    return rows


def test_a_number_is_compared_to_its_last_digit() -> None:
    assert says("2.78", 2.7814)
    assert not says("2.79", 2.7814)
    assert says("1,323", 1322.6)
    assert not says("8e-07", 7.4e-7)


def test_a_step_on_a_gpu() -> None:
    found = {(line["frames"], line["side"]): line for line in lines("gpu_step-h100.jsonl")}
    rows = filled(tables(PAGES / "training.md", "| MFU |"))
    assert len(rows) == 9
    for frames, side, seconds, memory, mfu in rows:
        number, tokens = (int(one.replace(",", "")) for one in numbers(frames))
        line, stock = found[number, SIDES[side]], found.get((number, "stock"))
        assert line["tokens"] == tokens
        assert says(numbers(mfu)[0], 100 * line["mfu"])
        for cell, key in ((seconds, "seconds"), (memory, "peak_gb")):
            assert says(numbers(cell)[0], line[key]), cell
            if "x" in cell:
                assert stock
                assert says(numbers(cell)[1], line[key] / stock[key]), cell
        if side == "ours":
            assert says(numbers(memory)[-1], line["estimate_gb"])


def test_offloaded_activations() -> None:
    found = {line["side"]: line for line in lines("gpu_step-h200-16frames.jsonl")}
    page = " ".join((PAGES / "training.md").read_text(encoding="utf-8").split())
    said = re.search(r"([\d.]+) GB instead of ([\d.]+), in the same time \(([\d.]+) and ([\d.]+) s\)", page)
    assert said
    measured = (found[side][key] for key in ("peak_gb", "seconds") for side in ("offload", "ours"))
    assert [says(one, value) for one, value in zip(said.groups(), measured, strict=True)] == [True] * 4


def test_a_question_on_a_gpu() -> None:
    files = ("gpu_asking-h100.jsonl", "gpu_asking-qwen2_5_vl-h200.jsonl")
    internvl, qwen = ({(one["case"], *one["frames"]): one for one in lines(name)} for name in files)
    rows = tables(PAGES / "evaluating.md", "| frames |")
    assert [row[0] for row in rows] == ["64", "128", "256", "512"]
    for frames, *cells in rows:
        greedy, letters, other = (
            found[case, int(frames)] for found, case in ((internvl, "greedy"), (internvl, "letters"), (qwen, "greedy"))
        )
        measured = [
            *(greedy[key] for key in ("seconds_a_question", "peak_gb")),
            letters["seconds_a_question"],
            *(other[key] for key in ("seconds_a_question", "peak_gb")),
        ]
        assert [says(cell, value) for cell, value in zip(cells, measured, strict=True)] == [True] * 5, frames


def test_rows_over_two_processes_of_a_gpu() -> None:
    files = {"InternVL3-1B": "ulysses_gpu-h200.jsonl", "InternVL3-8B": "ulysses_gpu-8b-h200.jsonl"}
    found = {(model, one["case"], one["frames"]): one for model, name in files.items() for one in lines(name)}
    rows = filled(tables(PAGES / "rows.md", "| model | frames"))
    assert len(rows) == 5
    for model, frames, each, alone, apart, rounding in rows:
        name, _, precision = model.partition(", ")
        case = "bf16-nf4" if "NF4" in precision else precision
        line = found[name, case, int(numbers(frames)[0])]
        measured = [(each, max(line["peak_gb"])), (alone, line["alone_gb"])]
        measured += [(apart, line["grad_off"]), (rounding, line["grad_noise"])]
        for cell, value in measured:
            assert says(numbers(cell)[0], value), cell
        for cell, key in ((each, "estimate_gb"), (alone, "estimate_alone_gb")):
            if "(" in cell:
                assert says(numbers(cell)[1], line[key]), cell


def test_decoding_in_children() -> None:
    found = json.loads((RESULTS / "children.json").read_text(encoding="utf-8"))
    rows = tables(PAGES / "data.md", "| throughput |")
    assert [row[0] for row in rows] == [name for name, value in found.items() if isinstance(value, dict)]
    for name, *cells in rows:
        keys = ("files", "seconds_without", "seconds_with", "throughput", "a_core")
        assert [says(cell, found[name][key]) for cell, key in zip(cells, keys, strict=True)] == [True] * 5, name


def test_builds_on_ray() -> None:
    rows = tables(PAGES / "data.md", "| times the ideal |")
    for cells, line in zip(rows, lines("ray_build.jsonl"), strict=True):
        local, ray = line["local"], line["ray"]
        measured = [
            line["seconds_a_batch"],
            local["work"],
            ray["work"],
            line["times_ideal"],
            *local["start"],
            *ray["start"],
        ]
        written = [one for cell in cells for one in numbers(cell.replace(", ", " "))]
        assert [says(one, value) for one, value in zip(written, measured, strict=True)] == [True] * 7


def test_what_is_projected() -> None:
    found = json.loads((RESULTS / "scale.json").read_text(encoding="utf-8"))["projected"]
    for cells, one in zip(tables(PAGES / "scale.md", "| triplets | GPUs |"), found, strict=True):
        hours = one["hours"]
        measured = {
            0: one["triplets"],
            1: one["gpus"],
            2: hours["decode"],
            3: hours["write, models here"],
            4: hours["write, servers"],
            6: one["build_hours"],
            7: hours["train"],
            8: one["money"],
            9: one["memory_gb"],
        }
        assert [place for place, value in measured.items() if not says(cells[place], value)] == [], cells


def test_builds_of_many_rows() -> None:
    rows = tables(PAGES / "scale.md", "| rows | engine |")
    for cells, line in zip(rows, lines("scale_build.jsonl"), strict=True):
        a_thousand = line["cpu_seconds_a_thousand_rows"]
        measured = [line["rows"], *(a_thousand[part] for part in ("blocks", "contexts", "facts", "files"))]
        written = [cells[0], *cells[2:6], *cells[6].split(", ")]
        measured += [line["started_mb"], line["mb_after"]["files"]]
        assert [says(one, value) for one, value in zip(written, measured, strict=True)] == [True] * 7, cells
        assert cells[1] == ("local" if line["workers"] is None else f"ray, {line['workers']} workers")


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_results_that_a_page_names_are_there(page: Path) -> None:
    for name in re.findall(r"\bresults/([\w.*-]+\w)", page.read_text(encoding="utf-8")):
        assert list(RESULTS.glob(name)), name
