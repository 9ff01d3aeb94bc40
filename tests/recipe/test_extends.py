"""A recipe that extends others: the same as its values written out, and clear where it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.commands import Capture, check_mistake, run
from support.world import ROOT

from longvpo.errors import LongVPOError
from longvpo.recipe.builtin import BASES, builtin_files, builtin_recipes, find_recipe
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import dump_recipe, load_recipe, recipe_hash
from longvpo.recipe.training import TrainRecipe
from longvpo.release.licenses import UNKNOWN

BASE = """
base: {model: org/base, revision: abc, license: mit, quantization: nf4}
license: cc-by-4.0
data: {dataset: org/data, revision: abc, videos: {one: my/one}}
lora: {r: 8}
training: {beta: 0.1, loss_type: [sigmoid, sft], bf16: true}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bases").mkdir()
    (tmp_path / "bases" / "base.yaml").write_text(BASE)
    return tmp_path


def written(text: str, name: str = "mine.yaml") -> str:
    Path(name).write_text(text)
    return name


def train(name: str, *overrides: str) -> TrainRecipe:
    return load_recipe(TrainRecipe, name, list(overrides))


def test_sections_are_put_together_and_all_else_is_replaced(here: Path) -> None:
    short = train(
        written("""
extends: bases/base.yaml
name: mine
lora: {lora_alpha: 4}
data: {videos: {two: my/two}, mix: []}
training: {loss_type: [sigmoid], loss_weights: null, beta: 0.2}
""")
    )
    whole = train(
        written("""
name: mine
base: {model: org/base, revision: abc, license: mit, quantization: nf4}
license: cc-by-4.0
data: {dataset: org/data, revision: abc, videos: {one: my/one, two: my/two}}
lora: {r: 8, lora_alpha: 4}
training: {beta: 0.2, loss_type: [sigmoid], loss_weights: null, bf16: true}
""")
    )
    assert short == whole
    assert recipe_hash(short) == recipe_hash(whole)
    assert yaml.safe_load(dump_recipe(short)) == yaml.safe_load(dump_recipe(whole))
    assert "extends" not in dump_recipe(short)


def test_a_chain_a_list_and_a_section_of_its_own(here: Path) -> None:
    written("extends: base.yaml\nlora: {r: 32}\n", "bases/larger.yaml")  # a path is from the file that names it
    written("lora: {lora_alpha: 1}\nframe_budget: 64\n", "bases/small.yaml")
    written("model: org/other\nrevision: def\n", "bases/other.yaml")
    recipe = train(
        written("""
extends: [bases/larger.yaml, bases/small.yaml]
name: mine
base: {extends: bases/other.yaml, dtype: float16}
frame_budget: null
""")
    )
    assert (recipe.lora.r, recipe.lora.lora_alpha, recipe.frame_budget) == (32, 1, None)
    assert (recipe.base.model, recipe.base.revision, recipe.base.dtype) == ("org/other", "def", "float16")
    assert train("mine.yaml", "lora.r=2").lora.r == 2


def test_a_section_in_a_list_may_extend(here: Path) -> None:
    written("{folder: films, license: mit, redistribution: true}", "bases/films.yaml")
    recipe = load_recipe(
        DatasetRecipe,
        written("""
extends: tiny/dataset
sources:
  - {extends: bases/films.yaml, name: one}
  - {extends: bases/films.yaml, name: two, folder: other}
"""),
    )
    assert [(one.name, str(one.folder)) for one in recipe.sources] == [("one", "films"), ("two", "other")]
    # what was said of the folder of a base is not said of another
    assert [(one.license, one.redistribution) for one in recipe.sources] == [("mit", True), (UNKNOWN, False)]
    assert recipe.writer == load_recipe(DatasetRecipe, "tiny/dataset").writer


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("base: {quantization: null}", ("org/base", "abc", "mit", "cc-by-4.0")),
        ("base: {model: org/base}", ("org/base", "abc", "mit", "cc-by-4.0")),
        ("base: {revision: main}", ("org/base", "main", UNKNOWN, None)),
        ("base: {model: org/new}", ("org/new", "main", UNKNOWN, None)),
        ("base: {model: org/new, license: gemma}", ("org/new", "main", "gemma", None)),
        ("base: {model: org/new}\nlicense: mit", ("org/new", "main", UNKNOWN, "mit")),
    ],
)
def test_what_a_base_says_of_a_model_that_is_replaced_is_dropped(
    here: Path, capsys: Capture, more: str, expected: tuple[str | None, ...]
) -> None:
    recipe = train(written(f"extends: bases/base.yaml\nname: mine\n{more}\n"))
    assert (recipe.base.model, recipe.base.revision, recipe.base.license, recipe.license) == expected
    said = capsys.readouterr().err
    assert ("what mine.yaml extends describes something that is not used now" in said) == (
        expected[2:] != ("mit", "cc-by-4.0")
    )
    # two steps down the same
    written("extends: mine.yaml\nlora: {r: 1}\n", "further.yaml")
    assert train("further.yaml").base == recipe.base


def test_an_error_names_the_file_in_which_the_key_stands(here: Path) -> None:
    written("lora: {r: many, lora_alhpa: 2}\nvideo: {fps: 0}\n", "bases/wrong.yaml")
    mine = written("extends: [bases/base.yaml, bases/wrong.yaml]\nname: mine\nvideo: {max_frames: 0}\n")
    with pytest.raises(LongVPOError) as error:
        train(mine, "lora.lora_dropout=2")
    text = str(error.value)
    for expected in (
        "lora.r: must be a whole number (got 'many') (in bases/wrong.yaml)",
        "unknown key lora.lora_alhpa (did you mean lora_alpha?) (in bases/wrong.yaml)",
        "video.max_frames: must be greater than 0 (got 0) (in mine.yaml)",
        "video.fps: must be greater than 0 (got 0) (in bases/wrong.yaml)",
        "lora.lora_dropout: must be less than 1 (got 2)",
    ):
        assert expected in text
    assert "(got 2) (in" not in text, "a key of the command line stands in no file"


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("extends: mine.yaml", ["mine.yaml extends itself: mine.yaml -> mine.yaml"]),
        ("extends: bases/to.yaml", ["extends itself: mine.yaml -> bases/to.yaml -> bases/../mine.yaml"]),
        ("base: {extends: bases/to.yaml}", ["extends itself: mine.yaml -> bases/to.yaml -> bases/../mine.yaml"]),
        ("extends: tiny/stage3", ["mine.yaml extends tiny/stage3", "(did you mean tiny/stage"]),
        ("extends: accelerate/ddp", ["which is neither a file next to it nor a built-in recipe"]),
        ("extends: 5", ["mine.yaml: extends must be a name, or a list of names (got 5)"]),
        ("extends: [a, {b: c}]", ["extends must be a name"]),
        ("extends: bases/list.yaml", ["bases/list.yaml holds no recipe"]),
        ("extends: bases/broken.yaml", ["bases/broken.yaml is not YAML", "line 1"]),
        ("extends: bases/many.yaml", ["extends more than 100 files"]),
    ],
)
def test_what_cannot_be_extended(here: Path, text: str, texts: list[str]) -> None:
    written("extends: ../mine.yaml", "bases/to.yaml")
    written("- 1", "bases/list.yaml")
    written("a: [", "bases/broken.yaml")
    written(f"extends: [{', '.join(['base.yaml'] * 200)}]", "bases/many.yaml")
    with pytest.raises(LongVPOError) as error:
        train(written(text))
    assert [one for one in texts if one not in str(error.value)] == []


def test_extends_is_not_a_value_of_the_command_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    mine = written("extends: bases/base.yaml\nname: mine\n")
    code = run(monkeypatch, "train", mine, "base.extends=models/x", "--dry-run")
    check_mistake(code, capsys, ["base.extends is only for recipe files"])


def test_files_that_only_others_extend_are_not_listed() -> None:
    folders = {path.parent.name for path in (ROOT / "recipes").glob("*/*.yaml")}
    assert {f"{base}/" for base in folders} >= set(BASES)
    hidden = set(builtin_files()) - set(builtin_recipes())
    assert {name.split("/")[0] + "/" for name in hidden} == set(BASES)
    used = {name for one in builtin_files() for name in hidden if f"extends: {name}" in find_recipe(one).read_text()}
    assert used == hidden, "a base that nobody extends"
