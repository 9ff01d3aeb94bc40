"""Rows of others as triplets: of every shape that is known, by a mapping, with spans and anchors."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Features, Value
from support.pairs import ASKED, SHAPES, plain, rows_of_shape, video, write_rows
from support.triplets import rows_of, write_dataset

from longvpo.clips.pairs import Settled, read_pairs, settle
from longvpo.clips.triplets import check_rows
from longvpo.errors import LongVPOError
from longvpo.recipe.pairs import PairSection

Capture = pytest.CaptureFixture[str]


def settled(dataset: Path, columns: PairSection | None = None, **folders: Path) -> Settled:
    found = settle(str(dataset), "stage1", "train", "main", columns, folders)
    assert found is not None
    return found


def read(dataset: Path, columns: PairSection | None = None, **folders: Path) -> list[dict[str, Any]]:
    """Its rows, which training can read."""
    found = settled(dataset, columns, **folders)
    rows, _ = read_pairs(str(dataset), found.config, "train", "main", found.columns, found.folders)
    check_rows(rows, "theirs")
    return rows.to_list()


def clip(number: int, start: float = 0.0, end: float = 4.0, source: str = "mine") -> dict[str, Any]:
    return {"clip_id": video(number), "source": source, "video": video(number), "start": start, "end": end}


EXPECTED = [
    {"prompt": prompt, "chosen": chosen, "rejected": rejected, "context": [clip(number)], "anchors": [0]}
    for number, (prompt, chosen, rejected) in enumerate(ASKED)
]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_known_shape_needs_no_mapping(shape: str, suffix: str, world: Path, tmp_path: Path, capsys: Capture) -> None:
    path = write_rows(tmp_path / f"pairs{suffix}", rows_of_shape(shape))
    assert read(path, mine=world) == EXPECTED
    assert "are read as {video: " in capsys.readouterr().err


@pytest.mark.parametrize("shape", SHAPES)
def test_a_folder_that_load_dataset_reads(shape: str, world: Path, tmp_path: Path) -> None:
    rows = rows_of_shape(shape)
    for number, row in enumerate(rows):
        write_rows(tmp_path / "data" / f"train-{number}.parquet", [row])
    assert read(tmp_path, mine=world) == EXPECTED


def test_a_table_beside_its_videos(world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some pairs"
    write_rows(folder / "train.jsonl", rows_of_shape("plain"))
    (folder / "videos").symlink_to(world / "videos")
    (folder / "dataset_info.json").write_text("{}")
    beside = [row | {"context": [clip(number, source="some-pairs")]} for number, row in enumerate(EXPECTED)]
    assert read(folder) == beside
    assert read(folder, mine=tmp_path / "elsewhere") == beside
    assert read(folder, mine=world) == EXPECTED, "a folder in data.videos comes first"


def test_our_own_rows_are_ours(tmp_path: Path) -> None:
    ours = write_dataset(tmp_path / "ours", stage1=rows_of("stage1", 2, 2))
    assert settle(str(ours), "stage1", "train", "main", None, {}) is None
    with pytest.raises(LongVPOError, match="config stage2"):
        settle(str(ours), "stage2", "train", "main", None, {})


def test_columns_are_mapped(world: Path, tmp_path: Path) -> None:
    rows = [
        {"meta": {"id": f"{n:05}"}, "asked": {"text": prompt}, "answers": [chosen, rejected], "begin": "1", "stop": 3}
        for n, (prompt, chosen, rejected) in enumerate(ASKED)
    ]
    columns = PairSection(
        video="videos/{meta.id}.mp4",
        prompt="asked.text",
        chosen="answers.0",
        rejected="answers.1",
        start="begin",
        end="stop",
    )
    path = write_rows(tmp_path / "pairs.jsonl", rows)
    assert read(path, columns, mine=world) == [
        row | {"context": [clip(number, 1, 3)]} for number, row in enumerate(EXPECTED)
    ]


def test_a_missing_column_names_all_and_shows_the_mapping(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "pairs.jsonl", [{"clip\x1b[2J": "a.mp4", "query": "what?", "winner": "a", "x": 1}])
    with pytest.raises(LongVPOError) as error:
        settled(path)
    said = str(error.value)
    assert "no column is known for video, prompt, chosen, rejected; it has 'clip\\x1b[2J', query, winner, x." in said
    written = '{video: "?", prompt: query, chosen: winner, rejected: "?"}'
    assert f"data.columns='{written}'" in said
    assert said.endswith(f"data: {{columns: {written}}}")
    with pytest.raises(LongVPOError) as error:
        settled(path, PairSection(prompt="query", chosen="winner", rejected="loser"))
    assert "no column is known for video (video), rejected (loser)" in str(error.value)


def test_cells_that_are_not_apart_by_commas(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("video;prompt;chosen;rejected\na.mp4;what?;a;b\n")
    with pytest.raises(LongVPOError, match="its cells stand apart by semicolons: save it with commas"):
        settled(path)


def test_an_anchor_cuts_its_video(world: Path, tmp_path: Path) -> None:
    spans: list[dict[str, Any]] = [
        {"anchor_start": 1.5, "anchor_end": 2.5},
        {"anchor_start": 0.2, "anchor_end": 2},
        {"anchor_start": 2, "anchor_end": None},
        {"anchor_start": None, "anchor_end": None},
        {"start": 1, "end": 3.5, "anchor_start": 2, "anchor_end": 3},
        {"anchor_start": 3, "anchor_end": 9},
    ]
    path = write_rows(tmp_path / "pairs.jsonl", [plain(0, ASKED[0]) | span for span in spans])
    assert settled(path).anchored
    rows = read(path, mine=world)
    assert [([(one["start"], one["end"]) for one in row["context"]], row["anchors"]) for row in rows] == [
        ([(0, 1.5), (1.5, 2.5), (2.5, 4)], [1]),
        ([(0, 2), (2, 4)], [0]),
        ([(0, 2), (2, 4)], [1]),
        ([(0, 4)], [0]),
        ([(1, 2), (2, 3), (3, 3.5)], [1]),
    ]


def test_rows_that_cannot_be_used_are_counted(world: Path, tmp_path: Path, capsys: Capture) -> None:
    good, asked = plain(0, ASKED[0]), "what color is the ring?"
    (tmp_path / "not.mp4").write_text("no video")
    bad = {
        "its video is missing": [{"video": "videos/no.mp4"}],
        "it names no video": [{"video": None}, {"video": []}],
        "its video lies outside the folders in data.videos": [{"video": "/etc/passwd"}, {"video": "a/../../b.mp4"}],
        "its video cannot be read": [{"video": "not.mp4"}],
        "it shows more than one video": [{"video": [video(0), video(1)]}, {"prompt": f"<video><video>{asked}"}],
        "it has a system prompt": [{"system": "be kind"}],
        "it has several turns": [
            {"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
        ],
        "its span ends after its video": [{"end": 9}],
        "its span is not in seconds": [{"start": "late"}, {"start": 3, "end": 2}, {"start": -1}],
        "it asks nothing": [{"prompt": "<video>"}, {"prompt": None}],
        "its chosen is not a text or messages": [{"chosen": ["a", "b"]}],
        "it shows images beside its video": [{"images": ["a.png"]}],
    }
    rows = [good | one for some in bad.values() for one in some]
    path = write_rows(tmp_path / "pairs.jsonl", [*rows, good])
    found = settled(path, mine=world)
    kept, left_out = read_pairs(str(path), found.config, "train", "main", found.columns, found.folders)
    assert len(kept) == 1
    assert left_out == Counter({reason: len(some) for reason, some in bad.items()})
    told = capsys.readouterr().err
    assert f"1 of {len(rows) + 1} rows of {path} are left out: its video is missing (row 0: no such video" in told
    assert "passwd" in told
    assert "/etc" not in told
    write_rows(path, [good | {"video": f"/elsewhere/{number}.mp4"} for number in range(3)])
    with pytest.raises(LongVPOError) as error:
        read(path, mine=world)
    assert "its video lies outside the folders in data.videos (3 rows, the first 0: 0.mp4)" in str(error.value)
    assert str(error.value).endswith("Set data.videos.mine to the folder that the paths begin in")


def test_absolute_paths_inside_a_folder_of_videos(world: Path, tmp_path: Path) -> None:
    rows = [row | {"video": f"file://{world}/{row['video']}"} for row in rows_of_shape("plain")]
    assert read(write_rows(tmp_path / "pairs.jsonl", rows), mine=world) == EXPECTED


def test_one_config_of_others_is_found_and_a_split_is_of_a_dataset(world: Path, tmp_path: Path) -> None:
    rows = Dataset.from_list(rows_of_shape("plain"))
    theirs = write_dataset(tmp_path / "theirs", dpo_17k=rows)
    found = settled(theirs, mine=world)
    assert (found.config, found.anchored) == ("dpo_17k", False)
    assert read(theirs, mine=world) == EXPECTED
    path = write_rows(tmp_path / "pairs.jsonl", rows_of_shape("plain"))
    with pytest.raises(LongVPOError, match="is one table, and has no split test"):
        settle(str(path), "stage1", "test", "main", None, {})


def test_videos_that_rows_hold(world: Path, tmp_path: Path) -> None:
    held = {"bytes": Value("binary"), "path": Value("string")}
    texts = {name: Value("string") for name in ("prompt", "chosen", "rejected")}
    content = (world / video(0)).read_bytes()
    rows = [plain(0, ASKED[0]) | {"video": {"bytes": content, "path": "a.mp4"}}]
    Dataset.from_list(rows, features=Features({"video": held, **texts})).to_parquet(tmp_path / "pairs.parquet")
    (row,) = read(tmp_path / "pairs.parquet")
    (one,) = row["context"]
    assert (one["source"], one["start"], one["end"]) == ("in-rows", 0, 4)


def test_numbers_and_conversations_in_texts(world: Path, tmp_path: Path) -> None:
    prompt = json.dumps([{"from": "human", "value": "how many?\n<video>"}])
    path = write_rows(
        tmp_path / "pairs.jsonl", [plain(0, ("", "", "")) | {"prompt": prompt, "chosen": 3, "rejected": 2.5}]
    )
    (row,) = read(path, mine=world)
    assert (row["prompt"], row["chosen"], row["rejected"]) == ("how many?", "3", "2.5")
