"""The drawn world: seeded clips of one moving shape, written as mp4 files with a caption table beside them.

One combination of attributes in five is held out: it is drawn only for the test split. So a model has never seen such
a thing before it answers about test clips.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from tqdm import tqdm

from longvpo.io.files import write_text
from longvpo.recipe.claims import state
from longvpo.video.frames import write_video

SIZE = 96  # pixels; mp4 halves the resolution of colour, so clips are drawn larger than the model's 32
FPS = 4
SECONDS = 4

SHAPES = ("disc", "square", "triangle", "diamond", "cross", "ring", "bar", "pole")
COLORS = {
    "red": (220, 30, 30),
    "green": (30, 160, 40),
    "blue": (40, 60, 230),
    "yellow": (235, 220, 30),
    "purple": (140, 30, 180),
    "orange": (245, 130, 20),
    "white": (250, 250, 250),
    "black": (10, 10, 10),
}
PLACES = {
    "sand": (225, 200, 150),
    "sea": (90, 160, 190),
    "grass": (150, 200, 120),
    "night": (50, 50, 80),
    "snow": (215, 225, 235),
    "roses": (240, 180, 190),
    "bricks": (150, 90, 70),
    "fog": (140, 140, 140),
}
MOTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}

# by the attribute that they ask for; filled with two shapes
PAIR_QUESTIONS = {"color": "what color are the {} and the {}?", "place": "where are the {} and the {}?"}

Split = Literal["train", "test"]


class Thing(NamedTuple):
    """What a clip shows."""

    shape: str
    color: str
    place: str
    motion: str

    @property
    def caption(self) -> str:
        return f"a {self.color} {self.shape} moves {self.motion} in the {self.place}"

    @property
    def held_out(self) -> bool:
        """Whether this combination belongs to the test split. Every value of every attribute is in both splits."""
        a, b, c, d = (
            SHAPES.index(self.shape),
            list(COLORS).index(self.color),
            list(PLACES).index(self.place),
            list(MOTIONS).index(self.motion),
        )
        return (a + 3 * b + 5 * c + 2 * d) % 5 == 0


def questions(thing: Thing) -> list[tuple[str, str]]:
    """Questions that name the shape and are answered by the clip itself, each with its answer in one word."""
    return [
        (f"what color is the {thing.shape}?", thing.color),
        (f"where is the {thing.shape}?", thing.place),
    ]


def pair_questions(first: Thing, second: Thing) -> list[tuple[str, str]]:
    """Questions that name two shapes and need the clips of both; the words of the answer are in the same order."""
    return [
        (text.format(first.shape, second.shape), f"{getattr(first, attribute)} and {getattr(second, attribute)}")
        for attribute, text in PAIR_QUESTIONS.items()
    ]


def random_thing(
    rng: np.random.Generator,
    split: Split,
    shapes: Iterable[str] = SHAPES,
    colors: Iterable[str] = COLORS,
    places: Iterable[str] = PLACES,
) -> Thing:
    """A thing of the split out of these values; any three colors have one of every shape in every place."""
    while True:
        thing = Thing(*(str(rng.choice(list(values))) for values in (shapes, colors, places, MOTIONS)))
        if thing.held_out == (split == "test"):
            return thing


def draw(thing: Thing, rng: np.random.Generator) -> np.ndarray:
    """One clip, uint8 RGB of shape (FPS * SECONDS, SIZE, SIZE, 3); size, speed, start, light and noise vary."""
    radius = rng.uniform(21, 24)
    step = np.array(MOTIONS[thing.motion]) * rng.uniform(6, 10) / FPS
    middle = rng.uniform(0.42 * SIZE, 0.58 * SIZE, size=2)
    light = np.float32(rng.uniform(0.9, 1.05))
    count = FPS * SECONDS
    colors = np.array([PLACES[thing.place], COLORS[thing.color]], np.float32) * light
    frames = rng.normal(0, 4, (count, SIZE, SIZE, 3))
    for index, frame in enumerate(frames):
        x, y = middle + step * (index - (count - 1) / 2)
        frame += colors[_mask(thing.shape, x, y, radius).astype(int)]
    return np.clip(frames, 0, 255, out=frames).astype(np.uint8)


_ROWS, _COLUMNS = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)


def _mask(shape: str, x: float, y: float, radius: float) -> np.ndarray:
    """Pixels that the shape covers, bool of shape (SIZE, SIZE)."""
    right, down = (_COLUMNS - x) / radius, (_ROWS - y) / radius
    across, along = abs(right), abs(down)
    distance = right**2 + down**2
    match shape:
        case "disc":
            return distance <= 1
        case "square":
            return (across <= 0.85) & (along <= 0.85)
        case "triangle":
            return (along <= 0.95) & (across <= (down + 1) * 0.55)
        case "diamond":
            return across + along <= 1.2
        case "cross":
            return ((across <= 0.28) & (along <= 1)) | ((along <= 0.28) & (across <= 1))
        case "ring":
            return (distance <= 1.1) & (distance >= 0.3)
        case "bar":
            return (across <= 1.15) & (along <= 0.33)
        case "pole":
            return (along <= 1.15) & (across <= 0.33)
        case _:
            raise ValueError(f"unknown shape {shape}")


def write_world(folder: Path, clips: int, seed: int, split: Split) -> Path:
    """Draw `clips` clips into `folder`/videos, with `folder`/metadata.jsonl: file_name, caption, and in the test
    split a question and its answer for the needle grid.

    Returns:
        The path of the table.
    """
    rng = np.random.default_rng([seed, split == "test"])
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    table = folder / "metadata.jsonl"
    with table.open("w", encoding="utf-8") as rows:
        for index in tqdm(range(clips), desc=f"draw, {split}"):
            thing = random_thing(rng, split)
            name = f"videos/{index:05d}.mp4"
            write_video(folder / name, draw(thing, rng), FPS)
            row = {"file_name": name, "caption": thing.caption}
            if split == "test":
                question, answer = questions(thing)[index % 2]
                row |= {"question": question, "answer": answer}
            rows.write(json.dumps(row) + "\n")
    write_text(folder / "world.json", json.dumps({"clips": clips, "seed": seed, "split": split}))
    state(folder, "Drawn by `longvpo demo`, which draws the same clips again; nobody's footage.")
    return table
