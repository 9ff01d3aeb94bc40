"""The numbers that a card may state: each in the forms in which a template writes it."""

from __future__ import annotations

import re
from typing import Any

NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)*"


def numbers(value: Any) -> set[str]:
    """A number in each form in which a card may write it; those inside texts as they are."""
    if isinstance(value, dict):
        return set().union(*map(numbers, [*value.keys(), *value.values()])) if value else set()
    if isinstance(value, list):
        return set().union(*map(numbers, value)) if value else set()
    if isinstance(value, bool) or value is None:
        return set()
    if isinstance(value, str):
        return set(re.findall(NUMBER, value))
    giga = {f"{value / 1e9:.3g}", f"{2 * value / 1e9:.3g}"}
    return (
        giga
        | {f"{value:g}", f"{value:,}", f"{value}", f"{value:.0f}", f"{value:.1f}", f"{100 * value:.1f}"}
        | {
            f"{value:,.0f}",
            f"{value:,.1f}",
        }
    )


def changes(results: dict[str, Any]) -> set[str]:
    """What a table of results derives: changes against the base, and questions a column."""
    tables = {name: results[name] for name in ("needle", "multi")} | {"places": results["places"]["accuracy"]}
    found = {str(sum(cell)) for cell in results["questions"].values()}
    for name, table in tables.items():
        for model, row in table.items():
            found |= {f"{abs(row[group] - table['base'][group]):.1f}" for group in row}
            found |= {f"{spread(results, name, model, group, row[group]):.1f}" for group in row}
    return found


def spread(results: dict[str, Any], table: str, model: str, group: str, value: float) -> float:
    """How far the farther end of an accuracy's interval is."""
    low, high = results["intervals"][table][model][group]
    return float(max(high - value, value - low))
