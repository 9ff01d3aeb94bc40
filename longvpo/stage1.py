"""Stage 1, anchored cues: one clip is hidden among others, and the question is about it alone (paper, section 3.3).

The writer sees only the anchor when it writes the question and the chosen answer, and only a distractor when it
writes the rejected one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from longvpo.filters import Refusal, no_pair, parse_question
from longvpo.pool import Context, Pool, choose_context, evenly
from longvpo.recipe import DatasetRecipe, recipe_hash
from longvpo.similarity import Embedder
from longvpo.triplet import Dropped, Triplet
from longvpo.video import ClipFrames
from longvpo.writer import LocalWriter, Request

ROUND = 512  # anchors that are worked on together


@dataclass
class Draft:
    """A triplet in the making; once it has a refusal no later step touches it."""

    id: str
    anchor: int
    seed: int
    question: str = ""
    prompt: str = ""
    chosen: str = ""
    rejected: str = ""
    context: Context | None = None
    refusal: Refusal | None = None


@dataclass
class Outcome:
    triplets: list[Triplet] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    replaced: Counter[str] = field(default_factory=Counter)
    anchors: int = 0


def anchored_cues(
    recipe: DatasetRecipe, pool: Pool, frames_of: ClipFrames, writer: LocalWriter, embedder: Embedder
) -> Outcome:
    """Write triplets until the recipe's number is reached or its attempts are used up."""
    outcome = Outcome()
    rng = np.random.default_rng(recipe.seed)
    anchors = evenly(len(pool.clips), rng)
    wanted, most = recipe.stage1.triplets, int(recipe.stage1.triplets * recipe.stage1.attempts)
    with tqdm(total=wanted, desc="stage 1") as bar:
        while len(outcome.triplets) < wanted and outcome.anchors < most:
            count = min(ROUND, most - outcome.anchors, wanted - len(outcome.triplets))
            seed = recipe.seed + outcome.anchors
            drafts = [
                Draft(f"stage1-{outcome.anchors + i:06d}", anchor=next(anchors), seed=seed) for i in range(count)
            ]
            write_questions(drafts, recipe, pool, frames_of, writer)
            choose_contexts(drafts, recipe, pool, embedder, rng)
            write_rejected(drafts, recipe, pool, frames_of, writer)
            check_answers(drafts, recipe, embedder)
            for draft in drafts:
                _finish(draft, recipe, pool, writer, outcome)
            outcome.anchors += count
            bar.update(len(outcome.triplets) - bar.n)
    return outcome


def write_questions(
    drafts: list[Draft], recipe: DatasetRecipe, pool: Pool, frames_of: ClipFrames, writer: LocalWriter
) -> None:
    """Question and chosen answer, from the anchor and its caption alone."""
    section = recipe.writer
    requests = []
    for draft in drafts:
        text = section.question_prompt.format(caption=pool.clips[draft.anchor].caption)
        requests.append(_request(pool, draft.anchor, frames_of, text))
    texts = writer.write(requests, drafts[0].seed, sample=True, progress="questions")
    for draft, text in zip(drafts, texts, strict=True):
        parsed = parse_question(text)
        if isinstance(parsed, Refusal):
            draft.refusal = parsed
        else:
            draft.question, draft.chosen = parsed
            draft.prompt = section.answer_prompt.format(question=draft.question)


def choose_contexts(
    drafts: list[Draft], recipe: DatasetRecipe, pool: Pool, embedder: Embedder, rng: np.random.Generator
) -> None:
    alive = _alive(drafts)
    for draft, vector in zip(alive, embedder.texts([draft.question for draft in alive]), strict=True):
        context = choose_context(pool, draft.anchor, vector, recipe.context, recipe.filters, rng)
        if isinstance(context, Refusal):
            draft.refusal = context
        else:
            draft.context = context


def write_rejected(
    drafts: list[Draft], recipe: DatasetRecipe, pool: Pool, frames_of: ClipFrames, writer: LocalWriter
) -> None:
    """The same question, answered from a distractor alone: plausible, and from looking in the wrong place."""
    alive = [(draft, draft.context) for draft in _alive(drafts) if draft.context]
    requests = [_request(pool, context.outside, frames_of, draft.prompt) for draft, context in alive]
    texts = writer.write(requests, recipe.seed, sample=False, progress="rejected answers")
    for (draft, _), text in zip(alive, texts, strict=True):
        draft.rejected = text


def check_answers(drafts: list[Draft], recipe: DatasetRecipe, embedder: Embedder) -> None:
    alive = _alive(drafts)
    chosen = embedder.texts([draft.chosen for draft in alive])
    rejected = embedder.texts([draft.rejected for draft in alive])
    for draft, one, other in zip(alive, chosen, rejected, strict=True):
        draft.refusal = no_pair(draft.chosen, draft.rejected, float(one @ other), recipe.filters.answer_threshold)


def _request(pool: Pool, clip: int, frames_of: ClipFrames, text: str) -> Request:
    return Request(text, int(pool.frames[clip]), partial(frames_of, pool.clips[clip].reference))


def _alive(drafts: list[Draft]) -> list[Draft]:
    return [draft for draft in drafts if draft.refusal is None]


def _finish(draft: Draft, recipe: DatasetRecipe, pool: Pool, writer: LocalWriter, outcome: Outcome) -> None:
    context = draft.context
    made: dict[str, Any] = {
        "prompt": draft.prompt,
        "chosen": draft.chosen,
        "rejected": draft.rejected,
        "context": [pool.clips[index].reference for index in context.clips] if context else [],
        "anchors": [context.place] if context else [],
    }
    outcome.replaced.update(context.replaced if context else {})
    if draft.refusal or context is None:
        refusal = draft.refusal or Refusal("context", "no context was chosen")
        outcome.dropped.append(Dropped(draft.id, refusal.filter, refusal.reason, refusal.score, made))
        return
    outcome.triplets.append(
        Triplet(
            id=draft.id,
            stage=1,
            rejection="distractor",
            rejected_clips=[pool.clips[context.outside].reference],
            similarity=context.similarity,
            specificity=context.specificity,
            writer=writer.name,
            seed=draft.seed,
            recipe=recipe_hash(recipe),
            **made,
        )
    )
