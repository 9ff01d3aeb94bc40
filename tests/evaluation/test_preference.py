"""Held-out triplets: log-probabilities are those of training, and what they come to is counted right."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longvpo.errors import LongVPOError, VideoError
from longvpo.evaluation.likelihoods import Likelihoods
from longvpo.evaluation.preference import HeldOut, margins, preference, read_held_out, without_unread
from longvpo.evaluation.run import evaluate
from longvpo.models.local import LocalWriter
from longvpo.recipe.evaluation import EvaluateRecipe, TripletSection
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sections import WriterSection
from longvpo.training.collator import AnchoredCollator
from longvpo.video.frames import ClipFrames


def recipe_of(dataset: Path, test_world: Path, *more: str) -> EvaluateRecipe:
    small = ["grid.clips=[1]", "grid.depths=2", "grid.questions=1", "multi=null", "batch_size=4"]
    seen = ["video.short_side=96", "video.max_frames=64"]  # as the dataset's
    where = [f"source.folder={test_world}", f"triplets.dataset={dataset}"]
    return load_recipe(EvaluateRecipe, "tiny", [*small, *seen, *where, *more])


def held_out(recipe: EvaluateRecipe) -> HeldOut:
    assert recipe.triplets
    return read_held_out(recipe, recipe.triplets)


@pytest.fixture(scope="module")
def writer() -> LocalWriter:
    return LocalWriter(WriterSection(model="tiny", dtype="float32", batch_size=4))


def trained_margins(writer: LocalWriter, held: HeldOut, reference: str) -> list[float]:
    """How far chosen is above rejected, as training computes it: each answer in a row of its own."""
    collate = AnchoredCollator(writer.processor, held.frames_of, held.section.frame_budget)
    found = []
    for row in held.rows:
        batch = collate.reference([row | {"reference": reference}])
        (video,) = batch["vision"]
        pixels = {name: torch.cat([value] * 2) for name, value in video.made.items()}
        texts = {name: batch[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            logits = writer.model(**texts, **pixels).logits[:, :-1].log_softmax(-1)
        taken = logits.gather(2, batch["input_ids"][:, 1:, None])[:, :, 0] * batch["completion_mask"][:, 1:]
        chosen, rejected = taken.sum(1).tolist()
        found.append(chosen - rejected)
    return found


def test_log_probabilities_are_those_of_training(
    writer: LocalWriter, dataset: Path, world: Path, test_world: Path, tmp_path: Path
) -> None:
    more = [f"triplets.videos={{drawn: {world}}}", "triplets.rows=6", "triplets.frame_budget=9"]
    held = held_out(recipe_of(dataset, test_world, *more))
    known = Likelihoods(tmp_path / "kept")
    found = margins(writer, held, known, "base", reference=True)
    assert found["context"] == pytest.approx(trained_margins(writer, held, "full"), abs=1e-3)
    assert found["reference"] == pytest.approx(trained_margins(writer, held, "anchor"), abs=1e-3)
    assert np.abs(found["context"] - found["text"]).max() > 0.1, "the video counts"
    # all of them were kept, and are found again without the model
    blind = LocalWriter.__new__(LocalWriter)
    blind.__dict__ = writer.__dict__ | {"model": None}
    again = margins(blind, held, Likelihoods(tmp_path / "kept"), "base", reference=True)
    assert all((again[view] == found[view]).all() for view in found)


def test_an_evaluation_scores_triplets_and_says_which_were_trained_on(
    second: Path, trained: Path, test_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both stages of a dataset with its frames: no video is needed. The adapter was trained on clips of the same name,
    which are the same files."""
    configs = "triplets.configs={stage1: anchor, stage2: full}"
    results = evaluate(recipe_of(second, test_world, configs, "triplets.rows=4"), tmp_path / "out", {"it": trained})
    found = results["preference"]
    assert found["questions"]["all"] == 8
    assert list(found["questions"])[:3] == ["all", "stage1", "stage2"]
    assert found["left_out"] == {}
    assert list(found["accuracy"]) == list(found["margin"]) == ["base", "base, no video", "it", "it, no video"]
    margins, rewards = found["margin"], found["rewards"]["margin"]["it"]
    assert rewards["stage1"] != 0
    said = margins["it"]["stage2"] - margins["base"]["stage2"]
    assert rewards["stage2"] == pytest.approx(said, abs=2e-4), "the base saw the same"
    count = found["trained_on"]["it"]
    assert 0 < count <= 4, "stories were not trained on"
    assert f"warning: {count} of 8 triplets show videos that it was trained on" in capsys.readouterr().err
    assert results["intervals"]["preference"].keys() == found["accuracy"].keys()
    assert results["against_base"]["preference"]["it"].keys() == found["questions"].keys()
    assert json.loads((tmp_path / "out" / "results.json").read_text())["preference"] == found


def made(rows: list[dict[str, Any]], **more: Any) -> HeldOut:
    section = TripletSection(dataset="x", configs={"stage1": "anchor", "stage2": "full"})
    configs = ["stage1"] * (len(rows) - 1) + ["stage2"]
    return HeldOut(section, ClipFrames(EvaluateRecipe.model_fields["video"].default, {}), rows, configs, **more)


def test_what_margins_come_to() -> None:
    lengths = {"a": 4, "b": 1, "c": 4, "d": 12}
    rows = [
        {"context": [{"source": "drawn", "video": name}] * clips, "anchors": [0]} for name, clips in lengths.items()
    ]
    held = made(rows, videos=[{"a"}, {"b"}, {"a", "c"}, {"d"}], left_out=Counter({"chosen equals rejected": 2}))
    base = {"context": np.array([1.0, -1, 0, 3]), "text": np.array([1.0, 1, 1, -1]), "reference": np.ones(4)}
    it = {"context": np.array([3.0, 2, 0.5, -1]), "text": np.zeros(4)}
    found, evidence = preference(held, {"base": base, "it": it}, {"it": {"a", "d", "z"}, "silent": None})
    assert found["trained_on"] == {"it": 3, "silent": None}
    assert found["left_out"] == {"chosen equals rejected": 2}
    assert found["questions"] == {"all": 4, "stage1": 3, "stage2": 1, "1": 1, "4": 2, "12": 1}
    accuracy, rewards = found["accuracy"], found["rewards"]
    assert (accuracy["base"]["all"], found["margin"]["base"]["all"]) == (62.5, 0.75), "a tie is half of one"
    assert accuracy["base, no video"]["all"] == 75.0
    assert accuracy["it"] == {"all": 75.0, "stage1": 100.0, "stage2": 0.0, "1": 100.0, "4": 100.0, "12": 0.0}
    assert (rewards["accuracy"]["it"]["all"], rewards["margin"]["it"]["all"]) == (50.0, 0.125)
    assert (rewards["accuracy"]["it"]["stage2"], rewards["margin"]["it"]["stage2"]) == (0.0, -2.0)
    low, high = evidence["intervals"]["it"]["all"]
    assert low < 75 < high
    assert evidence["intervals"]["it"]["stage2"] is None, "all about one video"
    change = evidence["against_base"]["it"]["all"]
    assert (change["change"], change["gained"], change["lost"]) == (12.5, 2, 1), "as accuracies say: 62.5 and 75"


def test_ties_are_halves_in_the_accuracy_and_in_its_interval() -> None:
    rows = [{"context": [{"source": f"s{n}", "video": "video.mp4"}], "anchors": [0]} for n in range(20)]
    views = {"context": np.zeros(20), "text": np.zeros(20), "reference": np.zeros(20)}
    better = {"context": np.array([1.0] * 10 + [0.0] * 10), "text": np.zeros(20)}
    found, evidence = preference(made(rows, videos=[None] * 20), {"base": views, "it": better}, {})
    assert (found["accuracy"]["base"]["all"], found["accuracy"]["it"]["all"]) == (50.0, 75.0)
    low, high = evidence["intervals"]["base"]["all"]
    assert low < 50 < high, "twenty sources have twenty videos, though one name"
    assert evidence["against_base"]["it"]["all"]["change"] == 25.0


@pytest.mark.parametrize("name", ["all", "1"])
def test_a_config_named_like_another_group_is_counted_by_itself(name: str) -> None:
    rows = [{"context": [{"source": "drawn", "video": str(n)}], "anchors": [0]} for n in range(4)]
    held = made(rows, videos=[None] * 4)
    held.configs = [name] * 3 + ["stage2"]
    base = {"context": np.array([1.0, 1, 1, -1]), "text": np.ones(4), "reference": np.ones(4)}
    found, _ = preference(held, {"base": base}, {})
    assert found["questions"] == {"all": 4, f"config {name}": 3, "stage2": 1, "1": 4}


def test_a_video_that_breaks_off_while_it_is_read_costs_its_rows(
    dataset: Path,
    world: Path,
    test_world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The evaluation goes on, and every model is measured on the same rows."""
    recipe = recipe_of(dataset, test_world, f"triplets.videos={{drawn: {world}}}", "triplets.rows=6")
    (first, *_) = held_out(recipe).rows
    broken = first["context"][0]["video"]
    rows = sum(any(clip["video"] == broken for clip in row["context"]) for row in held_out(recipe).rows)
    whole = evaluate(recipe, tmp_path / "whole")["preference"]
    read = ClipFrames.__call__

    def breaks_off(self: ClipFrames, clip: dict[str, Any], places: np.ndarray | None = None) -> np.ndarray:
        if clip["video"] == broken:
            raise VideoError(f"{broken}: its packets end at 0.50 s")
        return read(self, clip, places)

    monkeypatch.setattr(ClipFrames, "__call__", breaks_off)
    found = evaluate(recipe, tmp_path / "out")["preference"]
    assert found["left_out"] == {"a video of it cannot be read": rows}
    assert f"triplets: {rows} rows are left out: a video of it cannot be read" in capsys.readouterr().err
    assert found["questions"]["all"] == whole["questions"]["all"] - rows > 0
    held = held_out(recipe)
    assert without_unread(held, {"base": {"context": np.full(len(held.rows), np.nan)}})[0].rows == []


def test_rows_that_cannot_be_scored(
    dataset: Path, world: Path, test_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("videos", "metadata.jsonl"):
        (tmp_path / name).symlink_to(world / name)
    videos = [f"triplets.videos={{drawn: {tmp_path}}}"]
    whole = held_out(recipe_of(dataset, test_world, *videos))
    assert "warning" not in capsys.readouterr().err
    used = Counter(clip["video"] for row in whole.rows for clip in row["context"])
    missing, rows = used.most_common(1)[0][0], len(whole.rows)
    (tmp_path / "videos").unlink()
    (tmp_path / "videos").mkdir()
    for path in (world / "videos").iterdir():
        if path.name not in missing:
            (tmp_path / "videos" / path.name).symlink_to(path)
    held = held_out(recipe_of(dataset, test_world, *videos))
    gone = held.left_out["a video of it cannot be read"]
    assert len(held.rows) == rows - gone < rows
    said = capsys.readouterr().err
    assert f"triplets: {gone} rows are left out: a video of it cannot be read ({gone}); the first video: " in said
    assert "other files" not in said
    held_out(recipe_of(dataset, test_world, f"triplets.videos={{drawn: {test_world}}}"))
    assert f"{rows} of {rows} rows show other files than those that the dataset was" in capsys.readouterr().err
    with pytest.raises(LongVPOError, match=r"for the videos of source drawn.* set triplets\.videos\.drawn"):
        held_out(recipe_of(dataset, test_world))
    with pytest.raises(LongVPOError, match=r"can be scored: a video of it cannot be read \(\d+\); the first video: "):
        held_out(recipe_of(dataset, test_world, f"triplets.videos={{drawn: {tmp_path / 'none'}}}"))
    with pytest.raises(LongVPOError, match=r"do not fit into a frame_budget of 1\. Set it to"):
        held_out(recipe_of(dataset, test_world, *videos, "triplets.frame_budget=1"))
    with pytest.raises(LongVPOError, match="cannot load"):
        held_out(recipe_of(dataset, test_world, "triplets.split=test"))
