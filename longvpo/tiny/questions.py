"""Questions about several scenes of the drawn world, by rule: for the demo and the tests, and for nothing else.

A model of a million parameters answers and describes, but it cannot read a page of captions and write prose. This
stands in for the language model of stage 2. It is not a model: it knows only the words of the drawn world, and says
nothing about any other video. Like a model, it is asked by a prompt and reads nothing else:

    task: pair
    Scene #1 (0.0-4.0 s): a red ring moves left in the sand
    Scene #2 (4.0-8.0 s): a blue bar moves up in the sea

The captions were written by a model: some are wrong, some are not sentences.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from longvpo.models.writer import Answer, Keep, Request
from longvpo.tiny.world import COLORS, PAIR_QUESTIONS, PLACES, SHAPES

Written = dict[str, Any]  # under dataset.replies.ScenesQuestion

SCENE = re.compile(r"^Scene #(\d{1,9}) \([^)\n]*\):(.*?)(?=^Scene #|\Z)", re.MULTILINE | re.DOTALL)
NOTHING: Written = {"question": "", "answer_type": "phrase", "trace": "", "scenes": []}  # filters refuse it


class Caption(NamedTuple):
    """What is certain from the caption of a scene: an attribute is None where it names none, or several."""

    number: int
    shapes: frozenset[str]
    shape: str | None
    color: str | None
    place: str | None


class StoryQuestions:
    """A Writer of questions under dataset.replies.ScenesQuestion; where it finds none, it cites no scenes."""

    def __init__(self) -> None:
        self.name = "tiny-questions@1"
        self.settings: dict[str, Any] = {}

    def batches(self, requests: list[Request]) -> list[list[int]]:
        return [list(range(len(requests)))] if requests else []

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        for number, batch in enumerate(batches):
            keep(number, [Answer(json.dumps(write_question(request.text, request.seed))) for request in batch])


def write_question(text: str, seed: int) -> Written:
    """A question about the scenes of which a prompt has the captions, drawn by the seed; NOTHING where there is none.

    Args:
        text: the task in the first line, then one line per scene, as above.
    """
    task = re.match(r"task: (\w+)\n", text)
    if task is None or task[1] not in TASKS:
        return NOTHING
    return TASKS[task[1]](read_captions(text), np.random.default_rng(seed))


def read_captions(text: str) -> list[Caption]:
    captions = []
    for number, said in SCENE.findall(text):
        words = set(re.findall(r"[a-z]+", said.lower()))
        shapes = words.intersection(SHAPES)
        color, place = _only(words.intersection(COLORS)), _only(words.intersection(PLACES))
        captions.append(Caption(int(number), frozenset(shapes), _only(shapes), color, place))
    return captions


def _only(words: Iterable[str]) -> str | None:
    found = list(words)
    return found[0] if len(found) == 1 else None


def _seen_once(captions: list[Caption]) -> list[Caption]:
    """Scenes with a shape that the caption of no other scene names."""
    named = Counter(shape for caption in captions for shape in caption.shapes)
    return [caption for caption in captions if caption.shape is not None and named[caption.shape] == 1]


def _pair(captions: list[Caption], rng: np.random.Generator) -> Written:
    """About an attribute of two shapes."""
    attribute = str(rng.choice(list(PAIR_QUESTIONS)))
    known = [caption for caption in _seen_once(captions) if getattr(caption, attribute) is not None]
    if len(known) < 2:
        return NOTHING
    first, second = (known[index] for index in rng.choice(len(known), 2, replace=False))
    steps = [
        f"Scene #{one.number} shows a {one.color} {one.shape}."
        if attribute == "color"
        else f"Scene #{one.number} shows a {one.shape} in the {one.place}."
        for one in (first, second)
    ]
    question = PAIR_QUESTIONS[attribute].format(first.shape, second.shape)
    return _written(question, "list", " ".join(steps), first, second)


def _order(captions: list[Caption], rng: np.random.Generator) -> Written:
    """About which of two shapes is seen first."""
    known = _seen_once(captions)
    if len(known) < 2:
        return NOTHING
    one, other = (known[index] for index in rng.choice(len(known), 2, replace=False))
    first, second = sorted((one, other), key=lambda caption: caption.number)
    trace = f"Scene #{first.number} shows a {first.shape}. Scene #{second.number}, later, shows a {second.shape}."
    return _written(f"which is first, the {one.shape} or the {other.shape}?", "phrase", trace, one, other)


def _before_after(captions: list[Caption], rng: np.random.Generator) -> Written:
    """About the shape of the scene before or after."""
    by_number = {caption.number: caption for caption in captions}
    found = [
        (known, word, neighbour)
        for known in _seen_once(captions)
        for word, step in (("before", -1), ("after", 1))
        if (neighbour := by_number.get(known.number + step)) is not None and neighbour.shape is not None
    ]
    if not found:
        return NOTHING
    known, word, neighbour = found[rng.integers(len(found))]
    steps = (
        f"Scene #{known.number} shows a {known.shape}.",
        f"Scene #{neighbour.number}, {word} it, a {neighbour.shape}.",
    )
    return _written(f"what is {word} the {known.shape}?", "phrase", " ".join(steps), known, neighbour)


def _written(question: str, answer_type: str, trace: str, *scenes: Caption) -> Written:
    numbers = sorted(scene.number for scene in scenes)
    return {"question": question, "answer_type": answer_type, "trace": trace, "scenes": numbers}


TASKS: dict[str, Callable[[list[Caption], np.random.Generator], Written]] = {
    "pair": _pair,
    "order": _order,
    "before_after": _before_after,
}
