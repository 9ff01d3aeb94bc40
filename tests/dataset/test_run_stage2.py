"""The build of stage 2: what a row says is what was done, and what was refused is kept with its reason."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from datasets import load_dataset
from support.scribe import Scribe, content

from longvpo.clips.rows import features
from longvpo.dataset.plan import plan_build
from longvpo.dataset.run import build
from longvpo.errors import LongVPOError
from longvpo.models.writer import Answer, Request
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe


@pytest.fixture(scope="module")
def stage2_recipe(stories: Path) -> DatasetRecipe:
    overrides = ["sources=[]", "stage1=null", f"stage2.sources.0.folder={stories}", "stage2.triplets=40"]
    return load_recipe(DatasetRecipe, "tiny/dataset", overrides)


@pytest.fixture(scope="module")
def built(stage2_recipe: DatasetRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage2") / "dataset"
    build(stage2_recipe, folder)
    return folder


def test_the_built_folder(built: Path) -> None:
    """Drawn stories through cuts, captions, questions and answers of the tiny model and its question writer."""
    facts = json.loads((built / "facts.json").read_text())
    assert facts["stage1"] is None
    stage2 = facts["stage2"]
    rows = load_dataset(str(built), "stage2", split="train")
    told = load_dataset(str(built), "scenes", split="train")
    dropped = load_dataset(str(built), "dropped", split="train")
    assert rows.features == features("stage2")
    assert told.features == features("scenes")
    assert stage2["triplets"] == len(rows) == 40
    assert stage2["scenes"] == len(told)
    assert stage2["questions_tried"] == len(rows) + len(dropped)
    assert stage2["funnel"][-1]["left"] == len(rows)
    assert stage2["tasks"]["pair"]["triplets"] == 40
    assert set(stage2["rejections"]) == {"partial", "irrelevant"}
    captions = {(row["video"], row["start"]): row for row in told}
    assert all(row["writer"] == "tiny@main" and row["caption"].startswith("a ") for row in told)
    by_video = Counter(row["long_video"] for row in told)
    assert [row["scene"] for row in told] == [n for count in by_video.values() for n in range(1, count + 1)]
    for row in rows:
        assert row["question_writer"] == "tiny-questions@1"
        assert len(row["anchors"]) == 2
        context = [captions[clip["video"], clip["start"]] for clip in row["context"]]
        assert [scene["scene"] for scene in context] == row["scenes"]
        asked = [context[place]["caption"] for place in row["anchors"]]
        shapes = [caption.split()[2] for caption in asked]
        assert all(shape in row["prompt"] for shape in shapes)
        assert all(f"Scene #{place + 1}" in row["trace"] for place in row["anchors"])
        outside = [(clip["video"], clip["start"]) for clip in row["rejected_clips"]]
        relevant = [(context[place]["video"], context[place]["start"]) for place in row["anchors"]]
        if row["rejection"] == "partial":
            assert set(outside) < set(relevant)
        else:
            assert not set(outside) & set(relevant)
        # the answers follow the captions, which the same model wrote
        first, _, second = row["chosen"].split()
        assert any(first in caption for caption in asked)
        assert any(second in caption for caption in asked)
    card = (built / "README.md").read_text()
    assert "| `stage2` | 40 |" in card
    assert "`stage1`" not in card
    assert "None" not in card
    assert (built / "contact_sheet_stage2.png").stat().st_size > 5_000
    assert not (built / "contact_sheet.png").exists()


@pytest.mark.soak
def test_both_stages_in_one_build_are_what_each_is_alone(
    built: Path, stories: Path, dataset: Path, world: Path, tmp_path: Path
) -> None:
    from support.world import SMALL

    overrides = [f"sources.0.folder={world}", *SMALL[:2], f"stage2.sources.0.folder={stories}", "stage2.triplets=40"]
    facts = build(load_recipe(DatasetRecipe, "tiny/dataset", overrides), tmp_path / "both")
    assert facts["stage1"]["triplets"] == facts["stage2"]["triplets"] == 40
    for config, alone in (("stage1", dataset), ("stage2", built), ("scenes", built), ("clips", dataset)):
        rows, others = (
            load_dataset(str(folder), config, split="train").to_list() for folder in (tmp_path / "both", alone)
        )
        assert [{k: v for k, v in row.items() if k != "recipe"} for row in rows] == [
            {k: v for k, v in row.items() if k != "recipe"} for row in others
        ]
    card = (tmp_path / "both" / "README.md").read_text()
    assert "| `stage1` | 40 |" in card
    assert "| `stage2` | 40 |" in card


def test_the_same_build_again_is_the_same(built: Path, stage2_recipe: DatasetRecipe, tmp_path: Path) -> None:
    build(stage2_recipe, tmp_path / "again")
    assert content(tmp_path / "again") == content(built)


def test_videos_that_cannot_be_used_are_data(stories: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stories"
    (folder / "videos").mkdir(parents=True)
    names = [row["file_name"] for row in map(json.loads, (stories / "metadata.jsonl").read_text().splitlines())]
    for name in names[:3]:
        (folder / name).write_bytes((stories / name).read_bytes())
    (folder / "videos" / "truncated.mp4").write_bytes((stories / names[3]).read_bytes()[:2000])
    rows = [*names[:3], "videos/truncated.mp4", "videos/gone.mp4"]
    (folder / "metadata.jsonl").write_text("".join(json.dumps({"file_name": name}) + "\n" for name in rows))
    overrides = ["sources=[]", "stage1=null", f"stage2.sources.0.folder={folder}", "stage2.triplets=20"]
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", [*overrides, "stage2.questions=4"])
    facts = build(recipe, tmp_path / "out")
    dropped = load_dataset(str(tmp_path / "out"), "dropped", split="train").to_list()
    assert {row["id"]: row["filter"] for row in dropped if row["filter"] == "video"} == {
        "stories/videos/truncated.mp4": "video",
        "stories/videos/gone.mp4": "video",
    }
    assert facts["stage2"]["videos"] == 3
    with pytest.raises(LongVPOError, match=r"none of the 5 long videos .* fewer scenes than stage2\.min_scenes"):
        build(load_recipe(DatasetRecipe, "tiny/dataset", [*overrides, "stage2.min_scenes=32"]), tmp_path / "none")


def test_no_triplet_left_says_why(stage2_recipe: DatasetRecipe, tmp_path: Path) -> None:
    class Silent(Scribe):
        def answer(self, request: Request) -> str:
            return "" if request.schema else Answer("a red ring moves left in the sand").text

    with pytest.raises(LongVPOError, match=r"left in stage 2: 200 by empty .* used 200 times of 200.*--journal"):
        build(stage2_recipe, tmp_path / "out", question_writer=Silent(tmp_path / "asked"))


def test_stage_2_is_written_by_the_model_that_stage_1_trained(
    trained: Path, world: Path, stories: Path, tmp_path: Path
) -> None:
    """Captions and answers of stage 2 are its own writer's; those of stage 1, and the questions, are others'."""
    small = [f"sources.0.folder={world}", "stage1.triplets=6", "context.clips=[2, 4]", "text_only=20"]
    own = [f"stage2.writer.{key}={value}" for key, value in {"model": "tiny", "dtype": "float32"}.items()]
    own += [f"stage2.writer.adapter={trained}", "stage2.writer.max_new_tokens=24", "stage2.writer.license=apache-2.0"]
    values = [*small, f"stage2.sources.0.folder={stories}", "stage2.triplets=4", *own]
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", values)
    assert plan_build(recipe)["stage2_writer"] == f"tiny@main+{trained}"
    facts = build(recipe, tmp_path / "both")
    rows, told = (load_dataset(str(tmp_path / "both"), name, split="train") for name in ("stage2", "scenes"))
    (second,) = set(rows["writer"]) | set(told["writer"])
    assert second.startswith(f"tiny@main+{trained.name}@")
    assert set(load_dataset(str(tmp_path / "both"), "stage1", split="train")["writer"]) == {"tiny@main"}
    assert set(rows["question_writer"]) == {"tiny-questions@1"}
    assert {"role": "writer of stage 2", "model": second, "license": "apache-2.0"} in facts["models"]
    assert [facts["text_only"][stage]["model"] for stage in ("stage1", "stage2")] == ["tiny@main", second]
    assert second in (tmp_path / "both" / "README.md").read_text()

    # by itself it is the same, and the base is not loaded for it
    alone = load_recipe(DatasetRecipe, "tiny/dataset", ["sources=[]", "stage1=null", *values[2:]])
    facts = build(alone, tmp_path / "alone")
    assert facts["writer"] == second
    assert "writer of stage 2" not in {one["role"] for one in facts["models"]}
    others = load_dataset(str(tmp_path / "alone"), "stage2", split="train").remove_columns("recipe")
    assert others.to_list() == rows.remove_columns("recipe").to_list()
