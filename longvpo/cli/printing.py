"""Printing: data goes to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import shlex
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from longvpo.errors import say, visible
from longvpo.io.files import as_yaml
from longvpo.release.measured import intervals_said, mark, multi_titles, reached, scoring_said


def print_values(values: dict[str, Any], as_json: bool, keys: tuple[str, ...] | None = None) -> None:
    """Print all values as one JSON object, or the values of `keys` as YAML for people."""
    print(json.dumps(values) if as_json else visible(as_yaml({key: values[key] for key in keys or values}).rstrip()))


def print_funnel(facts: dict[str, Any], as_json: bool) -> None:
    """Print all facts of a build as one JSON object, or what each step dropped and left."""
    if as_json:
        return print(json.dumps(facts))
    for stage in ("stage1", "stage2"):
        if facts[stage] is None:
            continue
        print(f"{stage:20}{'dropped':>9}{'left':>9}")
        for step in facts[stage]["funnel"]:
            dropped = str(step["dropped"] or "")
            print(f"{step['step'].replace('_', ' '):20}{dropped:>9}{step['left']:>9}")
        print(f"{'triplets':20}{'':>9}{facts[stage]['triplets']:>9}")


def print_profile(found: dict[str, Any], as_json: bool) -> None:
    """Print a profile as one JSON object, or one line per phase: seconds per step, and their share."""
    if as_json:
        return print(json.dumps(found))
    print(f"{'phase':12}{'seconds':>9}{'share':>8}")
    for name, seconds in (found["phases"] | {"step": found["seconds_a_step"]}).items():
        print(f"{name:12}{seconds:9.3f}{seconds / found['seconds_a_step']:8.1%}")
    print(as_yaml({name: _short(value) for name, value in found.items() if name != "phases"}).rstrip())


def _short(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value


def print_tables(results: dict[str, Any], as_json: bool) -> None:
    """Print all results as one JSON object, or as tables: accuracy by number of clips, place, task and more."""
    if as_json:
        return print(json.dumps(results))
    _table("needle accuracy, %", "clips", results["needle"], results, "needle")
    if "multi" in results:
        print()
        title, column = multi_titles(results)
        _table(f"accuracy of {title.lower()}, %", column, results["multi"], results, "multi")
    for title, column, name in (
        ("needle accuracy by place, from the first clip to the last, %", "place", "places"),
        ("accuracy by task, %", "task", "tasks"),
        ("held-out triplets by number of clips: chosen likelier than rejected, %", "clips", "preference"),
    ):
        if results.get(name, {}).get("questions"):
            print()
            _table(title, column, results[name]["accuracy"], results, name)
    if results.get("retention"):
        print()
        kept = {name: {part: row[part] for part in ("base", "adapter")} for name, row in results["retention"].items()}
        _table("what an adapter keeps on one clip, %", "model", kept)
    scored = results.get("scoring", {}).get("by", {}).keys() - {"exact"}
    said = " ".join(filter(None, [scoring_said(results) if scored else "", intervals_said(results)]))
    if said:
        print(f"\n{visible(textwrap.fill(said, 100))}")


def _table(
    title: str,
    column: str,
    accuracy: dict[str, dict[str, float]],
    results: dict[str, Any] | None = None,
    table: str = "",
) -> None:
    """Print a table with one line per model.

    Args:
        results: where they have intervals for this table, the intervals follow the accuracies.
    """
    groups = list(next(iter(accuracy.values())))
    cells = {
        (name, group): reached(results or {}, table, name, group, value)
        for name, row in accuracy.items()
        for group, value in row.items()
    }
    marks = {cell: mark(results or {}, table, *cell) for cell in cells}
    room = 2 * any(marks.values())  # for a mark
    width = max(len(column), *map(len, accuracy))
    wide = max(8, *(len(group) + 1 for group in groups), *(len(text) + 2 for text in cells.values()))
    print(title)
    print(f"{column:{width}}" + "".join(f"{_cell(group):>{wide}}{'':{room}}" for group in groups).rstrip())
    for name in accuracy:
        texts = (f"{cells[name, group]:>{wide}}{marks[name, group]:{room}}" for group in groups)
        print(f"{_cell(name):{width}}{''.join(texts)}".rstrip())


def _cell(text: str) -> str:
    """A text that anyone may have written, such as a task of a table, on one line."""
    return visible(" ".join(text.split()))


def print_commands(lines: dict[str, list[str]], as_json: bool) -> None:
    """Print shell commands as one JSON object, or as lines to type, with a comment on each group."""
    if as_json:
        return print(json.dumps(lines))
    for about, group in ((about, group) for about, group in lines.items() if group):
        say(f"# {about}")
        print("\n".join(group), flush=True)


def say_next(*words: str, label: str = "next") -> None:
    """Say the next command, quoted for a shell."""
    say(f"{label + ':':8} longvpo {shlex.join(words)}")


def say_where(published: dict[str, Any]) -> None:
    for release in published.values():
        done = "published" if release["new"] else "published before"
        say(f"{done}: {release['repo_id']} at {release['tag']}, commit {release['commit']}")


@contextmanager
def one_voice() -> Iterator[None]:
    """Of the processes that `accelerate launch` starts, only the first one prints.

    Another process prints its error after some seconds: usually the first one fails in the same way, and ends all.
    """
    if os.environ.get("RANK", "0") == "0":
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
        try:
            yield
        except Exception:
            time.sleep(5)  # the launcher looks at its processes ten times per second
            raise
