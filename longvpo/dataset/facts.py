"""What a build measured. Cards and figures are made only from this, and equal builds have equal facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.clips.rows import Clip, Triplet, features
from longvpo.clips.shortfall import reasons
from longvpo.dataset.outcome import Outcome
from longvpo.dataset.session import Session, question_section, stage2_writer
from longvpo.dataset.shortcuts import FIFTHS, fifths, rejected_places, shortcuts, warnings
from longvpo.dataset.text_only import as_rules, text_only
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import recipe_hash

PAIRS = "empty refusal equal near_equal length_ratio"
# by stage: what is counted, and the filters in the order in which they see it
FUNNELS = {
    1: {
        "rows": "table",
        "videos opened": "video overlap caption cut",
        "anchors tried": f"writer cut form frame_budget visual_similarity specificity {PAIRS} near_duplicate "
        "judge balance",
    },
    2: {
        "long videos": "table",
        "videos opened": "video overlap scenes caption cut",
        "questions tried": "writer cut form too_few_scenes unknown_scene trace near_duplicate one_scene needed "
        f"{PAIRS} judge balance",
    },
}
BINS = 12  # bars of a histogram, at most


def make_facts(session: Session, outcomes: dict[str, Outcome], overlap: frozenset[str]) -> dict[str, Any]:
    """All numbers of a build: what both stages share, and `stage1` and `stage2`, null where there was none.

    Args:
        outcomes: those of the stages that were run.
        overlap: names and hashes of benchmarks' videos that were looked for.
    """
    recipe = session.recipe
    facts: dict[str, Any] = {
        "kind": "dataset",
        "name": recipe.name,
        "recipe": recipe_hash(recipe),
        "license": recipe.license,
        "writer": session.writer.name,
        "judge": session.judge.name if session.judge else "",
        "models": models(recipe, session),
        "prompts": prompts_asked(recipe, judged=session.judge is not None),
        "calls": dict(sorted(sum((outcome.counts for outcome in outcomes.values()), Counter[str]()).items())),
        "stage1": None,
        "stage2": None,
        "text_only": dict.fromkeys(("stage1", "stage2")),
        "benchmark_videos_looked_for": len(overlap) if recipe.filters.overlap else None,
        "embedded": recipe.embed,
        "sources": sources_of(recipe, [clip for outcome in outcomes.values() for clip in outcome.clips]),
        "warnings": [],
    }
    for stage, outcome in outcomes.items():
        made = facts[stage] = stage1_facts(outcome) if outcome.stage == 1 else stage2_facts(outcome, session)
        clips = {clip.clip_id: clip for clip in outcome.clips}
        blind = facts["text_only"][stage] = text_only(session.of_stage(outcome.stage), outcome.triplets, clips)
        made["shortcuts"] = shortcuts(outcome.triplets, outcome.pool.sizes_by_id, as_rules(blind))
        facts["warnings"] += [*short_of(recipe, stage, outcome), *warnings(stage, made["shortcuts"])]
    return facts


def short_of(recipe: DatasetRecipe, stage: str, outcome: Outcome) -> list[str]:
    """What is said where a stage has fewer triplets than the recipe asks for."""
    section, found = getattr(recipe, stage), len(outcome.triplets)
    if found >= section.triplets:
        return []
    why = reasons(Counter(item.filter for item in outcome.dropped))
    return [
        f"{stage} has {found} of the {section.triplets} triplets that were asked for: {len(outcome.dropped)} rows and "
        f"drafts were dropped{f', most of them {why}' if why else ''}. Give more clips, raise {stage}.attempts, or "
        "see the config dropped"
    ]


def models(recipe: DatasetRecipe, session: Session) -> list[dict[str, str]]:
    """Each model that worked on the build: its role, model@revision, and its licence as the recipe states it."""
    judge, asker = recipe.judge, question_section(recipe, recipe.stage2) if recipe.stage2 else None
    roles = [("writer", session.writer.name, (recipe.writer if recipe.stage1 else stage2_writer(recipe)).license)]
    if session.second:
        roles += [("writer of stage 2", session.second.name, stage2_writer(recipe).license)]
    roles += [("judge", session.judge.name, judge.license if judge else "unknown")] if session.judge else []
    roles += [("questions of stage 2", session.question_writer.name, asker.license)] if asker else []
    return [{"role": role, "model": name, "license": license_id} for role, name, license_id in roles]


def prompts_asked(recipe: DatasetRecipe, judged: bool) -> dict[str, Any]:
    """The recipe's prompts without those of stages, models and kinds of questions that it does without."""
    two = recipe.stage2
    asked = {
        "question": recipe.stage1,
        "answer": True,
        "judge": recipe.stage1 and judged,
        "caption": any(source.captions == "writer" for source in recipe.sources),
        "scene": two,
        "summary": two,
        "scenes_question": two,
        "pair": two and judged and recipe.filters.judge_rejected,
        "clip_pair": recipe.stage1 and judged and recipe.filters.judge_rejected,
    }
    texts = recipe.prompts.model_dump()
    tasks = {task: texts["tasks"][task] for task, weight in two.tasks.items() if weight} if two else {}
    return {name: texts[name] for name in asked if asked[name]} | {"tasks": tasks}


def stage1_facts(outcome: Outcome) -> dict[str, Any]:
    triplets, clips = outcome.triplets, outcome.clips
    anchors = Counter(t.context[t.anchors[0]]["clip_id"] for t in triplets)
    return {
        "triplets": len(triplets),
        "clips": len(clips),
        "clips_used_as_anchor": len(anchors),
        "times_an_anchor": {"most": max(anchors.values()), "mean": round(len(triplets) / len(clips), 3)},
        "times_a_distractor": _spread([outcome.uses[clip.clip_id] for clip in clips]),
        "anchors_tried": outcome.tried.total(),
        "distractors_replaced": dict(outcome.replaced),
        "clips_a_context": histogram([len(triplet.context) for triplet in triplets]),
        **shared_facts(outcome, len(clips)),
    }


def stage2_facts(outcome: Outcome, session: Session) -> dict[str, Any]:
    triplets = outcome.triplets
    let_in = Counter(triplet.task for triplet in triplets)
    return {
        "triplets": len(triplets),
        "videos": len(outcome.videos),
        "scenes": len(outcome.clips),
        "folds": outcome.counts["folds"],
        "questions_tried": outcome.tried.total(),
        "question_writer": session.question_writer.name,
        "tasks": {name: {"tried": count, "triplets": let_in[name]} for name, count in sorted(outcome.tried.items())},
        "rejections": dict(sorted(Counter(triplet.rejection for triplet in triplets).items())),
        "relevant_scenes": histogram([len(triplet.anchors) for triplet in triplets]),
        "scenes_a_context": histogram([len(triplet.context) for triplet in triplets]),
        **shared_facts(outcome, len(outcome.videos)),
    }


def shared_facts(outcome: Outcome, opened: int) -> dict[str, Any]:
    """What is measured of both stages.

    Args:
        opened: clips or long videos that can be used.
    """
    triplets = outcome.triplets
    seconds = [sum(clip["end"] - clip["start"] for clip in triplet.context) for triplet in triplets]
    return {
        "seconds_a_context": _spread(seconds) | {"histogram": histogram([round(value) for value in seconds])},
        "anchor_depth": anchor_depth(triplets),
        "rejected_depth": rejected_depth(triplets),
        "answer_words": answer_words(triplets),
        "example": row_of(example(triplets)),
        "dropped": dict(Counter(item.filter for item in outcome.dropped)),
        "funnel": funnel(outcome, opened),
    }


def sources_of(recipe: DatasetRecipe, clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """What is told of each source. Its dataset only where others can get it: not of a folder of this machine."""
    return [
        {
            "name": source.name,
            "stage": 1 if source in recipe.sources else 2,
            "dataset": f"{source.dataset}@{source.revision}"
            if source.dataset and not Path(source.dataset).exists()
            else "",
            "license": source.license,
            "redistribution": source.redistribution,
            "about": source.about,
            "clips": sum(clip.source == source.name for clip in clips),
            "hours": round(sum(c.end - c.start for c in clips if c.source == source.name) / 3600, 3),
        }
        for source in recipe.all_sources
    ]


def funnel(outcome: Outcome, opened: int) -> list[dict[str, Any]]:
    """From rows to triplets: each step with what it dropped and what it left; those that dropped nothing too."""
    drafts = Counter(item.filter for item in outcome.dropped if item.triplet)
    others = Counter(item.filter for item in outcome.dropped if not item.triplet)
    seen = opened + sum(others[name] for name in FUNNELS[outcome.stage]["videos opened"].split())
    counts = ((outcome.rows, others), (seen, others), (outcome.tried.total(), drafts))
    steps = []
    for (what, filters), (left, dropped) in zip(FUNNELS[outcome.stage].items(), counts, strict=True):
        steps.append({"step": what, "dropped": 0, "left": left})
        for name in filters.split():
            left -= dropped[name]
            steps.append({"step": name, "dropped": dropped[name], "left": left})
    return steps


def histogram(values: Sequence[int]) -> dict[str, int]:
    """How often each value comes; where there are many values, how often those between two bounds come, both
    included."""
    counts = Counter(values)
    if len(counts) <= BINS:
        return {str(value): count for value, count in sorted(counts.items())}
    low = min(counts)
    step = -(-(max(counts) + 1 - low) // BINS)
    starts = range(low, max(counts) + 1, step)
    return {f"{one}-{one + step - 1}": sum(counts[one + place] for place in range(step)) for one in starts}


def example(triplets: list[Triplet]) -> Triplet:
    """The row that stands in the card and on the contact sheet: one whose context can be taken in at a glance."""
    return next((triplet for triplet in triplets if 4 <= len(triplet.context) <= 8), triplets[0])


def anchor_depth(triplets: list[Triplet]) -> dict[str, list[float]]:
    """Where in their contexts the anchors stand, from the first fifth to the last.

    Returns:
        observed: anchors in each fifth; expected: anchors if every place were as likely, which depends on the numbers
        of clips: six places do not fill five fifths evenly.
    """
    return _depth((len(triplet.context), triplet.anchors, range(len(triplet.context))) for triplet in triplets)


def rejected_depth(triplets: list[Triplet]) -> dict[str, dict[str, list[float]]]:
    """Where the clips stand that the rejected answers were written from, by kind of rejection.

    Each of the clips that a kind is drawn from is as likely: those of `partial` from the anchors, others from all but
    these.
    """
    found = {}
    for kind in sorted({triplet.rejection for triplet in triplets}):
        rows = [triplet for triplet in triplets if triplet.rejection == kind]
        places = [(triplet, set(range(len(triplet.context))) - set(triplet.anchors)) for triplet in rows]
        found[kind] = _depth(
            (len(triplet.context), rejected_places(triplet), triplet.anchors if kind == "partial" else others)
            for triplet, others in places
        )
    return found


def _depth(rows: Iterable[tuple[int, Collection[int], Collection[int]]]) -> dict[str, list[float]]:
    """Clips in each fifth of their contexts.

    Args:
        rows: for each, the number of clips of its context; the places that were drawn; those they were drawn from.
    """
    observed, expected = np.zeros(FIFTHS), np.zeros(FIFTHS)
    for clips, drawn, free in rows:
        if drawn:
            fifth = fifths(clips)
            observed += np.bincount(fifth[[*drawn]], minlength=FIFTHS)
            expected += len(drawn) * np.bincount(fifth[[*free]], minlength=FIFTHS) / len(free)
    return {"observed": observed.tolist(), "expected": expected.round(2).tolist()}


def row_of(triplet: Triplet) -> dict[str, Any]:
    """The triplet as a row of its config."""
    return {name: getattr(triplet, name) for name in features(f"stage{triplet.stage}")}


def answer_words(triplets: list[Triplet]) -> dict[str, Any]:
    """Lengths of the answers in words, and how often chosen is the longer one; equal lengths count half."""
    chosen, rejected = (np.array([len(getattr(t, name).split()) for t in triplets]) for name in ("chosen", "rejected"))
    return {
        "chosen": _spread(chosen.tolist()) | {"histogram": histogram(chosen.tolist())},
        "rejected": _spread(rejected.tolist()) | {"histogram": histogram(rejected.tolist())},
        "chosen_is_longer": round(float(np.mean((chosen > rejected) + 0.5 * (chosen == rejected))), 4),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return {"mean": round(float(np.mean(values)), 3), "p5": float(low), "median": float(middle), "p95": float(high)}
