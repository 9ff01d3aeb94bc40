"""The drawn world: seeded, in splits that do not meet."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from longvpo.tiny.tasks import every_thing
from longvpo.tiny.world import (
    COLORS,
    PLACES,
    SHAPES,
    draw,
    random_thing,
    write_world,
)


def test_the_world_is_seeded_and_its_splits_do_not_meet() -> None:
    train = [random_thing(np.random.default_rng([3, i]), "train") for i in range(300)]
    test = [random_thing(np.random.default_rng([3, i]), "test") for i in range(300)]
    assert not set(train) & set(test)
    for values in zip(*train, strict=True), zip(*test, strict=True):
        assert [len(set(column)) for column in values] == [8, 8, 8, 4], "every value is in both splits"
    thing = train[0]
    assert np.array_equal(draw(thing, np.random.default_rng(1)), draw(thing, np.random.default_rng(1)))
    assert not np.array_equal(draw(thing, np.random.default_rng(1)), draw(thing, np.random.default_rng(2)))


def test_the_same_seed_draws_the_same_files(world: Path, tmp_path: Path) -> None:
    write_world(tmp_path, clips=60, seed=11, split="train")
    names = sorted(path.relative_to(world) for path in world.rglob("*.*"))
    assert len(names) == 63
    assert [name for name in names if (world / name).read_bytes() != (tmp_path / name).read_bytes()] == []


def test_any_three_colors_have_things_of_each_shape_in_each_place() -> None:
    """Otherwise random_thing could search without end."""
    things = every_thing()
    for held_out in (True, False):
        found = {(thing.shape, thing.place, thing.color) for thing in things if thing.held_out == held_out}
        colors = Counter((shape, place) for shape, place, _ in found)
        assert len(colors) == len(SHAPES) * len(PLACES)
        assert min(colors.values()) >= len(COLORS) - 2


def test_a_thing_is_drawn_out_of_the_values_given() -> None:
    rng = np.random.default_rng(0)
    things = {random_thing(rng, "test", ["ring", "bar"], ["red", "blue", "green"], ["sea"]) for _ in range(100)}
    assert {thing[:3] for thing in things} <= {
        (s, c, "sea") for s in ("ring", "bar") for c in ("red", "blue", "green")
    }
    assert {thing.shape for thing in things} == {"ring", "bar"}
    assert all(thing.held_out for thing in things)
