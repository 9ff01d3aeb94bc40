"""A build that was killed under the version before the rooms is resumed by this one, from its `work/` folder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from pyarrow import parquet

from longvpo.dataset.run import build
from longvpo.models.journal import Journal
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe

# Commit 1017544 drew the videos and built the rows of rows.json from them, with these values. Of its work/ the second
# and third block were then taken away: their drafts are made again, from the answers of the journal.
EARLIER = Path(__file__).parents[1] / "golden" / "work.zip"
VALUES = [
    *("sources.0.folder=clips", "stage2.sources.0.folder=stories", "stage1.triplets=12", "stage2.triplets=3"),
    *("text_only=0", "context.clips=[1,2,4,8]"),
]


def same(found: Any, expected: Any) -> bool:
    """Equal, but for the last digits of what embedders computed."""
    if isinstance(expected, float):
        return math.isclose(found, expected, abs_tol=1e-5)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[name], expected[name]) for name in expected)
    return bool(found == expected)


def in_order(row: dict[str, Any]) -> dict[str, Any]:
    """A row of stage 1 with its distractors by name: they stand at random places now."""
    if not row.get("similarity"):
        return row
    columns = ("context", "similarity", "specificity")
    (place,) = row["anchors"]
    parts = [*zip(*(row[name] for name in columns), strict=True)]
    anchor = parts.pop(place)
    parts = [anchor, *sorted(parts, key=lambda part: str(part[0]["clip_id"]))]
    return row | dict(zip(columns, map(list, zip(*parts, strict=True)), strict=True))


def test_work_of_an_earlier_version_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ZipFile(EARLIER).extractall(tmp_path)
    monkeypatch.chdir(tmp_path)  # the recipe names its folders as that build did
    asked = []
    ask = Journal.ask

    def counting(journal: Journal, *given: Any) -> Any:
        answers = ask(journal, *given)
        asked.append(journal.asked)
        return answers

    monkeypatch.setattr(Journal, "ask", counting)
    block = Path("out/work/blocks/00000.npz").read_bytes()
    build(load_recipe(DatasetRecipe, "tiny/dataset", VALUES), Path("out"))
    assert set(asked) == {0}, "the journal has all answers"
    assert Path("out/work/blocks/00000.npz").read_bytes() == block
    for config, rows in json.loads(Path("rows.json").read_text()).items():
        (file,) = Path("out", config).glob("*.parquet")
        assert same([*map(in_order, parquet.read_table(file).to_pylist())], [*map(in_order, rows)]), config
