"""Drafts become triplets: contexts are drawn when all clips are known, and the last filters see them.

Nothing here needs a frame: what a kill interrupts is computed again, and only the judge is asked, through the journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from longvpo.clips.pool import Context, choose_context
from longvpo.clips.rows import Clip, Refusal
from longvpo.dataset.outcome import Outcome
from longvpo.dataset.replies import Verdict, parse_right, parse_verdict
from longvpo.dataset.session import Session, failed
from longvpo.dataset.stage1.blocks import Block, Cue, block_context, writes_from_all
from longvpo.models.text import AnswerVerdict
from longvpo.models.writer import Request
from longvpo.recipe.dataset import PromptSection


@dataclass
class Placed:
    """A draft with its context."""

    draft: Cue
    outside: list[Clip]  # the clips that the rejected answer was written from
    context: Context
    clips: list[Clip]  # clips of the context


def finish(blocks: Sequence[Block], session: Session, outcome: Outcome) -> None:
    """Contexts for the drafts of some blocks, out of all clips that are known by now, and the last filters."""
    pool, recipe = outcome.pool, session.recipe
    places = {clip.clip_id: place for place, clip in enumerate(pool.clips)}
    uses = np.array([outcome.uses[clip.clip_id] for clip in pool.clips])
    placed: list[Placed] = []
    from_all = writes_from_all(recipe)
    for block in blocks:
        threshold = recipe.filters.question_threshold
        far = outcome.asked.far(block.questions, threshold)
        for draft, question, unlike in zip(block.drafts, block.questions, far, strict=True):
            outcome.tried["anchored"] += 1
            anchor, outside = block.pool.clips[draft.anchor], block.pool.clips[draft.outside]
            made: Refusal | Context | None = draft.refusal or outcome.asked.before(question, threshold, unlike)
            if made is None and from_all:
                made = block_context(draft, block.pool, question, recipe)
            elif made is None:
                rng = np.random.default_rng([recipe.seed, draft.number, 1])
                first, other = places[anchor.clip_id], places[outside.clip_id]
                made = choose_context(pool, first, question, recipe.context, recipe.filters, rng, other, uses)
            if isinstance(made, Refusal):  # it never had a context: the anchor is its only clip
                outcome.dropped.append(draft.dropped(made, [anchor], [0]))
                continue
            outcome.replaced.update(made.replaced)
            outcome.asked.add(question)
            clips = [(block.pool if from_all else pool).clips[index] for index in made.clips]
            others = [clip for place, clip in enumerate(clips) if place != made.place]
            uses[[places[clip.clip_id] for clip in others]] += 1
            placed.append(Placed(draft, (others if from_all else []) or [outside], made, clips))
    outcome.uses = Counter({clip.clip_id: int(count) for clip, count in zip(pool.clips, uses, strict=True)})
    for item, verdict in zip(placed, judge(placed, session, outcome.counts), strict=True):
        draft, anchors = item.draft, [item.context.place]
        refusal = verdict or outcome.out_of_balance(draft, recipe.filters)
        if refusal:
            outcome.dropped.append(draft.dropped(refusal, item.clips, anchors))
            continue
        similarity, specificity = item.context.similarity, item.context.specificity
        more = {"anchors": anchors, "similarity": similarity, "specificity": specificity}
        outcome.triplets.append(draft.triplet(session, item.clips, item.outside, rejection="distractor", **more))


def judge(placed: list[Placed], session: Session, counts: Counter[str]) -> list[Refusal | None]:
    """The judge's verdicts, without a judge none: on questions in their contexts, then on rejected answers."""
    found: list[Refusal | None] = [None] * len(placed)
    if session.judge is None:
        return found
    asked = [(_question_request, parse_verdict), (_answer_request, parse_right)]
    for request_of, parse in asked if session.judges_answers else asked[:1]:
        left = [place for place, refusal in enumerate(found) if refusal is None]
        requests = [request_of(placed[place], session.recipe.prompts) for place in left]
        for place, answer in zip(left, session.ask(requests, "verdicts", counts, "judge"), strict=True):
            found[place] = failed(answer) or parse(answer.text)
    return found


def _question_request(item: Placed, prompts: PromptSection) -> Request:
    captions = [clip.caption for clip in item.clips]
    caption = captions.pop(item.context.place)
    others = "\n".join(f"- {other}" for other in captions) or "- (none)"
    text = prompts.judge.format(question=item.draft.question, caption=caption, others=others)
    return Request(text, item.draft.seed, expects=Verdict)


def _answer_request(item: Placed, prompts: PromptSection) -> Request:
    draft, caption = item.draft, item.clips[item.context.place].caption
    said = {"question": draft.question, "chosen": draft.chosen, "rejected": draft.rejected}
    return Request(prompts.clip_pair.format(caption=caption, **said), draft.seed, expects=AnswerVerdict)
