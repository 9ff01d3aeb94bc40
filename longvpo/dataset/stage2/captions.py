"""Recursive captions: a scene is described from its frames and from what was written about the scenes before it.

The rule (paper, section 3.4; how the text is kept short is ours): what came before fits in a budget of tokens. The
latest captions stand there whole. When they outgrow the budget, the model that wrote them folds the older ones into a
summary, into which later ones are folded in turn. Every answer is kept by the journal, so that a build that is killed
resumes at the scene where it was.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice

from tqdm import tqdm

from longvpo.clips.overlap import refusal_of
from longvpo.clips.rows import Clip, Refusal, Scene
from longvpo.dataset.engine.local import LOCAL, Engine
from longvpo.dataset.session import Session, clip_request, no_caption
from longvpo.models.writer import Request

BYTES_A_TOKEN = 3  # bytes of UTF-8, at least, in most texts and tokenizers: a server does not show us its own
FIRST = "(this is the first scene)"
HEADING = 12  # tokens before a summary
TRIES = 2  # attempts at a fold, before what is too long is cut


@dataclass
class Story:
    """A long video while it is captioned."""

    name: str
    clips: list[Clip]
    scenes: list[Scene] = field(default_factory=list)
    summary: str = ""  # what scenes 1 to `folded` show
    folded: int = 0
    refusal: Refusal | None = None

    @property
    def next(self) -> Clip:
        """The clip of the scene that has no caption yet."""
        return self.clips[len(self.scenes)]

    @property
    def done(self) -> bool:
        return self.refusal is not None or len(self.scenes) == len(self.clips)

    def before(self, last: int | None = None) -> str:
        """What was written before, the scenes after number `last` left out."""
        lines = [f"Summary of scenes 1 to {self.folded}: {self.summary}"] if self.folded else []
        return "\n".join([*lines, *(scene_line(scene, scene.scene) for scene in self.scenes[self.folded : last])])


def scene_line(scene: Scene, number: int) -> str:
    return f"Scene #{number} ({scene.start:.1f}-{scene.end:.1f} s): {scene.caption}"


def count_tokens(text: str) -> int:
    """An estimate that is rarely too low."""
    return math.ceil(len(text.encode()) / BYTES_A_TOKEN)


def caption(
    stories: Iterable[Story],
    budget: int,
    session: Session,
    together: int,
    counts: Counter[str],
    engine: Engine = LOCAL,
) -> None:
    """Give every story its scenes, or the refusal for which it has not all of them.

    `together` stories are asked about at a time, each one scene further. When one is done, the next story takes its
    place.

    Args:
        budget: tokens of what came before.
        counts: gains calls, tokens and folds.
    """
    waiting = (story for story in stories if not story.done)
    active: list[Story] = []
    workers = session.recipe.video.workers
    with ThreadPoolExecutor(workers, "decode") as threads, tqdm(desc="scenes", leave=False) as bar:
        while True:
            active = [story for story in active if not story.done]
            active += islice(waiting, together - len(active))
            if not active:
                return
            if "{before}" in session.recipe.prompts.scene:
                _fold(active, budget, session, counts)
            _write(active, session, threads, counts, engine)
            bar.update(len(active))


def _fold(stories: list[Story], budget: int, session: Session, counts: Counter[str]) -> None:
    """Fold the older captions of every story whose text is over the budget, so that it fits in."""
    for attempt in range(TRIES):
        full = [story for story in stories if count_tokens(story.before()) > budget]
        if not full:
            return
        counts["folds"] += len(full)
        # all but the latest that fit beside a summary of half of the budget; at the second try, all
        upto = [_oldest(story, budget // 2 - HEADING if attempt == 0 else 0) for story in full]
        requests = [
            Request(session.recipe.prompts.summary.format(before=story.before(last)), session.recipe.seed)
            for story, last in zip(full, upto, strict=True)
        ]
        for story, last, answer in zip(full, upto, session.ask(requests, "", counts), strict=True):
            # an empty summary says less than the captions themselves, as many as fit
            if answer.flaw != "empty":
                story.refusal = story.refusal or no_caption(answer, "summary of its first scenes")
            story.summary, story.folded = _cut(answer.text or story.before(last), budget // 2), last
    stories[:] = [story for story in stories if story.refusal is None]


def _oldest(story: Story, room: int) -> int:
    """Number of the last scene to fold: those after it fit in so many tokens."""
    last = len(story.scenes)
    used = 0
    while last > story.folded + 1:
        used += count_tokens(scene_line(story.scenes[last - 1], last))
        if used > room:
            break
        last -= 1
    return last


def _cut(text: str, tokens: int) -> str:
    """The text itself, or as many of its first words as fit."""
    while count_tokens(text) > tokens and " " in text:
        text = text.rsplit(" ", 1)[0]
    return text.encode()[: tokens * BYTES_A_TOKEN].decode(errors="ignore")


def _write(
    stories: list[Story], session: Session, threads: ThreadPoolExecutor, counts: Counter[str], engine: Engine
) -> None:
    """The next scene of every story."""
    prompts = session.recipe.prompts
    requests = [
        clip_request([story.next], session, prompts.scene.format(before=story.before() or FIRST), session.recipe.seed)
        for story in stories
    ]
    new = decode(requests, stories, session, threads, engine)
    asked = [(story, request) for story, request in zip(stories, requests, strict=True) if story.refusal is None]
    if new:  # the scenes after these
        following = [story.clips[len(story.scenes) + 1 :][:1] for story, _ in asked]
        engine.ahead([clip for clips in following for clip in clips], session, threads)
    answers = session.ask([request for _, request in asked], "", counts)
    for (story, _), answer in zip(asked, answers, strict=True):
        story.refusal = no_caption(answer, f"caption of scene {len(story.scenes) + 1}")
        scene = {
            "caption": answer.text,
            "long_video": story.name,
            "scene": len(story.scenes) + 1,
            "summary": story.summary,
            "writer": session.writer.name,
        }
        if story.refusal is None:
            story.scenes.append(Scene(**asdict(story.next) | scene))


def decode(
    requests: list[Request], stories: list[Story], session: Session, threads: ThreadPoolExecutor, engine: Engine
) -> bool:
    """Read the frames of all requests that were not answered before, by several threads.

    Returns:
        Whether there was such a request.
    """
    new = [
        (request, story)
        for request, story in zip(requests, stories, strict=True)
        if request.frames is not None and not session.journal.has(session.writer, request)
    ]
    errors = engine.read([request for request, _ in new], threads)
    for (_, story), error in zip(new, errors, strict=True):
        story.refusal = refusal_of(error) if error else story.refusal
    return bool(new)
