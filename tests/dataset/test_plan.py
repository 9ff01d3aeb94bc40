"""`build-dataset --dry-run`: what a build would do and cost, found without writing anything or asking anybody."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from datasets import Dataset, Features, Value, Video
from support.commands import Capture, check_mistake, run
from support.servers import serve

from longvpo.clips import addresses
from longvpo.models.encode import encode
from longvpo.models.load import load_processor
from longvpo.recipe.builtin import builtin_recipes
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.video.joined import at_rate

SMALL = ["stage1.triplets=6", "context.clips=[2, 3]", "stage2=null"]
TOKEN = "hf_" + "s" * 34


def files(*folders: Path) -> dict[str, int]:
    """Time of the last change by path."""
    return {str(path): path.stat().st_mtime_ns for folder in folders for path in [folder, *folder.rglob("*")]}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder where the command is run."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def dry_run(monkeypatch: pytest.MonkeyPatch, capsys: Capture, *arguments: object) -> dict[str, Any]:
    code = run(monkeypatch, "build-dataset", *arguments, "--dry-run", "--json")
    captured = capsys.readouterr()
    assert code == 0, captured.err
    plan: dict[str, Any] = json.loads(captured.out)
    return plan


def some(world: Path, count: int = 12) -> list[dict[str, Any]]:
    """Rows of the drawn world."""
    return [json.loads(line) for line in (world / "metadata.jsonl").read_text().splitlines()[:count]]


def as_bytes(world: Path, folder: Path) -> list[str]:
    """A dataset with the videos in its rows."""
    rows = {
        "video": [{"bytes": (world / row["file_name"]).read_bytes(), "path": None} for row in some(world)],
        "caption": [row["caption"] for row in some(world)],
    }
    features = Features({"video": Video(decode=False), "caption": Value("string")})
    folder.mkdir()
    Dataset.from_dict(rows, features=features).to_parquet(str(folder / "train.parquet"))
    return ["sources.0.videos=bytes", "sources.0.columns.video=video"]


def as_tar(world: Path, folder: Path) -> list[str]:
    """A dataset with the videos in an archive."""
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some(world)))
    with tarfile.open(folder / "videos.tar", "w") as archive:
        for row in some(world):
            archive.add(world / row["file_name"], row["file_name"])
    return ["sources.0.videos=tar", "sources.0.tars=videos.tar"]


@pytest.mark.parametrize("kind", ["folder", "bytes", "tar"])
def test_the_plan_of_a_build_that_writes_nothing(
    kind: str, world: Path, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    arguments = [f"sources.0.folder={world}"]
    if kind != "folder":
        made = {"bytes": as_bytes, "tar": as_tar}[kind](world, tmp_path / "repository")
        arguments = [f"sources.0.dataset={tmp_path}/repository", f"sources.0.folder={tmp_path}/kept", *made]
    before = files(tmp_path, world)
    plan = dry_run(monkeypatch, capsys, "tiny/dataset", *arguments, *SMALL)
    assert files(tmp_path, world) == before

    assert (plan["recipe"], plan["triplets"], plan["clips_used"]) == ("longvpo-tiny", 6, 6)
    assert plan["clips_a_context"] == [2, 3]
    assert plan["writer"] == "tiny@main"
    assert plan["writer_calls"] == {"at_least": 12, "at_most": 36}
    assert plan["judge_calls"] == {"at_least": 0, "at_most": 0}
    (source,) = plan["sources"]
    assert (source["name"], source["rows_dropped"]) == ("drawn", 0)
    assert source["rows"] == (60 if kind == "folder" else 12)
    if kind == "tar":
        assert source["sampled"] == "none: the videos are in archives"
        assert source["gigabytes_of_archives"] == round((tmp_path / "repository/videos.tar").stat().st_size / 1e9, 3)
        assert plan["gigabytes_on_disk"]["at_most"] >= source["gigabytes_of_archives"]
        there = "writer.endpoint={url: 'http://127.0.0.1:1/v1'}"
        server = dry_run(monkeypatch, capsys, "tiny/dataset", *arguments, *SMALL, there)
        assert server["prompt_tokens_a_call"] == {"at_most": tokens(64)}, "no clip has more than max_frames"
        assert list(server["server_prompt_tokens"]) == ["at_most"]
        assert plan["hours_to_write"] == plan["frames_a_clip"] == "not measured: no video was sampled"
        return
    assert source["sampled"] == {"videos": 8, "unreadable": []}
    assert source["seconds_to_decode_a_clip"] > 0
    assert plan["frames_a_clip"] == 4
    assert plan["prompt_tokens_a_call"] == tokens(4)
    assert plan["hours_to_write"] >= 0


def tokens(frames: int) -> int:
    """Tokens of the recipe's question about so many frames."""
    recipe = load_recipe(DatasetRecipe, "tiny/dataset")
    question = recipe.prompts.question.format(caption="a caption of some ten words, as a table may have it")
    video = np.zeros((frames, 96, 96, 3), np.uint8)
    ids = encode(load_processor(recipe.writer), [question], [video], [at_rate(frames, 1.0)])["input_ids"]
    assert ids.shape[1] > frames
    return int(ids.shape[1])


def test_costs_grow_with_the_recipe(world: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    arguments = [f"sources.0.folder={world}", "context.clips=null", "video.fps=2", "judge={model: some/judge}"]
    plan = dry_run(
        monkeypatch, capsys, "tiny/dataset", *arguments, "stage1.triplets=2000", "stage1.attempts=2", "stage2=null"
    )
    assert (plan["frames_a_clip"], plan["prompt_tokens_a_call"]) == (8, tokens(8))
    assert plan["clips_a_context"] == [2, 128]
    assert plan["clips_used"] == 60
    assert plan["judge"] == "some/judge@main"
    assert plan["writer_calls"] == {"at_least": 4000, "at_most": 8000}
    assert plan["judge_calls"] == {"at_least": 4000, "at_most": 8000}
    assert plan["hours_to_write"] > 0


def test_a_long_dataset_is_read_in_part(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    lines = [json.dumps({"url": f"http://127.0.0.1:1/{i}.mp4", "caption": "a ring"}) + "\n" for i in range(300)]
    repository = here.parent / "repository"
    repository.mkdir()
    (repository / "train.jsonl").write_text("".join(lines))
    monkeypatch.setattr(addresses, "WAIT", 0.001)
    arguments = [
        "sources.0.private_addresses=true",
        "sources.0.videos=urls",
        "sources.0.columns.video=url",
        f"sources.0.folder={here}/kept",
    ]
    plan = dry_run(monkeypatch, capsys, "tiny/dataset", f"sources.0.dataset={repository}", *arguments, *SMALL)
    (source,) = plan["sources"]
    assert source["rows"] == "at least 200"
    assert plan["clips_used"] == 6
    assert len(source["sampled"]["unreadable"]) == 8
    assert all("cannot fetch http://127.0.0.1:1/" in reason for reason in source["sampled"]["unreadable"])
    assert list(here.iterdir()) == []


@pytest.fixture
def clips(world: Path, here: Path) -> Path:
    """Twelve clips that a test may spoil."""
    folder = here.parent / "clips"
    (folder / "videos").mkdir(parents=True)
    rows = some(world)
    for row in rows:
        shutil.copy(world / row["file_name"], folder / row["file_name"])
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_what_is_unreadable_is_named(clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    first, second = (clips / row["file_name"] for row in (some(clips)[0], some(clips)[-1]))
    first.write_bytes(b"not a video")
    second.unlink()
    with (clips / "metadata.jsonl").open("a") as table:
        table.write('{"file_name": "a.mp4", "caption": ""}\n')
    plan = dry_run(monkeypatch, capsys, "tiny/dataset", f"sources.0.folder={clips}", *SMALL)
    (source,) = plan["sources"]
    assert source["sampled"]["videos"] == 8
    bad = source["sampled"]["unreadable"]
    assert len(bad) == 2
    assert f"cannot read {first.name}" in bad[0]
    assert bad[1] == f"no such video: {second.relative_to(clips)}"
    assert (source["rows"], source["rows_dropped"]) == (12, 1)
    assert source["first_dropped"] == "a.mp4 has no caption"
    assert plan["frames_a_clip"] == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sources.0.columns.caption=text"], ["has no column text (it has file_name, caption)"]),
        (["context.clips=[2, 20]"], ["12 readable clips", "needs 20"]),
        (["filters.overlap=/no/where"], ["filters.overlap: cannot read /no/where"]),
        (["sources.0.folder=/no/where"], ["no metadata.jsonl", "in /no/where"]),
        (["video.fsp=2"], ["unknown key video.fsp"]),
    ],
)
def test_what_would_end_the_build_ends_the_dry_run(
    arguments: list[str], says: list[str], clips: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    code = run(monkeypatch, "build-dataset", "tiny/dataset", f"sources.0.folder={clips}", *arguments, "--dry-run")
    check_mistake(code, capsys, says)
    assert list(here.iterdir()) == []


def test_no_endpoint_is_asked(clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    with serve("ok") as server:
        endpoint = f"writer.endpoint={{url: '{server.url}'}}"
        plan = dry_run(monkeypatch, capsys, "tiny/dataset", f"sources.0.folder={clips}", endpoint, *SMALL)
        priced = f"writer.endpoint={{url: '{server.url}', price_in: 100, price_out: 1000}}"
        money = dry_run(monkeypatch, capsys, "tiny/dataset", f"sources.0.folder={clips}", priced, *SMALL)
        other = dry_run(
            monkeypatch, capsys, "tiny/dataset", f"sources.0.folder={clips}", endpoint, "writer.model=no/where", *SMALL
        )
        assert server.bodies == []
    # what the server will read is counted by the model's own processor, where that is to be had
    assert (plan["frames_a_clip"], plan["prompt_tokens_a_call"]) == (4, tokens(4))
    assert plan["server_prompt_tokens"] == {"at_least": 12 * tokens(4), "at_most": 36 * tokens(4)}
    assert plan["server_answer_tokens"] == {"at_most": 36 * 24}
    assert plan["hours_to_write"]["at_most"] == round(36 * tokens(4) / 10_000 / 3600, 2)
    assert "a guess" in plan["hours_to_write"]["if_the_server_reads"]
    assert plan["cost_to_write"].startswith("not known: set writer.endpoint.price_in")
    assert money["cost_to_write"]["at_most"] == round((36 * tokens(4) * 100 + 36 * 24 * 1000) / 1e6, 2)
    assert other["hours_to_write"].startswith("not counted: cannot load no/where")


def test_a_writer_that_is_not_here(clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    plan = dry_run(monkeypatch, capsys, "tiny/dataset", f"sources.0.folder={clips}", "writer.model=no/where", *SMALL)
    assert plan["prompt_tokens_a_call"].startswith("not measured: cannot load no/where")
    assert plan["hours_to_write"] == "not measured: see above"  # the error is told once
    assert plan["sources"][0]["sampled"] == {"videos": 8, "unreadable": []}


@pytest.mark.parametrize(
    "name", ["tiny/dataset", "internvl3-1b/dataset", *(name for name in builtin_recipes() if "16k" in name)]
)
def test_dataset_recipes_dry_run(
    name: str, world: Path, stories: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    recipe = load_recipe(DatasetRecipe, name)
    assert recipe.stage2 is not None
    sources = [{"name": source.name, "folder": str(world)} for source in recipe.sources]
    films = [{"name": source.name, "folder": str(stories)} for source in recipe.stage2.sources]
    overrides = [f"sources={json.dumps(sources)}", f"stage2.sources={json.dumps(films)}"]
    plan = dry_run(monkeypatch, capsys, name, *overrides)
    assert plan["recipe"] == recipe.name
    assert [source["rows"] for source in plan["long_videos"]] == [6] * len(films)
    assert plan["stage2_triplets"] == recipe.stage2.triplets
    assert set(plan["stage2_tasks"]) == set(recipe.stage2.tasks)
    adapter = f"+{recipe.writer.adapter}" if recipe.writer.adapter else ""
    assert plan["writer"] == plan["stage2_writer"] == f"{recipe.writer.model}@{recipe.writer.revision}{adapter}"
    if recipe.stage1:
        assert [source["rows"] for source in plan["sources"]] == [60] * len(sources)
        assert plan["triplets"] == recipe.stage1.triplets
        assert isinstance(plan["prompt_tokens_a_call"], int) == (recipe.writer.model == "tiny")
    assert list(here.iterdir()) == []


def test_the_plan_for_people(clips: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    (clips / some(clips)[0]["file_name"]).write_bytes(b"not a video")
    assert run(monkeypatch, "build-dataset", "tiny/dataset", f"sources.0.folder={clips}", *SMALL, "--dry-run") == 0
    said = capsys.readouterr().out
    plan = yaml.safe_load(said)
    assert (plan["recipe"], plan["clips_a_context"]) == ("longvpo-tiny", [2, 3])
    assert plan["writer_calls"] == {"at_least": 12, "at_most": 36}
    (source,) = plan["sources"]
    assert (source["name"], source["rows"], source["sampled"]["videos"]) == ("drawn", 12, 8)
    assert source["sampled"]["unreadable"][0].startswith("cannot read 00000.mp4: ")
    lines = said.splitlines()
    for expected in ("recipe: longvpo-tiny", "sources:", "- name: drawn", "  rows: 12", "clips_a_context:", "- 2"):
        assert expected in lines
    assert not [line for line in lines if "{" in line or "[" in line or "!" in line]
