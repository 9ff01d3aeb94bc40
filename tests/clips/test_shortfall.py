"""A filter that dropped much is named with what to set, and what was dropped is kept where nothing is left."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pyarrow import parquet
from support.world import ROOT

from longvpo.clips.rows import Dropped
from longvpo.clips.shortfall import SWITCHES, loosening, reasons
from longvpo.dataset.facts import FUNNELS
from longvpo.dataset.outcome import Outcome
from longvpo.errors import LongVPOError
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe


def test_every_filter_has_a_switch_or_an_advice_and_each_switch_is_a_key() -> None:
    filters = {name for part in FUNNELS.values() for names in part.values() for name in names.split()}
    assert filters == set(SWITCHES)
    overrides = [one for text in SWITCHES.values() for one in re.findall(r"[a-z_0-9.]+=[a-z0-9]+", text)]
    assert len(overrides) > 10
    load_recipe(DatasetRecipe, "tiny", overrides)


def test_the_page_tells_what_every_filter_drops() -> None:
    page = (ROOT / "recipes" / "building.md").read_text(encoding="utf-8")
    table = page[page.index("| filter | it drops |") :].partition("\n\n")[0]
    told = {name: advice for name, _, advice in re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", table, re.MULTILINE)}
    assert told == SWITCHES


def test_the_filters_that_dropped_most_come_first() -> None:
    said = reasons({"balance": 1, "video": 2, "near_duplicate": 40, "equal": 30})
    assert said.startswith(
        "40 by near_duplicate (set filters.question_threshold=null), 30 by equal (a stronger writer"
    )
    assert "balance" not in said
    assert loosening({"specificity": 2, "equal": 1}) == "filters.specificity=false"
    assert loosening({"specificity": 1, "equal": 2}) == loosening({}) == "", "what no switch mends"


def test_what_was_dropped_is_kept_where_no_triplet_is_left(tmp_path: Path) -> None:
    made = Outcome(1, dropped=[Dropped("a", "equal", "chosen and rejected are equal", 1.0, {"prompt": "who?"})])
    with pytest.raises(LongVPOError) as error:
        made.check_some(tmp_path / "journal", tmp_path)
    said = str(error.value)
    assert "no triplet was left in stage 1: 1 by equal (a stronger writer, or clips that differ more)" in said
    assert f"each is in {tmp_path}/dropped with its reason" in said
    (table,) = (tmp_path / "dropped").iterdir()
    (row,) = parquet.read_table(table).to_pylist()
    assert (row["filter"], row["reason"], row["prompt"]) == ("equal", "chosen and rejected are equal", "who?")
    made.triplets = [object()]  # type: ignore[list-item]  # the same command again, when something was mended
    made.check_some(tmp_path / "journal", tmp_path)
    assert not (tmp_path / "dropped").exists()
