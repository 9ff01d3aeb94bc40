"""What a recipe says of videos and models holds only for those that it names: licences above all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.commands import Capture, check_mistake, run

from longvpo.errors import LongVPOError
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import dump_recipe, load_recipe, recipe_hash
from longvpo.recipe.training import TrainRecipe
from longvpo.release.card_file import write_card
from longvpo.release.licenses import UNKNOWN, licensed

RECIPE = """
name: theirs
license: cc-by-nc-4.0
sources:
  - &one
    name: one
    folder: kept/one
    dataset: someone/one
    revision: 3f0c
    license: cc-by-4.0
    redistribution: true
    about: Filmed by someone.
    columns: {video: clip}
  - <<: *one
    name: two
    folder: my/two
    dataset: null
writer: {model: org/writer, revision: abc, license: mit, dtype: float16, adapter: org/one, adapter_revision: abc}
filters: {visual_model: org/eyes, visual_revision: def}
"""
TRAINING = """
name: theirs
license: cc-by-nc-4.0
base: {model: org/base, revision: abc, license: mit, quantization: nf4}
adapter: org/adapter
adapter_revision: abc
data: {dataset: org/data, revision: abc, videos: {one: my/one}}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "training.yaml").write_text(TRAINING)
    return "recipe.yaml"


def said(recipe: DatasetRecipe, place: int) -> tuple[Any, ...]:
    source = recipe.sources[place]
    return source.license, source.redistribution, source.about, source.revision, recipe.license


OLD = ("cc-by-4.0", True, "Filmed by someone.", "3f0c", "cc-by-nc-4.0")


@pytest.mark.parametrize(
    ("overrides", "place", "expected"),
    [
        (["sources.0.dataset=me/mine"], 0, (UNKNOWN, False, "", "main", None)),
        (["sources.0.dataset=null"], 0, (UNKNOWN, False, "", "main", None)),
        (["sources.0.revision=main"], 0, (UNKNOWN, False, "", "main", None)),
        (["sources.1.folder=my-films"], 1, (UNKNOWN, False, "", "3f0c", None)),
        (["sources.-1.folder=my-films"], 1, (UNKNOWN, False, "", "3f0c", None)),
        (["sources.1.dataset=me/mine"], 1, (UNKNOWN, False, "", "main", None)),
        (["sources.1.folder=my-films", "sources.1.license=mit"], 1, ("mit", False, "", "3f0c", None)),
        (["sources.1.license=mit", "sources.1.folder=my-films", "license=mit"], 1, ("mit", False, "", "3f0c", "mit")),
        (["sources.1={name: x, folder: y, license: mit}"], 1, ("mit", False, "", "main", None)),
        (["sources=[{name: x, folder: y}]"], 0, (UNKNOWN, False, "", "main", None)),
        # what names nothing else changes nothing
        (["sources.0.folder=/large/disk"], 0, OLD),  # where the videos of `dataset` are kept
        (["sources.0.dataset=me/mine"], 1, (*OLD[:4], None)),
        (["sources.1.folder=./my/two/"], 1, OLD),
        (["sources.0.dataset=someone/one", "sources.0.clips=5", "sources.0.name=x", "stage1.triplets=3"], 0, OLD),
        (["sources.1.columns.video=x"], 1, OLD),
        (["stage2={sources: [{name: films, folder: f}]}"], 0, (*OLD[:4], None)),
    ],
)
def test_a_source_that_is_another_loses_what_was_said_of_the_old_one(
    recipe: str, overrides: list[str], place: int, expected: tuple[Any, ...]
) -> None:
    assert said(load_recipe(DatasetRecipe, recipe, overrides), place) == expected


def test_what_was_dropped_is_said(recipe: str, capsys: Capture) -> None:
    load_recipe(DatasetRecipe, recipe, ["sources.1.folder=my-films", "writer.model=org/other"])
    (line,) = capsys.readouterr().err.splitlines()
    for key in ("license", "sources.1.license", "sources.1.redistribution", "writer.license", "writer.revision"):
        assert f" {key}" in line
    load_recipe(DatasetRecipe, recipe, ["sources.1.folder=my/two", "writer.dtype=float32"])
    load_recipe(DatasetRecipe, "tiny", ["sources.0.folder=my-films", "stage2.sources.0.folder=more"])
    assert capsys.readouterr().err == ""


def test_an_override_changes_one_source_where_the_recipe_repeats_another(recipe: str) -> None:
    sources = load_recipe(DatasetRecipe, recipe, ["sources.0.columns.video=path"]).sources
    assert [source.columns.video for source in sources] == ["path", "clip"]


def test_a_model_that_is_another_loses_what_was_said_of_the_old_one(recipe: str) -> None:
    loaded = load_recipe(DatasetRecipe, recipe, ["writer.model=org/other", "filters.visual_model=org/other"])
    assert (loaded.writer.revision, loaded.writer.license, loaded.writer.dtype) == ("main", UNKNOWN, "float16")
    assert (loaded.filters.visual_revision, loaded.license) == ("main", "cc-by-nc-4.0")
    loaded = load_recipe(DatasetRecipe, recipe, ["writer.adapter=mine"])
    assert (loaded.writer.adapter_revision, loaded.writer.revision, loaded.writer.license) == ("main", "abc", "mit")
    loaded = load_recipe(DatasetRecipe, recipe, ["writer.adapter=null", "writer.endpoint.url=http://localhost/v1"])
    assert (loaded.writer.revision, loaded.writer.license) == ("abc", "mit")
    trained = load_recipe(TrainRecipe, "training.yaml", ["base.model=org/other", "data.dataset=mine", "adapter=mine"])
    assert (trained.base.revision, trained.base.license, trained.license) == ("main", UNKNOWN, None)
    assert (trained.data.revision, trained.adapter_revision, trained.base.quantization) == ("main", "main", "nf4")
    trained = load_recipe(TrainRecipe, "training.yaml", ["base.model=org/other", "base.license=llama3.1"])
    assert (trained.base.license, trained.license) == ("llama3.1", None)
    trained = load_recipe(TrainRecipe, "training.yaml", ["data.videos.one=elsewhere", "data.config=stage2"])
    assert (trained.base.license, trained.license, trained.data.revision) == ("mit", "cc-by-nc-4.0", "abc")


def test_drawn_videos_bring_their_licence_and_no_others_do(world: Path, stories: Path, tmp_path: Path) -> None:
    folders = [f"sources.0.folder={world}", f"stage2.sources.0.folder={stories}", "embed=frames"]
    recipe = load_recipe(DatasetRecipe, "tiny", folders)
    for source in recipe.all_sources:
        assert (source.license, source.redistribution) == ("apache-2.0", True)
        assert "nobody's footage" in source.about
    # a result's own recipe says nothing of videos: whoever changes its folders takes no licence with them
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_recipe(recipe))
    assert recipe_hash(load_recipe(DatasetRecipe, str(copy))) == recipe_hash(recipe)
    values = yaml.safe_load(copy.read_text())
    assert not {"license", "redistribution", "about"} & (values["sources"][0].keys() | values["stage2"]["sources"][0])
    for spoil in (
        lambda folder: (folder / "videos" / "00003.mp4").write_bytes(b"my film"),
        lambda folder: shutil.copy(folder / "videos" / "00003.mp4", folder / "videos" / "mine.mp4"),
        lambda folder: (folder / "metadata.jsonl").write_text('{"file_name": "videos/00003.mp4", "caption": "me"}'),
        lambda folder: (folder / "videos" / "00003.mp4").unlink(),
        lambda folder: (folder / "source.json").write_text('{"license": "mit", "redistribution": true, "about": ""}'),
        lambda folder: (folder / "source.json").write_text("[1, 2"),
        lambda folder: shutil.rmtree(folder / "videos"),
    ):
        mine = tmp_path / "mine"
        shutil.rmtree(mine, ignore_errors=True)
        shutil.copytree(world, mine)
        assert load_recipe(DatasetRecipe, "tiny", [f"sources.0.folder={mine}"]).sources[0].license == "apache-2.0"
        spoil(mine)
        found = load_recipe(DatasetRecipe, "tiny", [f"sources.0.folder={mine}"]).sources[0]
        assert (found.license, found.redistribution, found.about) == (UNKNOWN, False, "")
    kept = load_recipe(DatasetRecipe, "tiny", [f"sources.0.folder={world}", "sources.0.license=mit"]).sources[0]
    assert kept.license == "mit"


def test_frames_of_others_are_not_embedded(tmp_path: Path) -> None:
    with pytest.raises(LongVPOError, match=r"source stories may be published\. .* set stage2\.sources\.0\.redist"):
        load_recipe(
            DatasetRecipe,
            "tiny",
            ["embed=frames", "sources.0.redistribution=true", f"stage2.sources.0.folder={tmp_path}"],
        )


def test_a_strangers_films_have_no_licence_and_are_not_pushed(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    folder, output = tmp_path / "John Doe" / "my clips", tmp_path / "out"
    shutil.copytree(world, folder)
    (folder / "videos" / "00001.mp4").write_bytes(b"broken")
    (folder / "videos" / "00002.mp4").unlink()
    small = [f"sources.0.folder={folder}", "stage2=null", "stage1.triplets=4", "context.clips=[2]", "text_only=0"]
    assert run(monkeypatch, "build-dataset", "tiny", *small, "--output", output) == 0
    card = (output / "README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["license"] == UNKNOWN
    assert "| not stated | no |" in card
    assert "nobody's footage" not in card
    capsys.readouterr()
    check_mistake(
        run(monkeypatch, "push", output), capsys, ["the licence of source drawn is not stated", "--license cc"]
    )
    # before hours of work, it is the recipe's key
    code = run(monkeypatch, "build-dataset", "tiny", *small, "--push", "--output", tmp_path / "other")
    check_mistake(code, capsys, ["sources.0.license is not stated", "as in sources.0.license=cc-by-4.0"])


def test_a_licence_that_is_stated_at_the_release(dataset: Path, tmp_path: Path) -> None:
    facts = json.loads((dataset / "facts.json").read_text())
    assert licensed(facts, None)["license"] == "apache-2.0"
    assert licensed(facts, "apache-2.0") == licensed(facts, None)
    with pytest.raises(LongVPOError, match="it states all of them"):
        licensed(facts, "mit")
    facts["sources"][0]["license"] = UNKNOWN
    with pytest.raises(LongVPOError, match=r"--license: MIT is not a licence id of the Hub \(did you mean mit"):
        licensed(facts, "MIT")
    released = licensed(facts, "mit")
    assert (released["license"], released["sources"][0]["license"]) == ("mit", "mit")
    copy = Path(shutil.copytree(dataset, tmp_path / "copy"))
    (copy / "facts.json").write_text(json.dumps(released))
    assert "stated at the release" in write_card(copy).read_text()
    facts["sources"].append(facts["sources"][0] | {"name": "more", "license": "cc-by-4.0"})
    with pytest.raises(LongVPOError, match=r"several licences \(cc-by-4.0, mit\): set `license`"):
        licensed(facts, "mit")
    trained = {"license": UNKNOWN}
    assert licensed(trained, "mit")["license"] == "mit"
    with pytest.raises(LongVPOError, match=r"the licence of the base is not stated: .* --license cc-by-4"):
        licensed(trained, None)
