"""The keys of recipes: each is described, found by its name, and on the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.keys import page
from support.world import ROOT

from longvpo.errors import LongVPOError
from longvpo.recipe.keys import parts_of
from longvpo.recipe.kinds import KINDS
from longvpo.recipe.sections import Section, section_in


def kinds(kind: type[Section] = Section) -> Iterator[type[Section]]:
    """All sections that the package knows, those in no recipe too."""
    for one in kind.__subclasses__():
        if one.__module__.startswith("longvpo."):
            yield one
        yield from kinds(one)


def test_every_key_has_a_description() -> None:
    found = list(kinds())
    assert set(KINDS.values()) <= set(found)
    keys = {f"{kind.__name__}.{key}": field for kind in found for key, field in kind.model_fields.items()}
    assert [key for key, field in keys.items() if not field.description] == []
    assert [kind.__name__ for kind in found if not kind.__doc__] == []


def test_the_page_of_keys_is_as_the_command_writes_it() -> None:
    assert (ROOT / "recipes" / "KEYS.md").read_text() == page()


def test_every_section_of_a_recipe_is_told_once() -> None:
    parts = parts_of()
    assert len({part.name for part in parts}) == len(parts)
    told = {part.name: {key.key for key in part.keys} for part in parts}
    assert told.keys() >= {"dataset", "train", "evaluate", "train.lora", "dataset.stage2.sources"}
    assert told["train.lora"] == set(KINDS["train"].model_fields["lora"].annotation.model_fields)  # type: ignore[union-attr]
    for part in parts:
        for key in part.keys:
            assert all([key.type, key.default, key.description != "None"]), key


@pytest.mark.parametrize(
    ("asked", "type_", "default"),
    [
        ("train.lora.r", "whole number above 0", "16"),
        ("train.frame_budget", "whole number above 0 or null", "null"),
        ("dataset.sources.0.folder", "path", "needed"),
        ("dataset.writer.model", "id or path", "needed"),
        ("dataset.writer.adapter", "id or path or null", "null"),
        ("dataset.video.fit", "letterbox, crop", "letterbox"),
        ("dataset.context.clips", "list of whole numbers or null", "null"),
        ("dataset.stage2.sources.clips", "whole number above 0 or null", "null"),
        ("evaluate.grid.clips", "list of whole numbers", "[1, 2, 4, 8, 16, 32]"),
        ("train.training", "names with values: any", "{}"),
    ],
)
def test_one_key(asked: str, type_: str, default: str) -> None:
    ((part),) = parts_of(asked)
    ((key),) = part.keys
    assert (f"{part.name}.{key.key}", key.type, key.default) == (asked.replace(".0", ""), type_, default)


def test_a_section_has_all_that_lies_in_it() -> None:
    names = [part.name for part in parts_of("dataset.writer")]
    assert names == ["dataset.writer", "dataset.writer.attention", "dataset.writer.endpoint"]
    assert section_in(KINDS["dataset"].model_fields["writer"].annotation) is not None
    # what an earlier section would have told is told where it was asked for alone
    assert [part.name for part in parts_of("evaluate.base")] == ["evaluate.base", "evaluate.base.attention"]


@pytest.mark.parametrize(
    ("asked", "texts"),
    [
        ("trian.lora", ["no recipe is called trian (did you mean train?)", "dataset, train, evaluate"]),
        ("train.lore", ["train has no key lore (did you mean lora?)"]),
        ("train.lora.r.x", ["train.lora.r has no keys that longvpo knows"]),
        ("sources", ["called sources (did you mean dataset.sources or dataset.stage2.sources?)"]),
        ("lora.r", ["called lora (did you mean train.lora.r?)"]),
        ("", ["no recipe is called"]),
    ],
)
def test_a_name_that_is_not_there(asked: str, texts: list[str]) -> None:
    with pytest.raises(LongVPOError) as error:
        parts_of(asked)
    assert [text for text in texts if text not in str(error.value)] == []
