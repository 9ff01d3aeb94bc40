"""Long videos of the drawn world: scenes of one moving shape each, joined by hard cuts.

A few shapes are seen in only one scene, so a question can name them; the others come back in other colors and places.
Neighbouring scenes differ in their place, as those of a film do, so that a shot detector finds the cuts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
from tqdm import tqdm

from longvpo.io.files import write_text
from longvpo.recipe.claims import state
from longvpo.tiny.world import COLORS, FPS, PLACES, SHAPES, Split, Thing, draw, pair_questions, random_thing
from longvpo.video.frames import write_video

KEYS = 4  # shapes of a story that only one scene shows; all of a short story's
QUESTIONS = 4  # about a story of the test split; two keys give no more


def random_story(scenes: int, rng: np.random.Generator, split: Split) -> list[Thing]:
    """What the scenes of a video show, in order.

    The keys differ in color and in place, so a question about two of them has two words in its answer. Each of the
    other shapes is seen at least twice.

    Args:
        scenes: 2 or more.
    """
    if scenes < 2:
        raise ValueError(f"a story has two scenes at least, not {scenes}")
    shapes = rng.permutation(SHAPES).tolist()
    number = scenes if scenes <= KEYS + 1 else KEYS  # one scene is too few for a shape to come back
    keys, more = shapes[:number], scenes - number
    others = shapes[number : number + more // 2]
    order = rng.permutation([*keys, *(others[index % len(others)] for index in range(more))]).tolist()
    story: list[Thing] = []
    for shape in order:
        taken = [thing for thing in story if shape in keys and thing.shape in keys]
        colors = [color for color in COLORS if color not in {thing.color for thing in taken}]
        places = [place for place in PLACES if place not in {thing.place for thing in [*taken, *story[-1:]]}]
        story.append(random_thing(rng, split, [shape], colors, places))
    return story


def story_rng(seed: int, split: Split, index: int) -> np.random.Generator:
    """What the story of this index is drawn from: first what it shows, then its pictures, then its questions."""
    return np.random.default_rng([seed, split == "test", index])


def story_questions(story: list[Thing], rng: np.random.Generator) -> list[tuple[str, str]]:
    """Different questions that need two scenes each, with their answers: QUESTIONS of them."""
    scenes = Counter(thing.shape for thing in story)
    keys = [thing for thing in story if scenes[thing.shape] == 1]
    asked = [one for first, second in permutations(keys, 2) for one in pair_questions(first, second)]
    return [asked[index] for index in rng.choice(len(asked), QUESTIONS, replace=False)]


def write_stories(folder: Path, counts: Sequence[int], seed: int, split: Split) -> Path:
    """Draw a video for each of `counts`, numbers of scenes, into `folder`/videos, with `folder`/metadata.jsonl.

    The table has file_name and scenes; in the test split it has QUESTIONS rows per video, with question and answer.
    One video at a time is in memory: 0.9 MB per scene while it is joined.

    Returns:
        The path of the table.
    """
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    table = folder / "metadata.jsonl"
    with table.open("w", encoding="utf-8") as rows, tqdm(total=sum(counts), desc=f"draw scenes, {split}") as bar:
        for index, scenes in enumerate(counts):
            rng = story_rng(seed, split, index)
            story = random_story(scenes, rng, split)
            row = {"file_name": f"videos/{index:05d}.mp4", "scenes": scenes}
            write_video(folder / f"videos/{index:05d}.mp4", np.concatenate([draw(thing, rng) for thing in story]), FPS)
            asked = story_questions(story, rng) if split == "test" else []
            more = [{"question": question, "answer": answer} for question, answer in asked] or [{}]
            rows.writelines(json.dumps(row | one) + "\n" for one in more)
            bar.update(scenes)
    write_text(folder / "stories.json", json.dumps({"counts": list(counts), "seed": seed, "split": split}))
    state(folder, "Drawn by `longvpo demo`, scene after scene; nobody's footage.")
    return table
