"""Marks of a person: counted on the card where they are of these rows, refused where they are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from longvpo.errors import LongVPOError
from longvpo.release.cards import card_of
from longvpo.release.contents import gather_files
from longvpo.release.spot_check import FILE, FORMAT, NOTE, read_spot_check, rows_hash


@pytest.fixture
def folder(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "dataset"))


def marks(rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    marked = {rows[4]["id"]: {"mark": "good"}, rows[7]["id"]: {"mark": "bad", "note": "which *disc*? <b>"}}
    return {"format": FORMAT, "dataset": rows_hash(rows[::-1]), "rows": marked} | more


def test_the_card_counts_the_marks(folder: Path, rows: list[dict[str, Any]]) -> None:
    before = card_of(folder)
    assert "Spot check" not in before
    (folder / FILE).write_text(json.dumps(marks(rows)))
    assert read_spot_check(folder) == {"n": 2, "good": 1, "bad": 1, "of": 40}
    card = card_of(folder)
    assert "**Spot check by a person, n = 2** of 40 rows: good 1, bad 1 (50.0 % good)." in card
    assert "disc*?" not in card, "a note stays in the file"
    copy = folder.parent / "copy"
    copy.mkdir()
    gather_files(folder, copy, "dataset")
    assert card_of(copy) == card, "it is published with what the card is made from"


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"dataset": "0" * 64}, "of other rows than these"),
        ({"rows": {"stage1-999999": {"mark": "good"}}}, "no row has the id 'stage1-999999'"),
        ({"rows": {}}, "it has no marks"),
        ({"rows": {"ROW": {"mark": "fine"}}}, "has no mark"),
        ({"rows": {"ROW": {"mark": "good", "by": "Ann"}}}, "something beside a mark and a note"),
        ({"rows": {"ROW": {"mark": "good", "note": "x" * (NOTE + 1)}}}, "a note"),
        ({"rows": {"ROW": "good"}}, "has no mark"),
        ({"rows": [1]}, "not in this form"),
        ({"format": "another"}, "not in this form"),
        ({"user": "ann"}, "not in this form"),
    ],
)
def test_another_file_is_refused(folder: Path, rows: list[dict[str, Any]], spoilt: dict[str, Any], said: str) -> None:
    spoilt = json.loads(json.dumps(spoilt).replace("ROW", rows[4]["id"]))
    (folder / FILE).write_text(json.dumps(marks(rows) | spoilt))
    with pytest.raises(LongVPOError, match=said) as error:
        read_spot_check(folder)
    assert "save the marks again" in str(error.value)


@pytest.mark.parametrize("text", ["[]", "null", '"x"', "{}", "{"])
def test_no_marks_at_all(folder: Path, text: str) -> None:
    (folder / FILE).write_text(text)
    with pytest.raises(LongVPOError, match=FILE):
        read_spot_check(folder)


def test_a_changed_row_is_another_dataset() -> None:
    rows = [{"id": str(n), "prompt": "p", "chosen": "c", "rejected": "r"} for n in range(3)]
    assert rows_hash(rows) == rows_hash(rows[::-1])
    assert rows_hash(rows) != rows_hash([*rows[:2], rows[2] | {"chosen": "other"}])
