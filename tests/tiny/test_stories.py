"""Long videos of the drawn world, and the rules that write questions about them."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.stories import check_pair, drawn

from longvpo.recipe.sources import SceneSection
from longvpo.tiny.stories import KEYS, QUESTIONS, random_story, story_questions, write_stories
from longvpo.tiny.world import PLACES, SECONDS, Split
from longvpo.video.cuts import find_cuts
from longvpo.video.frames import duration, read_frames

COUNTS = [2, 3, 4, 5, 6, 8, 16, 32]
SPLITS: list[Split] = ["train", "test"]


@pytest.fixture(scope="module")
def test_stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stories")
    write_stories(folder, [2, 16], seed=3, split="test")
    return folder


@pytest.mark.parametrize("split", SPLITS)
def test_a_story_has_shapes_that_one_scene_shows(split: Split) -> None:
    for story in drawn(7, split, COUNTS * 20):
        seen = Counter(thing.shape for thing in story)
        keys = [thing for thing in story if seen[thing.shape] == 1]
        assert len(keys) == (len(story) if len(story) <= KEYS + 1 else KEYS)
        assert len({thing.color for thing in keys}) == len({thing.place for thing in keys}) == len(keys)
        assert all(before.place != after.place for before, after in pairwise(story))
        assert all(thing.held_out == (split == "test") for thing in story)


def test_keys_stand_anywhere_and_the_others_change() -> None:
    places: Counter[int] = Counter()
    changed = total = 0
    for story in drawn(8, "train", [16] * 200):
        seen = Counter(thing.shape for thing in story)
        places.update(place for place, thing in enumerate(story) if seen[thing.shape] == 1)
        for shape in [shape for shape, number in seen.items() if number > 1]:
            total += 1
            changed += len({thing.color for thing in story if thing.shape == shape}) > 1
    assert min(places[place] for place in range(16)) > 25, "50 a place on average"
    assert changed > 0.9 * total


def test_one_scene_is_no_story() -> None:
    with pytest.raises(ValueError, match="two scenes at least, not 1"):
        random_story(1, np.random.default_rng(0), "train")


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_seed_draws_the_same_files(split: Split, tmp_path: Path) -> None:
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        write_stories(tmp_path / name, [2, 5], seed, split)
    names = [path.relative_to(tmp_path / "a") for path in sorted((tmp_path / "a").rglob("*.*"))]
    assert [str(name) for name in names] == [
        "metadata.jsonl",
        "source.json",
        "stories.json",
        "videos/00000.mp4",
        "videos/00001.mp4",
    ]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        if name.suffix == ".mp4":
            assert (tmp_path / "a" / name).read_bytes() != (tmp_path / "c" / name).read_bytes()


def test_the_train_table_gives_nothing_away(tmp_path: Path) -> None:
    table = write_stories(tmp_path, [2, 3], seed=4, split="train")
    assert [json.loads(line) for line in table.read_text().splitlines()] == [
        {"file_name": "videos/00000.mp4", "scenes": 2},
        {"file_name": "videos/00001.mp4", "scenes": 3},
    ]


def test_the_videos_show_the_stories_and_the_questions_are_true(test_stories: Path) -> None:
    rows = [json.loads(line) for line in (test_stories / "metadata.jsonl").read_text().splitlines()]
    assert [row["scenes"] for row in rows] == [2] * QUESTIONS + [16] * QUESTIONS
    colors = np.array(list(PLACES.values()))
    for index, story in enumerate(drawn(3, "test", [2, 16])):
        path = test_stories / "videos" / f"{index:05d}.mp4"
        assert duration(path) == SECONDS * len(story)
        corners = read_frames(path, np.arange(len(story)) * SECONDS + 2.0)[:, :8, :8].mean(axis=(1, 2))
        nearest = np.abs(corners[:, None] - colors).sum(axis=2).argmin(axis=1)
        assert [list(PLACES)[place] for place in nearest] == [thing.place for thing in story]
        asked = [row for row in rows if row["file_name"] == f"videos/{path.name}"]
        assert len({row["question"] for row in asked}) == QUESTIONS
        for row in asked:
            check_pair(story, row["question"], row["answer"])


def test_all_questions_of_many_stories_are_true_and_differ() -> None:
    for index, story in enumerate(drawn(9, "test", COUNTS * 10)):
        asked = story_questions(story, np.random.default_rng(index))
        assert len({question for question, _ in asked}) == QUESTIONS
        for question, answer in asked:
            assert len(set(check_pair(story, question, answer))) == 2
            assert len(set(answer.split(" and "))) == 2


def test_a_shot_detector_sees_the_cuts(test_stories: Path) -> None:
    cuts = find_cuts(test_stories / "videos" / "00001.mp4", SceneSection())
    true = [float(SECONDS * scene) for scene in range(1, 16)]
    assert len(set(true) & {round(cut, 2) for cut in cuts}) >= 14
    assert len(cuts) <= 16
