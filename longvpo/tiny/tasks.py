"""What the base model is taught about one to three clips: to answer, to describe, and to ask."""

from __future__ import annotations

import numpy as np

from longvpo.tiny.world import COLORS, MOTIONS, PLACES, SHAPES, Thing, pair_questions, questions

ASK = "caption: {caption}. write a question and its answer."
DESCRIBE = "describe the video."
ATTRIBUTES = (SHAPES, tuple(COLORS), tuple(PLACES), tuple(MOTIONS))


def every_thing() -> list[Thing]:
    """All combinations of attributes, those held out included."""
    return [Thing(*values) for values in np.array(np.meshgrid(*ATTRIBUTES)).reshape(4, -1).T.tolist()]


def single_clip_tasks(thing: Thing) -> list[tuple[int, str, str]]:
    """All single-clip tasks of a thing: (kind, user's text, answer)."""
    return (
        [(0, question, answer) for question, answer in questions(thing)]
        + [(1, DESCRIBE, thing.caption)]
        + [(2, ASK.format(caption=thing.caption), f"question: {q} answer: {a}") for q, a in questions(thing)]
    )


def pair_question(first: Thing, second: Thing, rng: np.random.Generator) -> tuple[str, str]:
    """A question about two clips at once; both words of the answer must be right."""
    return pair_questions(first, second)[0 if rng.random() < 0.5 else 1]


def short_task(
    things: list[Thing], by_shape: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[list[int], str, str]:
    """One training row: indices of one to three clips whose shapes differ, the user's text, the answer."""
    count = int(rng.choice([1, 2, 3], p=[0.4, 0.3, 0.3]))
    shapes = rng.choice(list(by_shape), size=count, replace=False)
    clips = [int(rng.choice(by_shape[shape])) for shape in shapes]
    if count == 1:
        kind = rng.choice([0, 1, 2], p=[0.4, 0.2, 0.4])
        tasks = [(text, answer) for k, text, answer in single_clip_tasks(things[clips[0]]) if k == kind]
        return clips, *tasks[rng.integers(len(tasks))]
    if rng.random() < 0.4:
        first, second = rng.choice(count, size=2, replace=False)
        return clips, *pair_question(things[clips[first]], things[clips[second]], rng)
    needle = questions(things[clips[rng.integers(count)]])
    return clips, *needle[rng.integers(len(needle))]
