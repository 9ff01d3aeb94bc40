"""Stories of the drawn world, and whether a question about one is true."""

from __future__ import annotations

import re

from longvpo.tiny.stories import random_story, story_rng
from longvpo.tiny.world import Split, Thing


def drawn(seed: int, split: Split, counts: list[int]) -> list[list[Thing]]:
    """What the stories show that write_stories draws."""
    return [random_story(scenes, story_rng(seed, split, index), split) for index, scenes in enumerate(counts)]


def check_pair(story: list[Thing], question: str, answer: str) -> list[int]:
    """Holds a pair question against what the scenes show; returns the numbers of the scenes that it needs."""
    asked = re.fullmatch(r"(what color|where) are the (\w+) and the (\w+)\?", question)
    assert asked, question
    scenes = []
    for shape, word in zip(asked.groups()[1:], answer.split(" and "), strict=True):
        ((number, thing),) = [(number, thing) for number, thing in enumerate(story, 1) if thing.shape == shape]
        assert word == (thing.color if asked[1] == "what color" else thing.place)
        scenes.append(number)
    return scenes
