"""Drafts become triplets: contexts are drawn when all clips are known, and the last filters see them.

Nothing here needs a frame: what a kill interrupts is computed again, and only the judge is asked, through the journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from longvpo.clips.filters import Refusal
from longvpo.clips.pool import Context, Pool, choose_context
from longvpo.clips.rows import Clip, Dropped, Triplet
from longvpo.dataset.drafts import asked_before
from longvpo.dataset.outcome import Outcome
from longvpo.dataset.replies import parse_verdict
from longvpo.dataset.session import Session, failed
from longvpo.dataset.stage1.blocks import Block, Draft
from longvpo.models.writer import Request
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import recipe_hash
from longvpo.recipe.prompts import JUDGE_SCHEMA


@dataclass
class Placed:
    """A draft with its context."""

    draft: Draft
    outside: Clip  # that the rejected answer was written from
    context: Context


def finish(blocks: Sequence[Block], pool: Pool, session: Session, outcome: Outcome) -> None:
    """Contexts for the drafts of some blocks, out of all clips that are known by now, and the last filters."""
    places = {clip.clip_id: place for place, clip in enumerate(pool.clips)}
    uses = np.array([outcome.uses[clip.clip_id] for clip in pool.clips])
    placed: list[Placed] = []
    blocks = [block for block in blocks if block.drafts]  # others hold clips alone
    if not blocks:
        return
    asked = len(outcome.questions)
    # room for all, filled as they are let in: to stack them anew for each draft would copy gigabytes
    questions = np.concatenate([*([outcome.questions] if asked else []), *(block.questions for block in blocks)])
    for block in blocks:
        outcome.anchors += len(block.drafts)
        for draft, question in zip(block.drafts, block.questions, strict=True):
            refusal = draft.refusal or asked_before(
                question, questions[:asked], session.recipe.filters.question_threshold
            )
            made = refusal or draw_context(draft, block, question, pool, places, uses, session.recipe)
            if isinstance(made, Refusal):
                outcome.dropped.append(_dropped(draft, block.clips[draft.anchor], made))
                continue
            outcome.replaced.update(made.replaced)
            questions[asked] = question
            asked += 1
            uses[[clip for clip in made.clips if clip != made.clips[made.place]]] += 1
            placed.append(Placed(draft, block.clips[draft.outside], made))
    outcome.questions = questions[:asked].copy()
    outcome.uses = Counter({clip.clip_id: int(count) for clip, count in zip(pool.clips, uses, strict=True)})
    for item, verdict in zip(placed, judge(placed, pool, session, outcome), strict=True):
        triplet = _triplet(item, pool, session)
        if verdict:
            outcome.dropped.append(Dropped(triplet.id, verdict.filter, verdict.reason, verdict.score, asdict(triplet)))
        else:
            outcome.triplets.append(triplet)


def draw_context(
    draft: Draft,
    block: Block,
    question: np.ndarray,
    pool: Pool,
    places: dict[str, int],
    uses: np.ndarray,
    recipe: DatasetRecipe,
) -> Context | Refusal:
    anchor, first = (places[block.clips[index].clip_id] for index in (draft.anchor, draft.outside))
    rng = np.random.default_rng([recipe.seed, draft.number, 1])
    return choose_context(pool, anchor, question, recipe.context, recipe.filters, rng, first, uses)


def judge(placed: list[Placed], pool: Pool, session: Session, outcome: Outcome) -> list[Refusal | None]:
    """The judge's verdicts on questions in their contexts; without a judge, none."""
    if session.judge is None:
        return [None] * len(placed)
    requests = []
    for item in placed:
        captions = [pool.clips[index].caption for index in item.context.clips]
        caption = captions.pop(item.context.place)
        others = "\n".join(f"- {other}" for other in captions) or "- (none)"
        text = session.recipe.prompts.judge.format(question=item.draft.question, caption=caption, others=others)
        requests.append(Request(text, item.draft.seed, schema=JUDGE_SCHEMA))
    answers = session.ask(requests, "verdicts", outcome.counts, "judge")
    return [failed(answer) or parse_verdict(answer.text) for answer in answers]


def _dropped(draft: Draft, anchor: Clip, refusal: Refusal) -> Dropped:
    """A draft that never had a context: the anchor stands alone in it."""
    made = {
        "prompt": draft.prompt,
        "chosen": draft.chosen,
        "rejected": draft.rejected,
        "context": [anchor.reference],
        "anchors": [0],
    }
    return Dropped(draft.id, refusal.filter, refusal.reason, refusal.score, made)


def _triplet(item: Placed, pool: Pool, session: Session) -> Triplet:
    draft, context = item.draft, item.context
    return Triplet(
        id=draft.id,
        stage=1,
        prompt=draft.prompt,
        chosen=draft.chosen,
        rejected=draft.rejected,
        rejection="distractor",
        context=[pool.clips[index].reference for index in context.clips],
        anchors=[context.place],
        rejected_clips=[item.outside.reference],
        similarity=context.similarity,
        specificity=context.specificity,
        writer=session.writer.name,
        judge=session.judge.name if session.judge else "",
        seed=draft.seed,
        recipe=recipe_hash(session.recipe),
    )
