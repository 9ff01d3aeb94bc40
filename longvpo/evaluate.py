"""The needle grid: one clip holds the answer, hidden at several depths among more and more others.

    longvpo evaluate my-recipe.yaml --adapter FOLDER

Beside it, where a recipe has `multi`, questions about whole long videos that need several scenes (multi.py).

Every model answers the same questions over the same contexts, greedily; an answer counts when it equals the true one
after case and punctuation are taken away. Where a table has a list of answers, each of them is true.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from longvpo.clips.cells import question_of
from longvpo.clips.filters import Refusal
from longvpo.clips.pool import Pool, choose_context, evenly, make_pool
from longvpo.clips.rows import Clip, Dropped
from longvpo.clips.sources import fingerprint, read_clips
from longvpo.errors import LongVPOError, VideoError
from longvpo.figures import heat_map
from longvpo.io.files import as_json, file_hash, write_text
from longvpo.io.output import Place, claimed, finished, place_of, write_whole
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.models.embed import Embedder
from longvpo.models.load import check_adapter, load_model, load_processor
from longvpo.models.local import alike, answer
from longvpo.models.text import normalise
from longvpo.models.writer import Request
from longvpo.multi import LongQuestion, accuracy, read_questions
from longvpo.recipe.dataset import ContextSection
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import dump_recipe, recipe_hash
from longvpo.video.frames import ClipFrames, join

FAILURES = 5  # wrong answers of a model that are kept
Grid = dict[str, list[float]]  # accuracy in percent: clips -> depths, first place to last; one value for one clip


@dataclass(frozen=True)
class Needle:
    question: str
    answers: tuple[str, ...]  # each is right
    clips: list[int]  # indices into the pool, the anchor among them
    place: int


def evaluate(recipe: EvaluateRecipe, output: Path, adapters: dict[str, Path] | None = None) -> dict[str, Any]:
    """Ask the base and every adapter, write the results into the folder `output`, and return them.

    Args:
        adapters: folders by the names under which results are shown.

    Returns:
        Accuracies in percent: needle, by model and number of clips; grid, by depth too; with `multi`, multi, by model
        and group. How many questions they are of: questions, multi_questions. frames: of the longest context, by
        number of clips. failures: some wrong answers of each model. Also dropped: reasons by clip or row.

    Raises:
        LongVPOError: the source has too few clips, no long video can be asked about, or an adapter is of another base.
    """
    adapters = adapters or {}
    if "base" in adapters:
        raise LongVPOError("an adapter cannot go by the name of base: rename its folder")
    for path in adapters.values():
        check_adapter(recipe.base, path)
    weights = {name: file_hash(path / ADAPTER_WEIGHTS) for name, path in adapters.items()}
    sources = [recipe.source, *([recipe.multi.source] if recipe.multi else [])]
    if len({source.name for source in sources}) < len(sources):
        raise LongVPOError(f"source and multi.source are both named {recipe.source.name}: rename one")
    key = ",".join(
        [recipe_hash(recipe), *map(fingerprint, sources), *(f"{name}={said}" for name, said in weights.items())]
    )
    place = place_of(output)
    done = finished(place, "results.json", key)
    if done:
        return done
    with claimed(place, key, recipe_hash(recipe)):
        return _evaluate(recipe, place, adapters, weights, key)


def _evaluate(
    recipe: EvaluateRecipe, place: Place, adapters: dict[str, Path], weights: dict[str, str], key: str
) -> dict[str, Any]:
    """Ask, in a place that is claimed."""
    sources = [recipe.source, *([recipe.multi.source] if recipe.multi else [])]
    started = time.monotonic()
    clips, rows, dropped = read_clips(recipe.source, ("question", "answer"))
    by_id = _questions(clips, rows, dropped)
    clips = [clip for clip in clips if clip.clip_id in by_id]
    if len(clips) < max(recipe.grid.clips):
        raise LongVPOError(
            f"source {recipe.source.name} has {len(clips)} readable clips, and the grid needs "
            f"{max(recipe.grid.clips)}: add clips, or lower grid.clips"
        )
    frames_of = ClipFrames(recipe.video, {source.name: source.folder for source in sources})
    questions, unusable = read_questions(recipe.multi, frames_of) if recipe.multi else ([], [])
    embedder = Embedder(recipe.filters)
    pool, unreadable = make_pool(clips, frames_of, embedder)
    texts = [by_id[clip.clip_id] for clip in pool.clips]
    cells = make_cells(recipe, pool, texts, embedder)
    del embedder

    processor = load_processor(recipe.base)
    grids: dict[str, Grid] = {}
    multi: dict[str, dict[str, float]] = {}
    failures: dict[str, list[dict[str, Any]]] = {}
    for name, adapter in {"base": None, **adapters}.items():
        model = load_model(recipe.base, adapter)
        wrong: list[dict[str, Any]] = []
        grids[name] = run_grid(model, processor, recipe, pool, cells, frames_of, name, wrong)
        if recipe.multi:
            multi[name] = run_multi(model, processor, recipe, questions, frames_of, name, wrong)
        failures[name] = gallery(wrong)
        del model
    counts = Counter(one.group for one in questions)
    results = {
        "key": key,
        "recipe": recipe_hash(recipe),
        "base": f"{recipe.base.model}@{recipe.base.revision}",
        "quantization": recipe.base.quantization,
        "adapters": weights,  # sha256 of each one's weights
        "needle": {
            name: {n: round(float(np.mean(row)), 1) for n, row in grid.items()} for name, grid in grids.items()
        },
        "grid": grids,
        "questions": {str(n): [len(cell) for cell in row] for n, row in cells.items()},
        **({"multi": multi, "multi_questions": {group: counts[group] for group in multi["base"]}} if multi else {}),
        "frames": {str(n): _frames(pool, row) for n, row in cells.items()},
        "failures": failures,
        "dropped": {item.id: item.reason for item in dropped + unreadable + unusable},
        "seconds": round(time.monotonic() - started, 1),
    }

    def write(folder: Path) -> None:
        write_text(folder / "results.json", as_json(results))
        write_text(folder / "recipe.yaml", dump_recipe(recipe))
        heat_map(folder / "heat_map.png", grids)

    try:
        write_whole(place, write)
    except Exception:  # whatever it is: hours of answers are not lost
        print(as_json(results))
        raise
    return results


def _questions(
    clips: list[Clip], rows: list[dict[str, Any]], dropped: list[Dropped]
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Question and right answers of each clip, by its id; `dropped` gains the clips without."""
    found = {}
    for clip, row in zip(clips, rows, strict=True):
        try:
            found[clip.clip_id] = question_of(row, clip.video)
        except VideoError as error:
            dropped.append(Dropped(clip.video, "table", str(error)))
    return found


def make_cells(
    recipe: EvaluateRecipe, pool: Pool, texts: list[tuple[str, tuple[str, ...]]], embedder: Embedder
) -> dict[int, list[list[Needle]]]:
    """Questions and contexts of every cell: number of clips -> depths -> needles.

    Distractors pass the recipe's filters, as in a build. With one clip there is one cell, with as many questions as
    the other numbers have in all their depths.
    """
    vectors = embedder.texts([question for question, _ in texts])
    budget = int(pool.frames.sum())
    cells: dict[int, list[list[Needle]]] = {}
    for number in recipe.grid.clips:
        depths = np.linspace(0, 1, recipe.grid.depths) if number > 1 else np.zeros(1)
        wanted = recipe.grid.questions * recipe.grid.depths // len(depths)
        cells[number] = []
        for index, depth in enumerate(depths):
            rng = np.random.default_rng([recipe.seed, number, index])
            section = ContextSection(clips=(number,), frame_budget=budget)
            cell: list[Needle] = []
            anchors = evenly(len(pool.clips), rng)
            for _ in range(10 * wanted):
                anchor = next(anchors)
                context = choose_context(pool, anchor, vectors[anchor], section, recipe.filters, rng)
                if isinstance(context, Refusal):
                    continue
                others = [clip for clip in context.clips if clip != anchor]
                place = round(depth * (number - 1))
                cell.append(Needle(*texts[anchor], [*others[:place], anchor, *others[place:]], place))
                if len(cell) == wanted:
                    break
            if len(cell) < wanted:
                raise LongVPOError(
                    f"source {recipe.source.name} gives {len(cell)} of {wanted} contexts of {number} clips: "
                    "add clips, lower grid.clips, or loosen filters.*"
                )
            cells[number].append(cell)
    return cells


def _request(pool: Pool, needle: Needle, frames_of: ClipFrames) -> Request:
    def video() -> np.ndarray:
        return join([frames_of(pool.clips[clip].reference) for clip in needle.clips], needle.place)

    count = int(pool.frames[needle.clips].sum())
    return Request(needle.question, times=tuple(range(count)), frames=video)


def run_grid(
    model: Any,
    processor: Any,
    recipe: EvaluateRecipe,
    pool: Pool,
    cells: dict[int, list[list[Needle]]],
    frames_of: ClipFrames,
    name: str,
    wrong: list[dict[str, Any]],
) -> Grid:
    """Accuracy of one model, in percent, in every cell; its wrong answers are added to `wrong`."""
    grid: Grid = {}
    with tqdm(total=sum(len(cell) for row in cells.values() for cell in row), desc=f"needles, {name}") as bar:
        for number, row in cells.items():
            grid[str(number)] = []
            for cell in row:
                requests = [_request(pool, needle, frames_of) for needle in cell]
                said = ask(model, processor, recipe, requests, bar)
                right = [same(one, needle.answers) for one, needle in zip(said, cell, strict=True)]
                grid[str(number)].append(round(100 * sum(right) / len(cell), 1))
                wrong += [
                    _failure(needle, one, number, f"{number} clips, it is number {needle.place + 1}")
                    for one, needle, good in zip(said, cell, right, strict=True)
                    if not good
                ]
    return grid


def run_multi(
    model: Any,
    processor: Any,
    recipe: EvaluateRecipe,
    questions: list[LongQuestion],
    frames_of: ClipFrames,
    name: str,
    wrong: list[dict[str, Any]],
) -> dict[str, float]:
    """Accuracy of one model, in percent, about the long videos of every group; wrong answers are added to `wrong`."""
    requests = [
        Request(one.question, times=tuple(range(one.frames)), frames=partial(frames_of, one.clip.reference))
        for one in questions
    ]
    with tqdm(total=len(requests), desc=f"long videos, {name}") as bar:
        said = ask(model, processor, recipe, requests, bar)
    right = [same(text, one.answers) for text, one in zip(said, questions, strict=True)]
    wrong += [
        _failure(one, text, one.frames, f"a long video, {recipe.multi.group} {one.group}")
        for text, one, good in zip(said, questions, right, strict=True)
        if not good and recipe.multi
    ]
    return accuracy(questions, right)


def ask(model: Any, processor: Any, recipe: EvaluateRecipe, requests: list[Request], bar: tqdm) -> list[str]:
    """The model's answer to each request."""
    said = [""] * len(requests)
    for batch in alike(requests, recipe.batch_size):
        answers = answer(model, processor, [requests[i] for i in batch], recipe.video.fps, recipe.max_new_tokens)
        for i, one in zip(batch, answers, strict=True):
            said[i] = one.text
        bar.update(len(batch))
    return said


def same(said: str, true: tuple[str, ...]) -> bool:
    """Whether an answer equals a right one after case and punctuation are taken away."""
    return normalise(said) in [normalise(one) for one in true]


def gallery(wrong: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Some wrong answers for a card: the shortest context of each kind that failed, then longer ones."""
    ordered = sorted(wrong, key=lambda one: one["size"])
    kinds = {one["where"].split(",")[0]: one for one in reversed(ordered)}  # the shortest of each stays
    picked = list(kinds.values())[-FAILURES:]
    return [{name: value for name, value in one.items() if name != "size"} for one in reversed(picked)]


def _failure(asked: Needle | LongQuestion, said: str, size: int, where: str) -> dict[str, Any]:
    true = " or ".join(asked.answers)
    return {"question": asked.question, "answer": true, "said": said, "where": where, "size": size}


def _frames(pool: Pool, row: list[list[Needle]]) -> int:
    """Of the longest context."""
    return max(int(pool.frames[needle.clips].sum()) for cell in row for needle in cell)
