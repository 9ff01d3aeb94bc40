"""Pairs of others go the way of our own triplets: dry run, frames, training, scores, evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from support.pairs import official, plain, write_frames, write_rows
from support.trainings import facts_of, logged
from typer.testing import CliRunner

from longvpo.cli.main import app
from longvpo.errors import LongVPOError
from longvpo.io.files import TRAINED, file_hash
from longvpo.models.load import load_processor
from longvpo.recipe.file import load_recipe
from longvpo.recipe.training import TrainRecipe
from longvpo.training.collator import AnchoredCollator
from longvpo.training.rows import training_rows
from longvpo.training.start import frames_of_recipe, settled

COLORS = ("red", "green", "blue", "yellow")
SMALL = (
    "training.per_device_train_batch_size=2",
    "training.gradient_accumulation_steps=1",
    "training.logging_steps=1",
)
STEPS = ("training.max_steps=2", "training.warmup_steps=0", *SMALL)


def asked(number: int) -> tuple[str, str, str]:
    return f"what color is ring {number}?", COLORS[number % 4], COLORS[(number + 1) % 4]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight rows of LongVPO's own columns."""
    path = tmp_path_factory.mktemp("release") / "longvpo.jsonl"
    return write_rows(path, [official(number, asked(number)) for number in range(8)])


@pytest.fixture(scope="module")
def trained_on(release: Path, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of two steps on them."""
    folder = tmp_path_factory.mktemp("trained_on") / "adapter"
    command("train", "tiny/stage1", *data_of(release, world), *STEPS, "--output", folder)
    return folder


def command(*words: Any) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception:
        raise done.exception
    return done.stdout


def data_of(path: Path, world: Path) -> list[str]:
    return [f"data.dataset={path}", f"data.videos={{theirs: {world}}}", "reference=full"]


def losses(adapter: Path) -> list[float]:
    return [entry["loss"] for entry in logged(adapter)]


def test_the_official_columns_train_two_steps(release: Path, world: Path, trained_on: Path) -> None:
    plan = json.loads(command("train", "tiny/stage1", *data_of(release, world), *STEPS, "--dry-run", "--json"))
    assert (plan["triplets"], plan["videos"], plan["frames_longest"]) == (8, "all can be used", 4)
    assert plan["configs"] == [{"config": "default", "reference": "full", "triplets": 8}]
    facts = facts_of(trained_on)
    assert (facts["steps"], facts["triplets"], facts["left_out"]) == (2, 8, {})
    assert len(losses(trained_on)) == 2
    known = {file_hash(world / row["video"]) for row in map(json.loads, release.read_text().splitlines())}
    assert set((trained_on / TRAINED).read_text().split()) == known
    assert str(release.parent) not in (trained_on / "README.md").read_text()
    recipe = load_recipe(TrainRecipe, str(trained_on / "recipe.yaml"))
    assert recipe.data.columns
    assert recipe.data.columns.prompt == "question"
    assert settled(recipe) == recipe, "it says what was found"


def test_a_reference_without_anchors_is_one_clear_line(release: Path, world: Path) -> None:
    with pytest.raises(LongVPOError) as error:
        command("train", "tiny/stage1", *data_of(release, world), "reference=anchor", "--dry-run")
    assert "says no anchor, so that reference=anchor means nothing: set reference=full, or" in str(error.value)


def test_an_anchor_is_what_the_reference_sees(world: Path, tmp_path: Path) -> None:
    """A recipe that names no reference takes the anchor where rows may say one."""
    rows = [plain(number, asked(number)) | {"anchor_start": 1, "anchor_end": 3} for number in range(4)]
    path = write_rows(tmp_path / "pairs.jsonl", rows)
    data = {"dataset": str(path), "videos": {"theirs": world}}
    recipe = settled(TrainRecipe.model_validate({"name": "mine", "base": {"model": "tiny"}, "data": data}))
    assert recipe.reference == "anchor"
    batch = AnchoredCollator(load_processor(recipe.base), frames_of_recipe(recipe))(training_rows(recipe, 0).to_list())
    whole, seen = batch["clips"][0], batch["reference"]["clips"][0]
    assert ([count for _, count in whole], [count for _, count in seen]) == ([1, 2, 1], [2])


def test_frames_scores_and_evaluation_read_them_too(
    release: Path, world: Path, test_world: Path, trained_on: Path, tmp_path: Path
) -> None:
    data = data_of(release, world)
    kept = json.loads(command("frames", "tiny/stage1", *data, f"video.frames={tmp_path / 'kept'}", "--json"))
    assert (kept["decoded"], kept["unreadable"]) == (8, {})
    command("score", "tiny/stage1", *data, *STEPS, "--output", tmp_path / "scored")
    rows = load_dataset(str(tmp_path / "scored"), "default", split="train")
    assert (len(rows), rows[0]["prompt"]) == (8, "what color is ring 0?")
    scored = [*data_of(tmp_path / "scored", world), "data.config=default", "reference_log_probs=dataset"]
    command("train", "tiny/stage1", *scored, *STEPS, "--output", tmp_path / "adapter")
    assert losses(tmp_path / "adapter") == pytest.approx(losses(trained_on), rel=1e-4)
    small = ["grid.clips=[1]", "grid.depths=2", "grid.questions=1", "multi=null", f"source.folder={test_world}"]
    held = [f"triplets.dataset={release}", f"triplets.videos={{theirs: {world}}}", "video.short_side=96"]
    command("evaluate", "tiny", *small, *held, "--output", tmp_path / "results")
    found = json.loads((tmp_path / "results" / "results.json").read_text())["preference"]
    assert (found["questions"]["all"], found["configs"]) == (8, {"default": "full"})


def test_lists_of_frames_train_as_their_videos_do(world: Path, trained_on: Path, tmp_path: Path) -> None:
    """All frames of each video, without loss: the losses are equal."""
    rows = []
    for number in range(8):
        row = official(number, asked(number))
        pictures = write_frames(world / row["video"], tmp_path / "frames" / str(number))
        rows.append(row | {"video": [str(path.relative_to(tmp_path)) for path in pictures]})
    path = write_rows(tmp_path / "lists.jsonl", rows)
    data = [*data_of(path, tmp_path / "nothing"), f"data.columns={{prompt: question, list_fps: {len(pictures) / 4}}}"]
    command("train", "tiny/stage1", *data, *STEPS, "--output", tmp_path / "adapter")
    assert losses(tmp_path / "adapter") == losses(trained_on)
    assert facts_of(tmp_path / "adapter")["videos"] is None, "of no video's file"


def test_our_rows_come_back_from_ms_swifts_form(dataset: Path, world: Path, tmp_path: Path) -> None:
    """As frames without loss the training is the same, to the last digit: all that is told of the videos is equal."""
    whole = ["reference=full", *STEPS, "training.per_device_train_batch_size=4"]
    ours = [f"data.dataset={dataset}", f"data.videos.drawn={world}"]
    command("train", "tiny/stage1", *ours, *whole, "--output", tmp_path / "ours")
    form = ["--to", "ms-swift", "--videos", f"drawn={world}", "--frames", "--lossless"]
    command("export", dataset, *form, "--output", tmp_path / "swift")
    theirs = [f"data.dataset={tmp_path / 'swift'}", "data.videos={}"]
    command("train", "tiny/stage1", *theirs, *whole, "--output", tmp_path / "theirs")
    assert facts_of(tmp_path / "theirs")["triplets"] == facts_of(tmp_path / "ours")["triplets"] == 40
    assert losses(tmp_path / "theirs") == losses(tmp_path / "ours")
