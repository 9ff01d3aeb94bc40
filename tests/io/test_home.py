"""`~` in every path that a user gives; `$HOME` is the shell's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml
from support.commands import Capture, check_mistake, run

from longvpo import load_triplets
from longvpo.errors import LongVPOError
from longvpo.io.home import at_home
from longvpo.recipe.builtin import find_recipe
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import dump_recipe, load_recipe
from longvpo.recipe.training import TrainRecipe


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_what_stands_for_a_home(home: Path) -> None:
    assert at_home("~") == str(home)
    assert at_home("~/a b") == f"{home}/a b"
    assert at_home("~root/x") == os.path.expanduser("~root/x") != "~root/x"
    for path in ("a/~", "./~/x", "$HOME/x", "", "someone/model", "tiny"):
        assert at_home(path) == path
    with pytest.raises(LongVPOError, match=r"~nobody-here/x: there is no user nobody-here; \./~nobody-here/x is"):
        at_home("~nobody-here/x")
    Path("~old").mkdir()
    assert at_home("~old") == "~old"


def test_every_path_of_a_recipe(home: Path) -> None:
    films = ["stage2.sources.0.folder=~/films", "stage2.sources.0.dataset=~/data"]
    models = ["writer.model=~/m", "filters.visual_model=~/eyes", "filters.text_model=~/words", "filters.overlap=~/o"]
    built = load_recipe(DatasetRecipe, "tiny", ["sources.0.folder=~/clips #1", *films, *models])
    (one, two) = built.all_sources
    assert (one.folder, two.folder, two.dataset) == (home / "clips #1", home / "films", f"{home}/data")
    assert (built.writer.model, built.filters.overlap) == (f"{home}/m", home / "o")
    assert (built.filters.visual_model, built.filters.text_model) == (f"{home}/eyes", f"{home}/words")
    places = ["data.dataset=~/d", "data.videos.drawn=~/v", "adapter=~/a", "base.model=~/b", "training.deepspeed=~/z"]
    trained = load_recipe(TrainRecipe, "tiny", places)
    assert (trained.data.dataset, trained.data.videos["drawn"]) == (f"{home}/d", home / "v")
    assert (trained.adapter, trained.base.model) == (f"{home}/a", f"{home}/b")
    assert trained.training["deepspeed"] == f"{home}/z"
    measured = load_recipe(EvaluateRecipe, "tiny", ["source.folder=~/t", "multi.source.folder=$HOME/f"])
    assert (measured.source.folder, measured.multi and measured.multi.source.folder) == (home / "t", Path("$HOME/f"))


def test_recipe_files_and_relative_folders(home: Path) -> None:
    shutil.copy(find_recipe("tiny/dataset"), home / "mine.yaml")
    assert find_recipe("~/mine.yaml") == home / "mine.yaml"
    recipe = load_recipe(DatasetRecipe, "~/mine.yaml", ["sources.0.folder=my-clips"])
    assert yaml.safe_load(dump_recipe(recipe))["sources"][0]["folder"] == "my-clips", "as it was given"


def test_every_path_of_the_command_line(
    home: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """As scripts and `--output=~/x` give them, where no shell has looked at the `~`."""
    shutil.copytree(dataset, home / "d", ignore=shutil.ignore_patterns("work"))
    assert run(monkeypatch, "card", "~/d") == 0
    assert capsys.readouterr().out == f"{home}/d/README.md\n"
    (home / "f").write_text("mine")
    here = f"{home}/f is a file: give another --output"
    training = ["tiny", "data.dataset=~/d", "data.videos.drawn=~/v"]
    for arguments, says in (
        (["push", "~/nothing"], f"{home}/nothing holds no finished dataset"),
        (["push", "~/d", "--results", "~/r"], f"{home}/d holds a dataset: --results"),
        (["build-dataset", "tiny", "stage2=null", "sources.0.folder=~/none"], f"in {home}/none"),
        (["build-dataset", "~/none.yaml"], "no recipe ~/none.yaml"),
        (["evaluate", "tiny", "--adapter", "~/a"], f"no such folder: {home}/a. Give the folder of an adapter"),
        (["train", *training, "--output=~/f"], here),
        (["train", *training, "--output=~nobody-here/f"], "there is no user nobody-here"),
    ):
        check_mistake(run(monkeypatch, *arguments), capsys, [says])
    assert not Path("~").exists()


def test_videos_of_published_rows(home: Path, dataset: Path, world: Path) -> None:
    (home / "clips").symlink_to(world)
    (home / "d").symlink_to(dataset)
    assert len(load_triplets("~/d", "stage1", videos={"drawn": "~/clips"})[0].anchor_frames()) == 1
