"""Stage 1, anchored cues: one clip is hidden among others, and the question is about it alone (paper, section 3.3).

The writer sees only the anchor when it writes the question and the chosen answer, and only a distractor when it
writes the rejected one. That distractor is drawn from the anchor's block of clips, which is itself drawn at random: so
every clip is decoded once. The other distractors are drawn from all clips, when all are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from longvpo.blocks import Block, Draft, Task
from longvpo.filters import Refusal, asked_before, no_pair, parse_question, parse_verdict
from longvpo.journal import Journal
from longvpo.pool import EMBED_TOGETHER, Context, Pool, choose_context, refused_clips
from longvpo.prompts import JUDGE_SCHEMA, QUESTION_SCHEMA
from longvpo.recipe import DatasetRecipe
from longvpo.recipe_file import recipe_hash
from longvpo.similarity import Embedder
from longvpo.triplet import Clip, Dropped, Triplet
from longvpo.video import ClipFrames, sample_times
from longvpo.writer import Answer, Request, Writer


@dataclass
class Studio:
    """Who works on a build: the models, and the journal through which they are asked."""

    recipe: DatasetRecipe
    writer: Writer
    judge: Writer | None
    embedder: Embedder
    journal: Journal
    frames_of: ClipFrames

    def ask(self, requests: list[Request], progress: str, counts: dict[str, int], judge: bool = False) -> list[Answer]:
        """Answers in order; `counts` gains tokens and forms."""
        writer = self.judge if judge and self.judge else self.writer
        answers = self.journal.ask(writer, requests, progress)
        name = "judge" if judge else "writer"
        for answer in answers:
            for key, number in (
                (f"{name}_calls", 1),
                (f"{name}_prompt_tokens", answer.prompt_tokens or 0),
                (f"{name}_completion_tokens", answer.completion_tokens or 0),
                (f"{name}_form_{answer.form}", 1),
            ):
                counts[key] = counts.get(key, 0) + number
        return answers


def work(task: Task, found: dict[int, tuple[Clip, int] | Dropped], studio: Studio) -> Block:
    """Everything about a block's clips that needs their frames: captions, questions, answers."""
    recipe, counts = studio.recipe, Counter[str]()
    dropped = [item for item in found.values() if isinstance(item, Dropped)]
    bad = [number for number, item in found.items() if isinstance(item, Dropped)]
    read = {number: item for number, item in found.items() if not isinstance(item, Dropped)}
    clips = write_captions([clip for clip, _ in read.values()], studio, counts)
    pool = measure(clips, [frames for _, frames in read.values()], studio)
    drafts = plan_drafts(task, list(read), recipe.seed)
    write_questions(drafts, pool, studio, counts)
    questions = studio.embedder.texts([draft.question for draft in drafts])
    write_rejected(drafts, pool, questions, studio, counts)
    check_answers(drafts, studio)
    return Block(clips, pool.frames, pool.visual, pool.captions, drafts, questions, dropped, bad, dict(counts))


def plan_drafts(task: Task, read: list[int], seed: int) -> list[Draft]:
    """The drafts of a block, numbered as if every candidate could be read: a broken video changes no other seed."""
    drafts, number = [], task.first
    for candidate, count in task.candidates.items():
        if candidate in read:
            drafts += [Draft(n, read.index(candidate), seed + n) for n in range(number, number + count)]
        number += count
    return drafts


def write_captions(clips: list[Clip], studio: Studio, counts: dict[str, int]) -> list[Clip]:
    """The clips whose source leaves the caption to the writer get one."""
    missing = [index for index, clip in enumerate(clips) if not clip.caption]
    requests = [_request(clips[index], studio, studio.recipe.prompts.caption) for index in missing]
    for index, answer in zip(missing, studio.ask(requests, "captions", counts), strict=True):
        clips[index] = replace(clips[index], caption=answer.text)
    return clips


def measure(clips: list[Clip], frames: list[int], studio: Studio) -> Pool:
    vectors = [
        studio.embedder.clips([studio.frames_of(clip.reference) for clip in clips[i : i + EMBED_TOGETHER]])
        for i in range(0, len(clips), EMBED_TOGETHER)
    ]
    captions = studio.embedder.texts([clip.caption for clip in clips])
    return Pool(clips, np.array(frames, int), np.concatenate(vectors) if vectors else np.zeros((0, 1)), captions)


def write_questions(drafts: list[Draft], pool: Pool, studio: Studio, counts: dict[str, int]) -> None:
    """Question and chosen answer, from the anchor and its caption alone."""
    prompts, temperature = studio.recipe.prompts, studio.recipe.writer.temperature
    requests = []
    for draft in drafts:
        clip = pool.clips[draft.anchor]
        text = prompts.question.format(caption=clip.caption)
        requests.append(_request(clip, studio, text, draft.seed, temperature, QUESTION_SCHEMA))
    for draft, answer in zip(drafts, studio.ask(requests, "questions", counts), strict=True):
        parsed = _failed(answer) or parse_question(answer.text)
        if isinstance(parsed, Refusal):
            draft.refusal = parsed
        else:
            draft.question, draft.chosen = parsed
            draft.prompt = prompts.answer.format(question=draft.question)


def write_rejected(
    drafts: list[Draft], pool: Pool, questions: np.ndarray, studio: Studio, counts: dict[str, int]
) -> None:
    """The same question, answered from a distractor alone: plausible, and from looking in the wrong place."""
    for draft, question in zip(drafts, questions, strict=True):
        if draft.refusal is None:
            drawn = draw_distractor(draft, pool, question, studio.recipe)
            if isinstance(drawn, Refusal):
                draft.refusal = drawn
            else:
                draft.outside = drawn
    alive = _alive(drafts)
    requests = [_request(pool.clips[draft.outside], studio, draft.prompt, draft.seed) for draft in alive]
    for draft, answer in zip(alive, studio.ask(requests, "rejected answers", counts), strict=True):
        draft.refusal = _failed(answer)
        draft.rejected = answer.text


def draw_distractor(draft: Draft, pool: Pool, question: np.ndarray, recipe: DatasetRecipe) -> int | Refusal:
    """The clip of the block that the rejected answer is written from."""
    refused, _ = refused_clips(pool, draft.anchor, question, recipe.filters)
    free = recipe.context.frame_budget - int(pool.frames[draft.anchor])
    alone = recipe.context.clips is not None and max(recipe.context.clips) == 1  # it need not fit beside the anchor
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


def check_answers(drafts: list[Draft], studio: Studio) -> None:
    alive = _alive(drafts)
    chosen = studio.embedder.texts([draft.chosen for draft in alive])
    rejected = studio.embedder.texts([draft.rejected for draft in alive])
    for draft, one, other in zip(alive, chosen, rejected, strict=True):
        draft.refusal = no_pair(draft.chosen, draft.rejected, float(one @ other), studio.recipe.filters)


@dataclass
class Outcome:
    """The triplets so far, and what the next ones depend on."""

    triplets: list[Triplet] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    replaced: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    anchors: int = 0
    questions: list[np.ndarray] = field(default_factory=list)  # of the triplets
    uses: Counter[str] = field(default_factory=Counter)  # of clips as distractors, by clip_id


@dataclass
class Chosen:
    draft: Draft
    outside: Clip  # that the rejected answer was written from
    context: Context


def finish(blocks: Sequence[Block], pool: Pool, studio: Studio, outcome: Outcome) -> None:
    """Contexts for the drafts of some blocks, out of all clips that are known by now, and the last filters."""
    places = {clip.clip_id: place for place, clip in enumerate(pool.clips)}
    uses = np.array([outcome.uses[clip.clip_id] for clip in pool.clips])
    chosen: list[Chosen] = []
    for block in blocks:
        outcome.anchors += len(block.drafts)
        for draft, question in zip(block.drafts, block.questions, strict=True):
            refusal = draft.refusal or asked_before(
                question, np.array(outcome.questions), studio.recipe.filters.question_threshold
            )
            made = refusal or draw_context(draft, block, question, pool, places, uses, studio.recipe)
            if isinstance(made, Refusal):
                outcome.dropped.append(_dropped(draft, block.clips[draft.anchor], made))
                continue
            outcome.replaced.update(made.replaced)
            outcome.questions.append(question)
            uses[[clip for clip in made.clips if clip != made.clips[made.place]]] += 1
            chosen.append(Chosen(draft, block.clips[draft.outside], made))
    outcome.uses = Counter({clip.clip_id: int(count) for clip, count in zip(pool.clips, uses, strict=True)})
    for item, verdict in zip(chosen, judge(chosen, pool, studio, outcome), strict=True):
        triplet = _triplet(item, pool, studio)
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


def judge(chosen: list[Chosen], pool: Pool, studio: Studio, outcome: Outcome) -> list[Refusal | None]:
    """The judge's verdicts on questions in their contexts; without a judge, none."""
    if studio.judge is None:
        return [None] * len(chosen)
    requests = []
    for item in chosen:
        captions = [pool.clips[index].caption for index in item.context.clips]
        caption = captions.pop(item.context.place)
        others = "\n".join(f"- {other}" for other in captions) or "- (none)"
        text = studio.recipe.prompts.judge.format(question=item.draft.question, caption=caption, others=others)
        requests.append(Request(text, item.draft.seed, schema=JUDGE_SCHEMA))
    answers = studio.ask(requests, "verdicts", outcome.counts, judge=True)
    return [_failed(answer) or parse_verdict(answer.text) for answer in answers]


def _request(
    clip: Clip,
    studio: Studio,
    text: str,
    seed: int = 0,
    temperature: float = 0.0,
    schema: dict[str, Any] | None = None,
) -> Request:
    video = studio.recipe.video
    times = sample_times(clip.start, clip.end, video.fps, video.max_frames) - clip.start
    return Request(
        text=text,
        seed=seed,
        temperature=temperature,
        schema=schema,
        times=tuple(round(float(time), 3) for time in times),
        media=f"{clip.sha256} {clip.start:g}-{clip.end:g} {video.short_side}",
        frames=partial(studio.frames_of, clip.reference),
    )


def _failed(answer: Answer) -> Refusal | None:
    return Refusal("writer", f"the request was refused: {answer.error}", 0.0) if answer.error else None


def _alive(drafts: list[Draft]) -> list[Draft]:
    return [draft for draft in drafts if draft.refusal is None]


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


def _triplet(item: Chosen, pool: Pool, studio: Studio) -> Triplet:
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
        writer=studio.writer.name,
        judge=studio.judge.name if studio.judge else "",
        seed=draft.seed,
        recipe=recipe_hash(studio.recipe),
    )
