"""YAML of recipes and overrides: it is taken whole, or it is an error that names the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.commands import Capture, check_mistake, run

from longvpo.errors import LongVPOError
from longvpo.io.yaml_text import parse, parse_value
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe

TWICE = "name: a\ntraining:\n  beta: 0.1\n  lr: 1\n  beta: 0.2\n"


@pytest.mark.parametrize(
    "text",
    [
        *("clips #1", "#1", "a # b", "a\t#b", "http://x/#y", "C:\\Users\\me", "@home", "%x", "*.tar", "&x y", "&x"),
        *("!important", "! x", "`x", "|x", ">x", "--- a", "---", "...", "a: b # c", "a: b: c", "it's", "a, b", "a=b"),
        *("2024-01-01", "2024-13-45", "12:30", "=", "x:y", "[2]x"[::-1], "~/clips", "a\n b", "0o17", "1.0.0", "-x"),
    ],
)
def test_an_override_is_a_text_to_its_end(text: str) -> None:
    assert parse_value(text) == text
    assert parse_value(f"  {text} ") == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("5", 5), ("1_000", 1000), ("-0.5", -0.5), ("1.0e-5", 1e-5), ("true", True), ("yes", True), ("no", False)),
        *(("null", None), ("~", None), ("", None), ("  ", None), ("!!str 5", "5"), ('"5"', "5"), ("'it''s'", "it's")),
        *(("[1, a]", [1, "a"]), ('{a: "x #y"}', {"a": "x #y"}), ("a: b", {"a": "b"}), ("- x", ["x"]), ("[]", [])),
        ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}),
    ],
)
def test_values_are_those_of_yaml(text: str, value: Any) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        *(("[1, 2] # c", "column 7: a # would"), ("[a #1]", "a # would begin"), ('"a" # b', "a # would begin")),
        *(("[", "line 1, column 2"), ("[a] b", "column 5"), ('"C:\\Users"', "escape sequence"), ("{a", "line 1")),
        *(("{a: 1, a: 2}", "the key a is there twice"), ("!!bool maybe", "maybe"), ("!!int x", "invalid literal")),
        *(
            ("1" * 5000, "11111... is a number that is too large"),
            ("[" * 1200, "nested too deeply"),
            ("a\x07", "character 2 is one that"),
        ),
        *(("\ud800", "character 1 is one that"), ("!!python/object:os.system {}", "python/object"), ("<<", "merge")),
    ],
)
def test_an_override_that_is_no_value(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", r"\(")) as error:
        parse_value(text)
    assert "\n" not in str(error.value)


def bomb(item: str) -> str:
    lines = ["a: &a " + item.replace("*", "")]
    for one, before in zip("bcdefghij", "abcdefghi", strict=True):
        lines.append(f"{one}: &{one} " + item.replace("x", ", ".join([f"*{before}"] * 9)))
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TWICE, "the key training.beta is there twice, in line 3 and in line 5: keep one"),
        (TWICE.replace("\n", "\r\n"), "training.beta is there twice, in line 3 and in line 5"),
        ("a: 1\n'a': 2\n", "the key a is there twice, in line 1 and in line 2"),
        ("a:\n- b: 1\n- b: 1\n  b: 1\n", "the key a.1.b is there twice, in line 3 and in line 4"),
        ("a: {b: 1, c: 2, b: 3}", "the key a.b is there twice, in line 1 and in line 1"),
        (bomb("[x]"), "line 1: with its aliases written out it holds more than 100,000 values"),
        (bomb("{<<: [x]}").replace("[]", "[{k: 1}]"), "it holds more than 100,000 values"),
        ("a: &a\n  b: *a\n", "nested too deeply"),
        ("- " * 2000 + "x", "nested too deeply"),
        ("".join(f"{' ' * level}x:\n" for level in range(99)), "line 31: it is nested too deeply"),
        ("a: 1\n---\nb: 1\n", "line 2, column 1"),
        ("? [a]\n: 1\n", "unhashable"),
        ("a: !!set {b}\n", "line 1: a recipe has no values of the kind set"),
    ],
)
def test_what_is_no_recipe(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)


def test_what_is_a_recipe() -> None:
    assert parse("\ufeffa: &x {q: 1, r: 2}\nb:\n  <<: *x\n  q: 3  # not 1\n") == {
        "a": {"q": 1, "r": 2},
        "b": {"q": 3, "r": 2},
    }
    values = parse("a: &x [1]\nb: *x\n")
    values["a"].append(2)
    assert values["b"] == [1]
    assert parse("x: 2026-02-30\ny: 2026-02-03\n") == {"x": "2026-02-30", "y": "2026-02-03"}
    assert parse("") is parse("# nothing\n") is None


def test_a_key_that_is_there_twice_is_an_error_of_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "mine.yaml").write_text(TWICE)
    code = run(monkeypatch, "train", tmp_path / "mine.yaml", "--dry-run")
    check_mistake(code, capsys, ["mine.yaml is not YAML: the key training.beta is there twice, in line 3 and in"])
    code = run(monkeypatch, "train", "tiny/stage1", "training={beta: 1, beta: 2}", "--dry-run")
    check_mistake(code, capsys, ["cannot set training: ", "the key beta is there twice"])


def test_the_last_of_equal_overrides_holds() -> None:
    assert load_recipe(DatasetRecipe, "tiny", ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("sources.0.folder=[old] #1", """if you mean a text, write 'sources.0.folder="[old] #1"'"""),
        ("name=a: b", "name: must be a text: put it in quotes"),
        ("name=5", "name: must be a text: put it in quotes (got 5)"),
        ("sources.0.folder=2024", "sources.0.folder: must be a path: put it in quotes (got 2024)"),
        (
            "sources.7.folder=x",
            "cannot set sources.7.folder: the recipe has no such place: sources has one entry, 0",
        ),
        ("sources.x.folder=x", "cannot set sources.x.folder: the recipe has no such place"),
        ("context.clips=lots", "context.clips: must be a list (got 'lots')"),
        ("context.clips=[lots]", "context.clips.0: must be a whole number (got 'lots')"),
        ("stage1.triplets=many", "stage1.triplets: must be a whole number (got 'many')"),
        ("filters.balance=maybe", "filters.balance: must be true or false (got 'maybe')"),
        ("name.x=1", "cannot set name.x: the recipe has no such place"),
    ],
)
def test_what_cannot_be_set_says_how(override: str, says: str) -> None:
    with pytest.raises(LongVPOError) as error:
        load_recipe(DatasetRecipe, "tiny", [override])
    assert says in str(error.value)


def test_the_advice_on_quotes_works() -> None:
    written = 'sources.0.folder="[old] #1"'
    assert load_recipe(DatasetRecipe, "tiny", [written]).sources[0].folder == Path("[old] #1")
    assert load_recipe(DatasetRecipe, "tiny", ["name='5'", "sources.0.folder=clips #1"]).sources[0].folder.name == (
        "clips #1"
    )
