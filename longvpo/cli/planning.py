"""A dry run: print the plan, and raise what would stop the run before its work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from longvpo.cli.printing import print_values
from longvpo.errors import LongVPOError
from longvpo.io.disk import OTHERWISE
from longvpo.io.files import KEY
from longvpo.io.output import check_place, place_of
from longvpo.io.records import read_record

REFUSED = "refused"  # key of a plan: sentences that say what the run would refuse


def print_plan(plan: dict[str, Any], output: Path, result: str, target: Any, as_json: bool) -> None:
    """Print a plan.

    Args:
        result: the file in the output that names its recipe; empty for a build, whose folder of work names it.
        target: where the run would publish; None: nowhere.

    Raises:
        LongVPOError: the run would stop before its work.
    """
    refused = list(plan.get(REFUSED, []))
    try:
        check_output(output, plan["hash"], result)
    except LongVPOError as error:
        refused.append(str(error))
    published = {"push": target.repo_id, "tag": target.tag} if target else {}
    print_values({key: value for key, value in plan.items() if key != REFUSED} | published, as_json)
    if refused:
        raise LongVPOError(f"the run would end before its work: {'; '.join(refused)}")


def check_output(output: Path, recipe: str, result: str) -> None:
    """Raises LongVPOError where the output holds something else. Nothing is written.

    Args:
        recipe: its hash. Other tables or other rows are not noticed: they are read later.
    """
    place = place_of(output, inside=not result)
    if result and (place.path / result).is_file():
        if str(read_record(place.path / result).get("key", "")).split(",")[0] != recipe:
            raise LongVPOError(f"{output} holds the result of another recipe: {OTHERWISE}, or delete it")
        return
    key = str(read_record(place.work / KEY).get("key", "")) if (place.work / KEY).is_file() else ""
    check_place(place, key, recipe, keep=not result)
