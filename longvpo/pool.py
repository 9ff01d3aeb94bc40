"""The clips of a build or of a grid, measured once, and the contexts that are drawn from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from longvpo.errors import VideoError
from longvpo.filters import Refusal, not_specific, too_similar
from longvpo.recipe import ContextSection, FilterSection
from longvpo.similarity import Embedder
from longvpo.triplet import Clip, Dropped
from longvpo.video import ClipFrames

EMBED_TOGETHER = 16  # clips


@dataclass(frozen=True)
class Pool:
    """The clips that a build may use, with what was measured on each of them once."""

    clips: list[Clip]
    frames: np.ndarray  # number of sampled frames, of shape (clips,)
    visual: np.ndarray  # unit vectors of the frames, of shape (clips, dimension)
    captions: np.ndarray  # unit vectors of the captions, of shape (clips, dimension)


@dataclass(frozen=True)
class Context:
    """Indices into the pool, and the scores for which they were let in."""

    clips: list[int]
    place: int  # of the anchor among `clips`
    outside: int  # the distractor that the writer sees for the rejected answer
    similarity: list[float]
    specificity: list[float]
    replaced: dict[str, int]  # candidates refused, by filter


def make_pool(clips: list[Clip], frames_of: ClipFrames, embedder: Embedder) -> tuple[Pool, list[Dropped]]:
    """Decode and embed every clip once. A clip that cannot be decoded is dropped with its reason."""
    kept, counts, vectors, dropped = [], [], [], []
    waiting: list[np.ndarray] = []
    for clip in tqdm(clips, desc="decode and embed"):
        try:
            waiting.append(frames_of(clip.reference))
        except VideoError as error:
            dropped.append(Dropped(clip.video, "video", str(error)))
            continue
        kept.append(clip)
        counts.append(len(waiting[-1]))
        if len(waiting) == EMBED_TOGETHER:
            vectors.append(embedder.clips(waiting))
            waiting = []
    if waiting:
        vectors.append(embedder.clips(waiting))
    captions = embedder.texts([clip.caption for clip in kept])
    return Pool(kept, np.array(counts), np.concatenate(vectors) if vectors else np.zeros((0, 1)), captions), dropped


def choose_context(
    pool: Pool,
    anchor: int,
    question: np.ndarray,
    section: ContextSection,
    filters: FilterSection,
    rng: np.random.Generator,
) -> Context | Refusal:
    """Draw distractors until the context is full; one that a filter refuses is replaced by the next.

    A context has fewer clips than were drawn when the frame budget is full before.

    Args:
        question: unit vector of the question.
    """
    visual, captions = pool.visual @ pool.visual[anchor], pool.captions @ question
    refused = {
        "visual_similarity": too_similar(visual, filters.visual_threshold),
        "specificity": not_specific(captions, anchor, filters.specificity),
    }
    used, budget = int(pool.frames[anchor]), section.frame_budget
    if section.clips is None:  # fill a random part of the budget
        number, enough = len(pool.clips), int(rng.integers(min(used + 1, budget), budget + 1))
    else:
        number, enough = int(rng.choice(section.clips)), budget
    if used > budget:
        return Refusal("frame_budget", f"the anchor alone has {used} frames, more than context.frame_budget")

    distractors: list[int] = []
    spare: int | None = None  # a context of one clip takes its rejected answer from outside
    replaced: Counter[str] = Counter()
    for candidate in rng.permutation(len(pool.clips)).tolist():
        if candidate == anchor:
            continue
        reason = next((name for name, mask in refused.items() if mask[candidate]), None)
        if reason:
            replaced[reason] += 1
        elif len(distractors) + 1 == number or used >= enough or used + pool.frames[candidate] > budget:
            spare = candidate  # the context is full
            break
        else:
            distractors.append(candidate)
            used += int(pool.frames[candidate])
    ran_out = spare is None and len(distractors) + 1 < number and section.clips is not None
    if ran_out or (not distractors and (number > 1 or spare is None)):
        name = replaced.most_common(1)[0][0] if replaced else "frame_budget"
        wanted = "one" if section.clips is None else number - 1
        return Refusal(name, f"{len(distractors)} of {wanted} distractors found, and no replacement is left")

    place = int(rng.integers(len(distractors) + 1))
    clips = [*distractors[:place], anchor, *distractors[place:]]
    return Context(
        clips=clips,
        place=place,
        outside=int(rng.choice(distractors)) if distractors else int(spare or 0),
        similarity=visual[clips].tolist(),
        specificity=captions[clips].tolist(),
        replaced=dict(replaced),
    )


def evenly(clips: int, rng: np.random.Generator) -> Iterator[int]:
    """Every clip once in random order, then again: no clip is an anchor twice before all were once."""
    while True:
        yield from rng.permutation(clips).tolist()
