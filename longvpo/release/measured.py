"""What results.json says, as cards and terminals show it: how answers were scored, and how far figures may be off.

The rule: a change is marked as a gain or a loss only where its interval leaves 0 out. Results of earlier versions have
no intervals, and no marks.
"""

from __future__ import annotations

from typing import Any

GAIN, LOSS = "▲", "▼"
EXACT = "equals the true one after case and punctuation are taken away"
WAYS = {
    "exact": EXACT,
    "contains": "has the true one among its words, neither ruled out nor in a list of several",
    "choice": "names the letter of the true one among the options of its question",
    "judge": "gives the true one, as a model judges",
}


def spread(results: dict[str, Any], table: str, model: str, group: str) -> str:
    """Half of an accuracy's 95 % interval, such as ` ±2.6`; empty where it is not known."""
    interval = results.get("intervals", {}).get(table, {}).get(model, {}).get(group)
    return f" ±{(interval[1] - interval[0]) / 2:.1f}" if interval else ""


def mark(results: dict[str, Any], table: str, model: str, group: str) -> str:
    """A gain or a loss against the base, such as ` ▲`; empty where the change may be chance, or that is not known."""
    interval = results.get("against_base", {}).get(table, {}).get(model, {}).get(group, {}).get("interval")
    if not interval or interval[0] <= 0 <= interval[1]:
        return ""
    return f" {GAIN if interval[0] > 0 else LOSS}"


def intervals_said(results: dict[str, Any]) -> str:
    """What stands behind ± and the marks; empty where results have none."""
    if "against_base" not in results:
        return ""
    return (
        f"± is half of a 95 % interval (Wilson's). {GAIN} and {LOSS} mark a change whose 95 % interval leaves 0 out: "
        "Newcombe's, of both models' answers to the same questions; any other change may be chance. Several questions "
        "about one video count for less, by the design effect."
    )


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
    if scoring.get("suffix"):
        said.append(f"Questions without options end with `{scoring['suffix']}`.")
    if scoring.get("judge"):
        judge = scoring["judge"]
        unread = sum(judge["unreadable"].values())
        said.append(f"The judge is `{judge['model']}`; its prompt stands in results.json.")
        said += [f"{unread} of its verdicts could not be read: those answers count as wrong."] if unread else []
    return " ".join(said)
