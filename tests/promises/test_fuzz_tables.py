"""Tables that were spoilt at random crash no build: a bad row is dropped with its reason, or a table is one line."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from support.commands import Capture, run
from support.spoilt_tables import spoilt
from support.world import SPOILED

from longvpo.clips.long_videos import list_long_videos
from longvpo.clips.pairs import settle
from longvpo.clips.rows import Clip, Dropped, features
from longvpo.clips.sources import list_candidates, open_clip
from longvpo.clips.triplets import load_config
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.sources import LongSourceSection, SourceSection

WAYS = [  # what reads a table, and of which kind it is
    *[("clips", kind) for kind in ("jsonl", "csv", "parquet")],
    *[("scenes", kind) for kind in ("jsonl", "csv", "parquet")],
    *[("pairs", kind) for kind in ("jsonl", "json", "csv", "parquet", "arrow")],
    *[("dataset", kind) for kind in ("jsonl", "json", "csv", "parquet", "arrow")],
]
OPENED = 2  # videos of a table that are opened; a build opens all
BUILT = 500  # tables, of which one is built


def rows_of(world: Path, way: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (world / "metadata.jsonl").read_text().splitlines()][:6]
    if way == "pairs":
        asked = {"prompt": "what color?", "chosen": "red", "rejected": "blue", "anchor_start": 0.0, "anchor_end": 1.0}
        return [{"video": row["file_name"], **asked} for row in rows]
    more = {"start": 0.0, "end": 1.5, "group": "a film", "question": "what color?", "answer": "red"}
    return [{"file_name": row["file_name"], "caption": row["caption"], **more} for row in rows]


def read(way: str, folder: Path, world: Path, seed: int) -> tuple[list[Clip], list[Dropped], int]:
    """What a build makes of a table: clips, what is dropped, and how many rows are used. Raises LongVPOError."""
    if way == "pairs":
        file = next(folder.glob("train.*"))
        given = str(folder if file.suffix == ".arrow" else file)
        found = settle(given, "default", "train", "main", None, {"world": world})
        left: Counter[str] = Counter()
        others = (found.config, "train", "main", (), found.columns, found.folders, left) if found else ("default",) * 3
        rows = load_config(given, *others)
        return [], [Dropped(str(n), "pairs", reason) for n, reason in enumerate(left.elements())], len(rows)
    if way == "scenes":
        source: SourceSection = LongSourceSection(name="s", folder=folder, scenes=None, group="group")
        videos, dropped = list_long_videos(source, 0)
        candidates = [scene for video in videos for scene in video.scenes]
    else:
        where: dict[str, Any] = {"dataset": str(folder)} if way == "dataset" else {}
        source = SourceSection(name="s", folder=world if way == "dataset" else folder, **where)
        candidates, dropped = list_candidates(source, seed, ("question", "answer") if seed % 2 else ())
    clips = []
    for candidate in candidates[:OPENED]:
        try:
            clips.append(open_clip(source, candidate))
        except VideoError as error:
            dropped.append(Dropped(candidate.clip_id("s"), "video", str(error)))
    return clips, dropped, len(candidates)


@SPOILED
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # datasets leaves a bad CSV file open
def test_a_spoilt_table_crashes_no_build(
    spoiled: int, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    counts: Counter[str] = Counter()
    crashed, clips, dropped = [], [], []
    for seed in range(spoiled):
        way, kind = WAYS[seed % len(WAYS)]
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "videos").symlink_to(world / "videos")
        name = f"metadata.{kind}" if way in ("clips", "scenes") else f"train.{kind}"
        (folder / name).write_bytes(spoilt(kind, rows_of(world, way), seed))
        try:
            found, refused, used = read(way, folder, world, seed)
        except LongVPOError:
            counts["refused with one line"] += 1
        except Exception as error:
            crashed.append((seed, way, kind, repr(error)[:500]))
        else:
            counts["read"] += 1
            counts["rows used"] += used
            counts["rows dropped"] += len(refused)
            clips += found
            dropped += refused
        if way == "clips" and seed % BUILT < len(WAYS):
            few = ["context.clips=[2]", "stage1.triplets=2", "stage1.attempts=2", "stage2=null", "text_only=0"]
            output = ["--output", folder / "out"]
            code = run(monkeypatch, "build-dataset", "tiny", f"sources.0.folder={folder}", *few, *output)
            counts["built" if code == 0 else "builds that ended with one line"] += 1
            if "Traceback" in capsys.readouterr().err:
                crashed.append((seed, way, kind, "build-dataset"))
    with capsys.disabled():
        print(f"\n{spoiled} spoilt tables: {dict(sorted(counts.items()))}; crashed: {len(crashed)}")
    assert crashed == []
    assert [one.reason for one in dropped if not one.reason or "\n" in one.reason] == []
    # both can be written
    Dataset.from_list([one.row() for one in dropped], features("dropped"))
    Dataset.from_list([vars(clip) for clip in clips], features("clips"))
    assert counts["read"] > spoiled // 4
    assert counts["refused with one line"] > spoiled // 8
