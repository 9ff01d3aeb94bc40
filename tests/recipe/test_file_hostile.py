"""Recipes of strangers: one clear line, or a recipe; nothing is run, read elsewhere or written elsewhere."""

from __future__ import annotations

import json
import time
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from support.fuzz import examples, holds, texts, values

from longvpo.errors import LongVPOError
from longvpo.io.yaml_text import parse
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import dump_recipe, load_recipe, read_recipe, recipe_hash
from longvpo.recipe.keys import parts_of
from longvpo.recipe.kinds import KINDS

OURS = "extends: tiny/dataset\n"


def prompt(text: str) -> str:
    return f"{OURS}prompts: {{answer: {text!r}}}\n"


HOSTILE: dict[str, tuple[str, str]] = {
    "an object of Python": (f"{OURS}name: !!python/object/apply:os.system [id]\n", "no values of the kind python/"),
    "a huge number": (f"{OURS}seed: {'9' * 5000}\n", "line 2: 99999999999999999999... is a number that is too large"),
    "a huge number in base 16": (f"{OURS}name: 0x{'f' * 5000}\n", "is a number that is too large"),
    "a number that no table holds": (f"{OURS}seed: {2**63}\n", "is a number that is too large"),
    "frames without number": (f"{OURS}video: {{fps: 1.0e308}}\n", "video.fps: must be less than or equal to 1000"),
    "a huge file": (f"{OURS}name: {'x' * 2**20}\n", "it has more than 1,048,576 bytes, and no recipe needs as many"),
    "a path that a zero ends": (f'{OURS}sources: [{{name: a, folder: "a\\0b"}}]\n', "a text holds '\\x00', a"),
    "what steers a terminal": (f'{OURS}name: "\\e[31m"\n', "a text holds '\\x1b', a character that YAML does"),
    "half a character": (f'{OURS}name: "\\ud800"\n', "line 2: a text holds '\\ud800', a character that YAML does not"),
    "a name above": (f"{OURS}name: ../mine\n", "name: must be a name on one line, such as my-triplets"),
    "a name elsewhere": (f"{OURS}name: /tmp/mine\n", "name: must be a name on one line"),
    "a name of Windows": (f"{OURS}name: 'C:mine'\n", "name: must be a name on one line"),
    "a name of two lines": (f'{OURS}name: "a\\nb"\n', "name: must be a name on one line"),
    "a source above": (f"{OURS}sources: [{{name: .., folder: a}}]\n", "name may hold only letters, digits"),
    "a look into an object": (prompt("{question.__class__}"), "answer holds {question.__class__}, but a placeholder"),
    "a look into a text": (
        prompt("{question[0]}"),
        "answer holds {question[0]}, but a placeholder may only be",
    ),
    "a text of a thousand million": (prompt("{question:>999999999}"), "answer holds {question:>999999999}, but a"),
    "a form": (prompt("{question!r}"), "answer holds {question!r}, but a placeholder may only be a name"),
    "a placeholder by number": (prompt("{0}{question}"), "such as {question}; write {{ for a brace"),
    "another recipe of this machine": ("extends: /etc/passwd\n", "extends /etc/passwd, which is outside the"),
    "another recipe above": ("extends: ../outside.yaml\n", "../outside.yaml, which is outside the recipe's"),
    "another recipe by a link": ("extends: link.yaml\n", "extends link.yaml, which is outside the recipe's"),
    "another recipe on the network": ("extends: http://x/y.yaml\n", "extends http://x/y.yaml, which is neither"),
    "a name that no disk takes": (
        f"extends: {'a' * 5000}\n",
        "which is neither a file next to it nor a built-in recipe",
    ),
    "keys without number": (OURS + "".join(f"k{n}: 1\n" for n in range(2000)), "; and 1950 more problems"),
    "values that are no JSON": (
        f"{OURS}writer: {{model: a, endpoint: {{url: http://a, parameters: {{a: .nan}}}}}}\n",
        "writer.endpoint.parameters: Out of range float values are not JSON",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_strangers_recipe_is_one_clear_line(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "outside.yaml").write_text(OURS)
    (tmp_path / "theirs" / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    monkeypatch.chdir(tmp_path / "theirs")
    text, says = HOSTILE[kind]
    Path("recipe.yaml").write_text(text)
    started = time.process_time()
    with pytest.raises(LongVPOError) as error:
        load_recipe(DatasetRecipe, "recipe.yaml")
    assert says in str(error.value)
    assert time.process_time() - started < 20
    # from a folder that holds both it is the user's own
    if kind == "another recipe above":
        monkeypatch.chdir(tmp_path)
        assert load_recipe(DatasetRecipe, "theirs/recipe.yaml") == load_recipe(DatasetRecipe, "tiny/dataset")


def all_keys() -> list[tuple[str, ...]]:
    """Every key that a recipe may have, as a path in its values; a list of sections has one."""
    lists = ("sources", "mix")
    found = []
    for part in parts_of():
        place: list[str] = []
        for word in part.name.split("."):
            place += [word, "0"] if word in lists else [word]
        found += [(*place, key.key) for key in part.keys]
    return found


def put(recipe: Any, path: tuple[str, ...], value: Any) -> None:
    """Set a value, and make sections on the way where there are none."""
    for word, following in pairwise(path):
        inner = recipe[int(word)] if isinstance(recipe, list) else recipe.get(word)
        if not inner or not isinstance(inner, list if following == "0" else dict):
            inner = [{}] if following == "0" else {}
            recipe[int(word) if isinstance(recipe, list) else word] = inner
        recipe = inner
    recipe[int(path[-1]) if isinstance(recipe, list) else path[-1]] = value


@examples(40, 3000)
def test_any_value_under_any_key_is_one_line_or_a_recipe_that_comes_back(count: int, tmp_path: Path) -> None:
    bases = {kind: read_recipe(KINDS[kind], "tiny") for kind in KINDS}
    loaded = [0, 0]

    def check(changes: list[tuple[tuple[str, ...], Any]]) -> None:
        kind = changes[0][0][0]
        recipe = deepcopy(bases[kind])
        for path, value in changes:
            if path[0] == kind:
                put(recipe, path[1:], value)
        said = json.dumps(recipe).replace("NaN", ".nan").replace("Infinity", ".inf")  # as YAML has them
        (tmp_path / "any.yaml").write_text(said, encoding="utf-8")
        loaded[0] += 1
        try:
            found = load_recipe(KINDS[kind], str(tmp_path / "any.yaml"))
        except LongVPOError:
            return
        loaded[1] += 1
        (tmp_path / "again.yaml").write_text(dump_recipe(found), encoding="utf-8")
        again = load_recipe(KINDS[kind], str(tmp_path / "again.yaml"))
        assert again == found
        assert recipe_hash(again) == recipe_hash(found)

    likely = st.sampled_from([None, True, 1, 2, 0.5, "x", [], ["a"], {}])
    change = st.tuples(st.sampled_from(all_keys()), likely | values)
    holds(count, check, st.lists(change, min_size=1, max_size=2))
    assert 0 < loaded[1] < loaded[0], "some are recipes, and some are not"


@examples(100, 5000)
def test_any_text_is_yaml_or_an_error_of_one_line(count: int) -> None:
    def check(text: str) -> None:
        said = ""
        try:
            parse(text)
        except ValueError as error:
            said = str(error)
        assert "\n" not in said

    holds(
        count,
        check,
        st.lists(texts | st.sampled_from(["\n", ": ", "\n- ", "[", "{", "<<: "]), max_size=12).map("".join),
    )
