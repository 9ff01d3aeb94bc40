"""What results.json says, as cards and terminals show it: how answers were scored, and how far figures may be off.

The rule: a change is marked as a gain or a loss only where its interval leaves 0 out. Results of earlier versions have
no intervals, and no marks.
"""

from __future__ import annotations

from math import isnan
from typing import Any

from longvpo.release.markdown import code

PARTS = {  # parts of results: the title of their table, and that of its first column
    "places": ("By place in the context, %", "place"),
    "tasks": ("By task", "task"),
    "preference": (
        "Held-out triplets: how often chosen is likelier than rejected, by number of clips",
        "in a context",
    ),
}
GAIN, LOSS = "▲", "▼"
EXACT = "equals the true one after case and punctuation are taken away"
WAYS = {
    "exact": EXACT,
    "contains": "has the true one among its words, neither ruled out nor in a list of several",
    "choice": "names the letter of the true one among the options of its question",
    "judge": "gives the true one, as a model judges",
}


def spread(results: dict[str, Any], table: str, model: str, group: str, value: float) -> str:
    """How far the farther end of the 95 % interval of this accuracy is, such as ` ±2.6`; empty where it is not known.

    Near 0 and 100 an interval reaches farther to one side, and half of it would not reach its end.
    """
    interval = results.get("intervals", {}).get(table, {}).get(model, {}).get(group)
    return f" ±{max(interval[1] - value, value - interval[0]):.1f}" if interval and not isnan(sum(interval)) else ""


def reached(results: dict[str, Any], table: str, model: str, group: str, value: float) -> str:
    """An accuracy in percent with its spread. NaN means that it was not measured."""
    return "not measured" if isnan(value) else f"{value:.1f}{spread(results, table, model, group, value)}"


def mark(results: dict[str, Any], table: str, model: str, group: str) -> str:
    """A gain or a loss against the base, such as ` ▲`; empty where the change may be chance, or that is not known."""
    interval = results.get("against_base", {}).get(table, {}).get(model, {}).get(group, {}).get("interval")
    if not interval or not (interval[0] > 0 or interval[1] < 0):  # or it is NaN
        return ""
    return f" {GAIN if interval[0] > 0 else LOSS}"


def intervals_said(results: dict[str, Any]) -> str:
    """What stands behind ± and the marks; empty where results have none."""
    if "against_base" not in results:
        return ""
    return (
        f"± is the distance to the farther end of a 95 % interval (Wilson's). {GAIN} and {LOSS} mark a change whose "
        "95 % interval leaves 0 out (Newcombe's, for two models that answered the same questions). Any other change "
        "may be chance. Several questions about one video count for less, by the design effect."
    )


def trained_on_said(results: dict[str, Any]) -> list[str]:
    """What warns of models that were trained on what they are measured on; earlier versions did not look."""
    said = []
    for name, count in results.get("trained_on", {}).items():
        if count:
            of = f"{count} of {results['test_videos']} test videos"
            said.append(f"{of} were trained on by {name}: its results are no test of them")
    preference = results.get("preference", {})
    for name, count in preference.get("trained_on", {}).items():
        if count:
            of = f"{count} of {preference['questions']['all']} triplets"
            said.append(f"{of} show videos that {name} was trained on")
    return said


def multi_titles(results: dict[str, Any]) -> tuple[str, str]:
    """The titles of the table of long videos, and of its first column: what questions are grouped by. Earlier versions
    do not say it: their tables have the number of scenes."""
    column = results.get("multi_group", "scenes")
    return "Questions about " + ("several scenes" if column == "scenes" else "long videos"), column


def scoring_said(results: dict[str, Any]) -> str:
    """When an answer counted, in sentences."""
    scoring = results.get("scoring") or {"by": {"exact": 0}}
    ways, several = scoring["by"], len(scoring["by"]) > 1
    said = [
        f"An answer{f' to {count} of the questions' if several else ''} counts when it {WAYS[way]}."
        for way, count in ways.items()
    ]
    if "choice" in ways:
        read = {"greedy": "read in a greedy reply", "likelihood": "the likeliest after the prompt"}
        said.append(f"The letter is {read[scoring['letters']]}.")
    if "chance" in results:
        said.append(f"Guessing reaches {results['chance']:.1f} %.")
    by_task = results.get("chances", {}).get("tasks", {}).values()
    if len({*by_task}) > 1 or (by_task and "chance" not in results):
        reached = " to ".join(f"{one:.1f}" for one in sorted({min(by_task), max(by_task)}))
        said.append(f"In tasks whose questions all have options, guessing reaches {reached} %: results.json has each.")
    if scoring.get("suffix"):
        said.append(f"Questions without options end with {code(scoring['suffix'])}.")
    if scoring.get("judge"):
        judge = scoring["judge"]
        unread = sum(judge["unreadable"].values())
        said.append(f"The judge is {code(judge['model'])}; its prompt stands in results.json.")
        said += [f"{unread} of its verdicts could not be read: those answers count as wrong."] if unread else []
    return " ".join(said)


def tables(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Every table of results: title, column, groups, questions, and rows, by model and group as texts."""
    asked = {n: sum(questions) for n, questions in results["questions"].items()}
    found = [_table(results, "needle", "One clip hidden among others", "clips", results["needle"], asked)]
    if "multi" in results:
        title, column = multi_titles(results)
        found.append(_table(results, "multi", title, column, results["multi"], results["multi_questions"]))
    for name, (title, column) in PARTS.items():
        part = results.get(name) or {}
        if part.get("questions"):
            found.append(_table(results, name, title, column, part["accuracy"], part["questions"]))
    return found


def _table(
    results: dict[str, Any], name: str, title: str, column: str, table: dict[str, Any], questions: dict[str, int]
) -> dict[str, Any]:
    """What each model reached, and its change against the base, as texts."""
    base = table["base"]

    def cell(model: str, group: str, value: float) -> str:
        text = reached(results, name, model, group, value)
        if model not in results["adapters"]:  # the base, or a model that saw no video
            return text
        changes = results.get("against_base", {}).get(name, {}).get(model, {})
        # those of earlier versions stand only as accuracies, rounded
        change = changes[group]["change"] if group in changes else value - base[group]
        if isnan(change):
            return text
        return f"{text} ({change:+.1f}{mark(results, name, model, group)})"

    rows = {model: {group: cell(model, group, value) for group, value in row.items()} for model, row in table.items()}
    return {"title": title, "column": column, "groups": list(base), "questions": questions, "rows": rows}
