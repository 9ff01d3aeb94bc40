"""Stage 1, anchored cues: one clip is hidden among others, and the question is only about it (paper, section 3.3).

The writer sees only the anchor when it writes the question and the chosen answer, and only a distractor when it
writes the rejected one. That distractor is drawn from the anchor's block of clips, which is itself drawn at random: so
every clip is decoded once. The other distractors are drawn from all clips, when all are known. Where rejected answers
are written from `all` distractors, the whole context is drawn from the block.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from longvpo.clips.pool import Pool, measured, refused_clips
from longvpo.clips.rows import Clip, Dropped, Refusal
from longvpo.dataset.drafts import alive, check_pairs
from longvpo.dataset.material import BlockPlan, Opened
from longvpo.dataset.replies import Question, parse_question
from longvpo.dataset.session import Session, clip_request, failed, no_caption
from longvpo.dataset.stage1.blocks import Block, Cue, block_context, writes_from_all
from longvpo.recipe.dataset import DatasetRecipe


def write_block(plan: BlockPlan, found: dict[int, Opened], known: Pool, session: Session) -> Block:
    """Everything about a block's clips that needs their frames: captions, questions, answers.

    Args:
        known: clips of blocks before; what was measured on them is not measured again.
    """
    recipe, counts = session.recipe, Counter[str]()
    found = write_captions(found, session, counts)
    dropped = [item for item in found.values() if isinstance(item, Dropped)]
    bad = [number for number, item in found.items() if isinstance(item, Dropped)]
    read = {number: item for number, item in found.items() if not isinstance(item, Dropped)}
    clips = [clip for clip, _ in read.values()]
    pool = measure(clips, [shape for _, shape in read.values()], known, session)
    drafts = plan_drafts(plan, list(read), recipe.seed)
    write_questions(drafts, pool, session, counts)
    questions = session.embedder.texts([draft.question for draft in drafts])
    write_rejected(drafts, pool, questions, session, counts)
    check_pairs(alive(drafts), session)
    return Block(pool, drafts, questions, dropped, bad, counts, session.writer.name)


def plan_drafts(plan: BlockPlan, read: list[int], seed: int) -> list[Cue]:
    """The drafts of a block, numbered as if every candidate could be read: a broken video changes no other seed."""
    drafts, number = [], plan.first
    for candidate, count in plan.candidates.items():
        if candidate in read:
            drafts += [Cue(n, seed + n, read.index(candidate)) for n in range(number, number + count)]
        number += count
    return drafts


def write_captions(found: dict[int, Opened], session: Session, counts: Counter[str]) -> dict[int, Opened]:
    """The clips whose source leaves the caption to the writer get one; those that get none are dropped."""
    missing = {number: item for number, item in found.items() if not isinstance(item, Dropped) and not item[0].caption}
    requests = [clip_request([clip], session, session.recipe.prompts.caption) for clip, _ in missing.values()]
    captioned: dict[int, Opened] = {}
    answers = session.ask(requests, "captions", counts)
    for (number, (clip, shape)), answer in zip(missing.items(), answers, strict=True):
        refusal = no_caption(answer, "caption")
        captioned[number] = refusal.dropped(clip.clip_id) if refusal else (replace(clip, caption=answer.text), shape)
    return found | captioned


def measure(clips: list[Clip], shapes: list[tuple[int, ...]], known: Pool, session: Session) -> Pool:
    """The clips with the vectors of their frames and captions.

    Args:
        shapes: (frames, height, width) of each.
    """
    known = known.only({clip.clip_id for clip in clips})
    vectors = {clip.clip_id: vector for clip, vector in zip(known.clips, known.visual, strict=True)}
    new = [clip for clip in clips if clip.clip_id not in vectors]
    found = session.embedder.clips(session.frames_of(clip.reference) for clip in new)
    vectors |= {clip.clip_id: vector for clip, vector in zip(new, found, strict=True)}
    visual = np.array([vectors[clip.clip_id] for clip in clips]) if clips else np.zeros((0, 1))
    return measured(clips, shapes, visual, session.embedder)


def write_questions(drafts: list[Cue], pool: Pool, session: Session, counts: Counter[str]) -> None:
    """Question and chosen answer, only from the anchor and its caption."""
    prompts, temperature = session.recipe.prompts, session.recipe.writer.temperature
    requests = []
    for draft in drafts:
        clip = pool.clips[draft.anchor]
        text = prompts.question.format(caption=clip.caption)
        requests.append(clip_request([clip], session, text, draft.seed, temperature, Question))
    for draft, answer in zip(drafts, session.ask(requests, "questions", counts), strict=True):
        parsed = failed(answer) or parse_question(answer.text)
        if isinstance(parsed, Refusal):
            draft.refusal = parsed
        else:
            draft.question, draft.chosen = parsed
            draft.prompt = prompts.answer.format(question=draft.question)


def write_rejected(
    drafts: list[Cue], pool: Pool, questions: np.ndarray, session: Session, counts: Counter[str]
) -> None:
    """The same question, answered only from distractors: plausible, and from looking in the wrong place."""
    shown: dict[int, list[Clip]] = {}
    for draft, question in zip(drafts, questions, strict=True):
        if draft.refusal is None:
            drawn = draw_distractors(draft, pool, question, session.recipe)
            if isinstance(drawn, Refusal):
                draft.refusal = drawn
            else:
                draft.outside, shown[draft.number] = drawn[0], [pool.clips[place] for place in drawn]
    written = alive(drafts)
    requests = [clip_request(shown[draft.number], session, draft.prompt, draft.seed) for draft in written]
    for draft, answer in zip(written, session.ask(requests, "rejected answers", counts), strict=True):
        draft.refusal = failed(answer)
        draft.rejected = answer.text


def draw_distractors(draft: Cue, pool: Pool, question: np.ndarray, recipe: DatasetRecipe) -> list[int] | Refusal:
    """The clips of the block that the rejected answer is written from; where it is all, they are the context's."""
    if writes_from_all(recipe):
        context = block_context(draft, pool, question, recipe)
        if isinstance(context, Refusal):
            return context
        others = [clip for clip in context.clips if clip != draft.anchor]
        if others:
            return others
    drawn = draw_distractor(draft, pool, question, recipe)
    return drawn if isinstance(drawn, Refusal) else [drawn]


def draw_distractor(draft: Cue, pool: Pool, question: np.ndarray, recipe: DatasetRecipe) -> int | Refusal:
    """The clip of the block that the rejected answer is written from."""
    refused, _ = refused_clips(pool, draft.anchor, question, recipe.filters)
    free = recipe.context.frame_budget - int(pool.frames[draft.anchor])
    # with one clip per context, it does not have to fit beside the anchor
    alone = recipe.context.clips is not None and max(recipe.context.clips) == 1
    fits = np.ones(len(pool.clips), bool) if alone else pool.frames <= free
    fits[draft.anchor] = False
    reasons: Counter[str] = Counter()
    for candidate in np.random.default_rng([recipe.seed, draft.number]).permutation(len(pool.clips)).tolist():
        if not fits[candidate]:
            continue
        reason = next((name for name, mask in refused.items() if mask[candidate]), None)
        if reason is None:
            return int(candidate)
        reasons[reason] += 1
    if not reasons:
        text = f"no clip fits beside the anchor's {pool.frames[draft.anchor]} frames in context.frame_budget"
        return Refusal("frame_budget", text, float(pool.frames[draft.anchor]))
    name = reasons.most_common(1)[0][0]
    return Refusal(name, f"none of {reasons.total()} clips may stand beside the anchor", 0.0)
