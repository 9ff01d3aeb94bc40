"""The clips of a build or of a grid, measured once, and the contexts that are drawn from them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

import numpy as np
from tqdm import tqdm

from longvpo.clips.rows import Clip, Dropped, Refusal
from longvpo.errors import VideoError
from longvpo.models.embed import Embedder
from longvpo.recipe.dataset import ContextSection
from longvpo.recipe.sections import FilterSection
from longvpo.video.frames import ClipFrames

MEASURED = ("frames", "visual", "captions", "sizes")  # on each clip of a pool
LOOKED_AT = 4  # clips that are compared at a time
DRAWN_FROM = 1 << 16  # clips that a context is drawn from, at most


@dataclass(frozen=True)
class Pool:
    """The clips that a build may use, with what was measured on each of them once.

    Attributes:
        frames: number of sampled frames, of shape (clips,).
        visual, captions: unit vectors of the frames and of the caption, of shape (clips, dimension).
        sizes: width and height of the frames, in pixels, of shape (clips, 2); zeros where they are not known.
    """

    clips: list[Clip] = field(default_factory=list)
    frames: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    visual: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)))
    captions: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)))
    sizes: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), int))
    room: Room | None = field(default=None, repr=False, compare=False)

    @property
    def sizes_by_id(self) -> dict[str, tuple[int, int]]:
        """Width and height by clip_id, where they are known."""
        sizes = zip(self.clips, self.sizes.tolist(), strict=False)
        return {clip.clip_id: (width, height) for clip, (width, height) in sizes if width}

    def joined(self, other: Pool) -> Pool:
        """This pool with the clips of another one that are new to it."""
        room = self.room if self.room and self.room.used == len(self.clips) else Room(self)
        new = [index for index, clip in enumerate(other.clips) if clip.clip_id not in room.places]
        if not new:
            return self
        added = Pool([other.clips[i] for i in new], *(getattr(other, name)[new] for name in MEASURED))
        return Pool(self.clips + added.clips, **room.add(added), room=room) if self.clips else added

    def only(self, ids: set[str]) -> Pool:
        """This pool's clips that have one of these ids."""
        places = self.room.places if self.room else {clip.clip_id: place for place, clip in enumerate(self.clips)}
        found = (places.get(one, len(self.clips)) for one in ids)
        some = sorted(place for place in found if place < len(self.clips))
        return Pool([self.clips[i] for i in some], *(getattr(self, name)[some] for name in MEASURED))


class Room:
    """Where the clips of a growing pool lie: arrays with room for more, so that one more block is not a copy of all.

    A pool whose clips are not the last that it holds is copied when it grows.
    """

    def __init__(self, pool: Pool) -> None:
        self.places = {clip.clip_id: place for place, clip in enumerate(pool.clips)}
        self.used = len(pool.clips)
        self._arrays = {name: getattr(pool, name) for name in MEASURED}

    def add(self, pool: Pool) -> dict[str, np.ndarray]:
        """What was measured, with that of another pool behind it."""
        before, self.used = self.used, self.used + len(pool.clips)
        self.places.update((clip.clip_id, before + place) for place, clip in enumerate(pool.clips))
        for name, array in self._arrays.items():
            new: np.ndarray = getattr(pool, name)
            kind = np.result_type(array, new)
            if self.used > len(array) or kind != array.dtype:
                room = np.empty((max(self.used, 2 * before), *array.shape[1:]), kind)
                room[:before] = array[:before]
                self._arrays[name] = array = room
            array[before : self.used] = new
        return {name: array[: self.used] for name, array in self._arrays.items()}


@dataclass(frozen=True)
class Context:
    """Indices into the pool, and the scores for which they were let in."""

    clips: list[int]
    place: int  # the anchor's among `clips`
    similarity: list[float]
    specificity: list[float]
    replaced: dict[str, int]  # candidates refused, by filter


def make_pool(clips: list[Clip], frames_of: ClipFrames, embedder: Embedder) -> tuple[Pool, list[Dropped]]:
    """Decode and embed every clip once. A clip that cannot be decoded is dropped with its reason."""
    kept, shapes, dropped = [], [], []

    def read() -> Iterator[np.ndarray]:
        for clip in tqdm(clips, desc="decode and embed"):
            try:
                frames = frames_of(clip.reference)
            except VideoError as error:
                dropped.append(Dropped(clip.video, "video", str(error)))
                continue
            kept.append(clip)
            shapes.append(frames.shape[:3])
            yield frames

    visual = embedder.clips(read())
    return measured(kept, shapes, visual, embedder), dropped


def measured(clips: list[Clip], shapes: list[tuple[int, ...]], visual: np.ndarray, embedder: Embedder) -> Pool:
    """Clips as a pool.

    Args:
        shapes: (frames, height, width) of each.
        visual: unit vectors of their frames, of shape (clips, dimension).
    """
    frames, heights, widths = np.array(shapes, int).reshape(-1, 3).T
    captions = embedder.texts([clip.caption for clip in clips])
    return Pool(clips, frames, visual, captions, np.stack([widths, heights], axis=1))


def refused_clips(
    pool: Pool, anchor: int, question: np.ndarray, filters: FilterSection
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Which clips may not stand beside the anchor, by filter, and the scores: arrays of shape (clips,).

    - visual_similarity: cosine of the anchor's frames to every clip's. Above the threshold, a clip looks too much like
      the anchor (paper, section 3.3).
    - specificity: cosine of the question to every clip's caption. A caption that is at least as close as the anchor's
      might answer the question, too.
    """
    scores = {"visual_similarity": pool.visual @ pool.visual[anchor], "specificity": pool.captions @ question}
    refused = {name: np.zeros(len(pool.clips), bool) for name in scores}
    if filters.visual_threshold is not None:
        refused["visual_similarity"] = scores["visual_similarity"] > filters.visual_threshold
    if filters.specificity:
        # two captions that share the same words with the question differ only by rounding
        refused["specificity"] = scores["specificity"] >= scores["specificity"][anchor] - 1e-4
    return refused, scores


def choose_context(
    pool: Pool,
    anchor: int,
    question: np.ndarray,
    section: ContextSection,
    filters: FilterSection,
    rng: np.random.Generator,
    first: int | None = None,
    uses: np.ndarray | None = None,
) -> Context | Refusal:
    """Draw distractors until the context is full; one that a filter refuses is replaced by the next.

    A context has fewer clips than were drawn when the frame budget is full before.

    Args:
        question: unit vector of the question.
        first: a distractor that must be there, unless the context has one clip: that of the rejected answer.
        uses: how often each clip was a distractor, of shape (clips,); those less used are drawn first.
    """
    used, budget = int(pool.frames[anchor]), section.frame_budget
    if used > budget:
        return Refusal("frame_budget", f"the anchor alone has {used} frames, more than context.frame_budget", used)
    if section.clips is None:  # fill the budget, or a random part of it
        full = section.fill == "full"
        number, enough = len(pool.clips), budget if full else int(rng.integers(min(used + 1, budget), budget + 1))
    else:
        number, enough = int(rng.choice(section.clips)), budget

    order = _drawn(len(pool.clips), rng)
    candidates = (one for one in _least_used_first(order, uses) if one not in (anchor, first))
    looks = _Looks(pool, anchor, question, filters, chain([] if first is None else [first], candidates))
    distractors: list[int] = []
    replaced: Counter[str] = Counter()
    full = number == 1
    while not full and (candidate := looks.next()) is not None:
        reason = looks.refusal(candidate)
        if reason:
            replaced[reason] += 1
        elif used + pool.frames[candidate] > budget:
            full = True
        else:
            distractors.append(candidate)
            used += int(pool.frames[candidate])
            full = len(distractors) + 1 == number or used >= enough
    if (not full and section.clips is not None) or (not distractors and number > 1):
        name = replaced.most_common(1)[0][0] if replaced else "frame_budget"
        wanted = "one" if section.clips is None else number - 1
        score = None
        if replaced:
            refused, scores = refused_clips(pool, anchor, question, filters)
            score = float(scores[name][refused[name]].min())  # the nearest to being let in
        return Refusal(name, f"{len(distractors)} of {wanted} distractors found, and no replacement is left", score)

    place = int(rng.integers(len(distractors) + 1))
    if first is not None and section.rejected_clip == "random":
        rng.shuffle(distractors)  # they stand as they were drawn: `first` in front, then those that are used less
    clips = [*distractors[:place], anchor, *distractors[place:]]
    return Context(
        clips=clips,
        place=place,
        similarity=[looks.scores["visual_similarity"][clip] for clip in clips],
        specificity=[looks.scores["specificity"][clip] for clip in clips],
        replaced=dict(replaced),
    )


class _Looks:
    """Candidates in their order, some compared to the anchor at a time: all clips are looked at only where few fit.

    With the anchor they are four, and the clips that make no four at the end of the pool follow them. So a product of
    matrices gives each row the same last digit as among all clips.
    """

    def __init__(
        self, pool: Pool, anchor: int, question: np.ndarray, filters: FilterSection, candidates: Iterator[int]
    ) -> None:
        self.pool, self.anchor, self.question, self.filters = pool, anchor, question, filters
        self.scores: dict[str, dict[int, float]] = {"visual_similarity": {}, "specificity": {}}
        self._refused: dict[int, str | None] = {}
        self._candidates, self._next = candidates, deque[int]()
        self._look([])

    def next(self) -> int | None:
        """The next candidate; None: there is none."""
        if not self._next:
            some = list(islice(self._candidates, LOOKED_AT - 1))
            self._look(some)
            self._next.extend(some)
        return self._next.popleft() if self._next else None

    def refusal(self, candidate: int) -> str | None:
        """The filter that refuses a candidate."""
        return self._refused[candidate]

    def _look(self, some: list[int]) -> None:
        pool, rest = self.pool, len(self.pool.clips) % LOOKED_AT
        clips = [self.anchor] * (LOOKED_AT - len(some)) + some
        clips += range(len(pool.clips) - rest, len(pool.clips))
        own = len(clips) - 1 - clips[::-1].index(self.anchor)
        here = Pool([pool.clips[clip] for clip in clips], *(getattr(pool, name)[clips] for name in MEASURED[:3]))
        refused, scores = refused_clips(here, own, self.question, self.filters)
        for name, values in scores.items():
            self.scores[name].update(zip(clips, values.tolist(), strict=True))
        for place, clip in enumerate(clips):
            self._refused[clip] = next((name for name, mask in refused.items() if mask[place]), None)


def _drawn(clips: int, rng: np.random.Generator) -> np.ndarray:
    """Clips in random order. Among very many clips it takes a random stretch, so a context costs the same in any
    build."""
    if clips <= DRAWN_FROM:
        return rng.permutation(clips)
    begin = int(rng.integers(clips))
    return (begin + rng.permutation(DRAWN_FROM)) % clips


def _least_used_first(order: np.ndarray, uses: np.ndarray | None) -> Iterator[int]:
    """The clips of an order, those of fewer uses first; sorted only as far as it is asked for."""
    counts = np.zeros(len(order), int) if uses is None else uses[order]
    while len(order):
        least = counts == counts.min()
        places = np.flatnonzero(least)
        for begin in range(0, len(places), LOOKED_AT):
            yield from order[places[begin : begin + LOOKED_AT]].tolist()
        order, counts = order[~least], counts[~least]


def evenly(clips: int, rng: np.random.Generator) -> Iterator[int]:
    """Every clip once in random order, then again: no clip is an anchor twice before all were once."""
    while True:
        yield from rng.permutation(clips).tolist()


def mixed(sizes: list[int], weights: list[float], rng: np.random.Generator) -> Iterator[int]:
    """Clips of several sources, each source evenly and as often as its size and weight say.

    Args:
        sizes: number of clips of each source; the clips are numbered through, source by source.
    """
    shares = np.array(sizes) * np.array(weights)
    starts = np.cumsum([0, *sizes])
    sources = [evenly(size, rng) for size in sizes]
    taken = np.zeros(len(sizes))
    while True:
        with np.errstate(divide="ignore"):  # a source without clips is never next
            source = int(np.argmin((taken + 1) / shares))
        taken[source] += 1
        yield int(starts[source]) + next(sources[source])
