"""What a training is given: rows, spans and videos are looked at before any weight is loaded."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from longvpo.clips.triplets import check_rows, teaching
from longvpo.errors import LongVPOError
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sections import VideoSection
from longvpo.recipe.training import TrainRecipe
from longvpo.training.arguments import refusals, steps_of, training_arguments
from longvpo.training.plan import plan_training
from longvpo.training.rows import check_scores, training_rows
from longvpo.training.run import train
from longvpo.training.tokens import check_targets
from longvpo.training.videos import check_videos
from longvpo.video.frames import ClipFrames

CLIP = {"source": "drawn", "video": "a.mp4", "start": 0.0, "end": 2.0}
GOOD = {"prompt": "Which?", "chosen": "red", "rejected": "blue", "context": [CLIP, CLIP], "anchors": [1]}


def rows_with(**changes: Any) -> Dataset:
    """A good row, and one that is not, in the types that these values have."""
    names = {"chosen", "prompt"} & set(changes) and not isinstance(next(iter(changes.values())), str | None)
    return Dataset.from_list([GOOD | changes] if names else [GOOD, GOOD | changes])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rejected": None}, "row 1 of config stage1: its rejected is null, and a text is expected"),
        ({"chosen": 7}, "row 0 of config stage1: its chosen is 7, and a text is expected"),
        ({"prompt": [{"role": "user", "content": "Which?"}]}, "its prompt is a list of messages ("),
        ({"context": None}, "row 1 of config stage1: its context is null, and a list of clips is expected"),
        ({"context": []}, "its context is [], and a list of clips"),
        ({"context": [None]}, "clip 0 of its context is null"),
        ({"context": [CLIP | {"video": None}, CLIP]}, "the video of clip 0 of its context is null"),
        ({"context": [CLIP, CLIP | {"start": 3.0}]}, "clip 1 of its context goes from 3.0 to 2.0, and seconds"),
        ({"context": [CLIP, CLIP | {"start": -1.0}]}, "clip 1 of its context goes from -1.0 to 2.0"),
        ({"context": [CLIP, CLIP | {"end": float("nan")}]}, "clip 1 of its context goes from 0.0 to nan"),
        ({"context": [CLIP, CLIP | {"end": float("inf")}]}, "clip 1 of its context goes from 0.0 to inf"),
        ({"context": [CLIP, CLIP | {"end": None}]}, "clip 1 of its context goes from 0.0 to null"),
        ({"anchors": None}, "its anchors null are not places"),
        ({"anchors": []}, "its anchors [] are not places"),
        ({"anchors": [0, 2]}, "its anchors [0, 2] are not places in its context of 2 clips"),
        ({"anchors": [-1]}, "its anchors [-1] are not places"),
        ({"anchors": [None]}, "its anchors [None] are not places"),
    ],
)
def test_a_row_that_is_no_triplet_is_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(LongVPOError) as error:
        check_rows(rows_with(**changes), "stage1")
    assert says in str(error.value)
    assert len(str(error.value)) < 400


def test_a_context_in_another_form() -> None:
    for context in ("a.mp4", ["a.mp4"], [{"video": "a.mp4"}]):
        with pytest.raises(LongVPOError, match="context"):
            check_rows(Dataset.from_list([GOOD | {"context": context}]), "stage1")
    check_rows(Dataset.from_list([GOOD | {"context": [CLIP | {"start": 0, "end": 2}], "anchors": [0]}]), "stage1")


def test_rows_that_teach_nothing_are_left_out_and_counted() -> None:
    answers = [("red", "blue"), ("red", " red\n"), ("", "blue"), ("red", "  "), ("red", "Red")]
    rows = Dataset.from_list([GOOD | {"chosen": chosen, "rejected": rejected} for chosen, rejected in answers])
    kept, left_out = teaching(rows)
    assert list(kept["rejected"]) == ["blue", "Red"]
    assert left_out == {"chosen equals rejected": 1, "chosen is empty": 1, "rejected is empty": 1}


def spoilt(dataset: Path, folder: Path, equal: int) -> Path:
    """The dataset with rows whose answers are equal."""
    shutil.copytree(dataset, folder, ignore=shutil.ignore_patterns("work"))
    file = next((folder / "stage1").glob("*.parquet"))
    rows = Dataset.from_parquet(str(file), keep_in_memory=True).to_list()
    Dataset.from_list(
        [row | {"rejected": row["chosen"]} if at < equal else row for at, row in enumerate(rows)]
    ).to_parquet(str(file))
    return folder


def recipe_of(dataset: Path, world: Path, *overrides: str) -> TrainRecipe:
    given = [f"data.dataset={dataset}", f"data.videos.drawn={world}", "training.max_steps=1", *overrides]
    return load_recipe(TrainRecipe, "tiny/stage1", given)


def test_a_run_says_how_many_it_left_out(
    dataset: Path, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of(spoilt(dataset, tmp_path / "some", 3), world, "training.gradient_accumulation_steps=1")
    plan = plan_training(recipe)
    assert (plan["left_out"], plan["videos"]) == ({"chosen equals rejected": 3}, "all can be used")
    away = recipe_of(dataset, tmp_path, "training.gradient_accumulation_steps=1")
    assert "no such video: videos/" in plan_training(away)["videos"]
    facts = train(recipe, tmp_path / "out")
    assert (facts["triplets"], facts["left_out"]) == (37, {"chosen equals rejected": 3})
    assert json.loads((tmp_path / "out" / "facts.json").read_text())["left_out"] == facts["left_out"]
    assert "warning: 3 rows that teach nothing are left out: chosen equals rejected" in capsys.readouterr().err


def test_where_nothing_is_left(dataset: Path, world: Path, tmp_path: Path) -> None:
    recipe = recipe_of(spoilt(dataset, tmp_path / "all", 40), world)
    with pytest.raises(LongVPOError, match=r"has no row that teaches anything: chosen equals rejected \(40\)"):
        train(recipe, tmp_path / "out")
    assert len(training_rows(recipe, 0)) == 40, "scores are given to all rows"
    assert not (tmp_path / "out").exists()


def test_scores_that_are_none(dataset: Path, world: Path) -> None:
    recipe, rows = recipe_of(dataset, world), [GOOD | {"reference": "anchor", "ref_scored_by": "{}"}]
    frames_of = ClipFrames(recipe.video, recipe.data.videos)
    for scores, says in (
        ({"ref_chosen_logps": None}, "its ref_chosen_logps is None"),
        ({"ref_scored_by": "[]x"}, "no obj"),
    ):
        brought = {"ref_chosen_logps": -1.0, "ref_rejected_logps": -2.0} | scores
        with pytest.raises(LongVPOError, match=says):
            check_scores(recipe, Dataset.from_list([row | brought for row in rows]), None, frames_of)


# --- steps and targets


@pytest.mark.parametrize(
    ("section", "triplets", "steps"),
    [
        ({"num_train_epochs": 1}, 12, 2),
        ({"num_train_epochs": 0.1}, 12, 1),
        ({"num_train_epochs": 2, "gradient_accumulation_steps": 2}, 12, 2),
        ({"num_train_epochs": 1, "dataloader_drop_last": True}, 12, 1),
        ({"max_steps": 7}, 3, 7),
        ({"dataloader_drop_last": True}, 7, None),
        ({"dataloader_drop_last": True, "max_steps": 7}, 7, None),
    ],
)
def test_a_run_that_takes_no_step_is_a_mistake(section: dict[str, Any], triplets: int, steps: int | None) -> None:
    arguments = training_arguments(section | {"per_device_train_batch_size": 8}, Path("unused"))
    if steps is None:
        with pytest.raises(LongVPOError, match=r"7 triplets are fewer than one batch of 8.*no step would be taken"):
            steps_of(arguments, triplets)
    else:
        assert steps_of(arguments, triplets) == steps


def test_no_adapter_without_a_step(dataset: Path, world: Path, tmp_path: Path) -> None:
    large = ["training.per_device_train_batch_size=64", "training.dataloader_drop_last=true"]
    for run in (plan_training, lambda recipe: train(recipe, tmp_path / "out")):
        with pytest.raises(LongVPOError, match="40 triplets are fewer than one batch of 64"):
            run(recipe_of(dataset, world, *large))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        ("q_projection", "'q_projection' matches no linear layer of tiny. .* such as model.language_model.layers.0"),
        ("'*.q_proj'", "is not a regular expression"),
    ],
)
def test_an_adapter_on_nothing(targets: str, says: str, dataset: Path, world: Path, tmp_path: Path) -> None:
    recipe = recipe_of(dataset, world, f"lora.target_modules={targets}")
    for run in (check_targets, plan_training):
        with pytest.raises(LongVPOError, match=f"^lora.target_modules: .*{says}"):
            run(recipe)


@pytest.mark.parametrize("trained", ["lora.vision=connector", "lora.target_modules=all-linear"])
def test_kept_features_of_a_vision_side_that_is_trained(trained: str, dataset: Path, world: Path) -> None:
    """Before any weight is loaded, and in a dry run as in a run."""
    recipe = recipe_of(dataset, world, trained, "vision_cache_gb=0.1")
    for run in (check_targets, plan_training):
        with pytest.raises(LongVPOError, match=r"set vision_cache_gb=0, or lora\.vision=none"):
            run(recipe)


def test_what_a_library_refuses_before_the_first_step_is_one_line(dataset: Path, world: Path, tmp_path: Path) -> None:
    with pytest.raises(
        LongVPOError, match=r"^training\.loss_type: TRL refuses it: Unknown loss type: wishful"
    ) as error:
        train(recipe_of(dataset, world, "training.loss_type=[sigmoid, wishful]"), tmp_path / "out")
    assert isinstance(error.value.__cause__, ValueError), "LONGVPO_DEBUG=1 shows where"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), refusals({}, begun=lambda: True):
        1 / 0  # noqa: B018
    with pytest.raises(LongVPOError, match=r"^training: TRL refuses it: ZeroDivisionError: .*DEBUG=1"), refusals({}):
        1 / 0  # noqa: B018


# --- videos


def test_videos_are_held_against_the_spans_of_the_rows(world: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("a letter " * 99)
    (tmp_path / "empty.mp4").touch()
    shutil.copy(world / "videos" / "00000.mp4", tmp_path / "whole.mp4")
    frames_of = ClipFrames(VideoSection(), {"drawn": tmp_path})
    clips = {name: CLIP | {"video": f"{name}.mp4"} for name in ("whole", "text", "empty", "gone")}
    clips["late"] = clips["whole"] | {"end": 60.0}

    def said(*contexts: tuple[str, ...]) -> str:
        with pytest.raises(LongVPOError) as error:
            check_videos(
                Dataset.from_list([{"context": [clips[name] for name in one]} for one in contexts]), frames_of
            )
        return str(error.value)

    check_videos(Dataset.from_list([{"context": [clips["whole"]] * 2}]), frames_of)
    late = said(("whole",), ("whole", "late"))
    assert "2 of 2 triplets need videos that cannot be used, 1 of 1 in " in late
    assert f"{tmp_path}: the pictures of whole.mp4 end at 4.0 s" in late
    assert "was asked for. Set data.videos.drawn to the folder that holds them" in late
    all_bad = said(("whole", "text"), ("empty",), ("gone", "whole"), ("whole",))
    assert "3 of 4 triplets need videos that cannot be used, 3 of 4 in " in all_bad
    assert "empty.mp4: the file is empty; no such video: " in all_bad
    clips["away"] = CLIP | {"video": "away.mp4"}
    assert ", such as: " in said(("whole", "text", "empty", "gone", "away"))
    assert Counter(said(("whole", "text", "empty", "gone", "away")))[";"] == 2, "three are named"
