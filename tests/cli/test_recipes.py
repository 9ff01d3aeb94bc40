"""`longvpo recipes`: what there is, what it says, and a copy of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import Capture, check_mistake, run

from longvpo.recipe.builtin import builtin_recipes, find_recipe
from longvpo.recipe.file import load_recipe, recipe_hash
from longvpo.recipe.kinds import KINDS, kind_of


def test_a_line_a_recipe_says_what_it_is(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert run(monkeypatch, "recipes") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert [line.split()[0] for line in lines] == builtin_recipes()
    places = {len(line) - len(line.split(maxsplit=1)[1]) for line in lines}
    assert len(places) == 1, "aligned"
    assert [line for line in lines if len(line) > 135 or line[-1] != "."] == []
    assert run(monkeypatch, "recipes", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found] == builtin_recipes()
    assert [line for one, line in zip(found, lines, strict=True) if not line.endswith(one["about"])] == []


def test_a_family_is_listed_and_a_mistyped_name_is_guessed(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text("name: mine\n")
    assert run(monkeypatch, "recipes", "tiny") == 0
    lines = capsys.readouterr().out.splitlines()
    family = [name for name in builtin_recipes() if name.startswith("tiny/")]
    assert [line.split()[0] for line in lines] == family
    for words, said in (
        (["recipes", "tiny", "--resolved"], f"tiny is a family of recipes: give one of {', '.join(family)}"),
        (["build-dataset", "tinny"], "no recipe tinny (did you mean tiny?)"),
        (["build-dataset", "my.yml"], "no recipe my.yml (did you mean my.yaml?)"),
        (["build-dataset", f"{tmp_path}/my.yml"], f"(did you mean {tmp_path}/my.yaml?)"),
        (["train", "tiny/stag1"], "(did you mean tiny/stage1?)"),
    ):
        check_mistake(run(monkeypatch, *words), capsys, [said])


def test_a_recipe_as_it_stands_and_with_all_values(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    assert run(monkeypatch, "recipes", "tiny/stage1") == 0
    assert capsys.readouterr().out.rstrip() == find_recipe("tiny/stage1").read_text().rstrip()
    assert run(monkeypatch, "recipes", "tiny/stage1", "--resolved") == 0
    (tmp_path / "all.yaml").write_text(capsys.readouterr().out)
    kind = KINDS["train"]
    resolved = load_recipe(kind, str(tmp_path / "all.yaml"))
    assert recipe_hash(resolved) == recipe_hash(load_recipe(kind, "tiny/stage1"))
    assert "lora_dropout: 0.0" in (tmp_path / "all.yaml").read_text()
    assert run(monkeypatch, "recipes", "qwen3-vl-4b/stage1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["extends"] == "shared/stage1"
    assert run(monkeypatch, "recipes", "qwen3-vl-4b/stage1", "--resolved", "--json") == 0
    assert json.loads(capsys.readouterr().out)["base"]["model"] == "Qwen/Qwen3-VL-4B-Instruct"


def test_a_copy_is_the_same_recipe_and_overwrites_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tiny/dataset", "tiny/stage1", "tiny/evaluate", "accelerate/ddp"):
        copy = f"mine/{Path(name).name}.yaml"
        assert run(monkeypatch, "recipes", name, "--output", copy) == 0
        assert Path(copy).read_text().rstrip() == find_recipe(name).read_text().rstrip()
        said = capsys.readouterr().err
        command = {"dataset": "build-dataset", "train": "train", "evaluate": "evaluate", None: ""}[kind_of(name)]
        assert f"recipe:  {copy}" in said
        assert (f"next:    longvpo {command} {copy} --dry-run" in said) == bool(command)
        before = Path(copy).read_bytes()
        check_mistake(run(monkeypatch, "recipes", "tiny/stage2", "--output", copy), capsys, [copy, "--output"])
        assert Path(copy).read_bytes() == before


def test_the_keys(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert run(monkeypatch, "recipes", "--keys", "train.lora") == 0
    said = capsys.readouterr().out
    assert said.startswith("train.lora: The names of peft.LoraConfig")
    assert "  r  (whole number above 0; 16)\n      rank of the adapter's matrices\n" in said
    assert run(monkeypatch, "recipes", "train.lora.r", "--keys", "--json") == 0
    (part,) = json.loads(capsys.readouterr().out)
    assert [(part["name"], key["key"], key["default"]) for key in part["keys"]] == [("train.lora", "r", "16")]
    assert run(monkeypatch, "recipes", "--keys") == 0
    said = capsys.readouterr().out
    assert "\n\ndataset.stage2.sources: " in said
    assert "\n\nevaluate.scoring: " in said
    check_mistake(run(monkeypatch, "recipes", "--keys", "train.lore"), capsys, ["did you mean lora?"])


@pytest.mark.parametrize("name", builtin_recipes())
def test_every_recipe_is_of_the_kind_that_its_name_says(name: str) -> None:
    assert kind_of(name) == {"dataset": "dataset", "evaluate": "evaluate"}.get(name.split("/")[-1], "train")
