"""The text-only baselines: how often chosen is picked by who sees no video.

Half is what it should be. Far from it, on either side, the texts without the video give the answer away, and training
may learn that instead of looking. Two look at the same rows: the writer, and a linear classifier that is trained on
the texts of other rows, which knows no likelihoods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from longvpo.clips.rows import Clip, Triplet
from longvpo.dataset.session import Session, clip_request
from longvpo.dataset.shortcuts import chance, groups_of, told
from longvpo.models.embed import Embedder
from longvpo.models.writer import Chooser

FOLDS = 5  # the classifier is tried on a fifth of the clips or videos after it was trained on the others
MOST = 5000  # rows for it: more make it hardly better


def text_only(session: Session, triplets: list[Triplet], clips: Mapping[str, Clip]) -> dict[str, Any]:
    """What both prefer, on rows of one stage that are drawn at random.

    Args:
        clips: by clip_id, those of the contexts.

    Returns:
        model, method, rows; prefers_chosen, the share of rows; error, the standard error of chance. distance is how
        far the share is from a half; unreadable counts choices that counted half. Or not_run, the reason. And
        classifier: rows, prefers_chosen, error and distance, or not_run.
    """
    limit, seed = session.recipe.text_only, session.recipe.seed
    if limit == 0:
        off = {"not_run": "switched off by `text_only: 0`"}
        return {**off, "classifier": off}
    found = {"classifier": classifier(session.embedder, _drawn(triplets, max(limit, MOST), seed))}
    writer = session.writer
    if not isinstance(writer, Chooser):
        return {"not_run": "the writer is neither a model on this machine nor behind a server", **found}
    compared, pairs = _alike(session, _drawn(triplets, limit, seed), clips)
    if not pairs:
        return {"not_run": "the writer gave no answers to compare", **found}
    points = writer.prefers(pairs, partial(session.ask, progress="text only", counts=Counter()), seed)
    share = _share(compared, [0.5 if one is None else one for one in points])
    return {"model": writer.name, "method": writer.choosing, **share, "unreadable": points.count(None), **found}


def _drawn(triplets: list[Triplet], limit: int, seed: int) -> list[Triplet]:
    if len(triplets) <= limit:
        return triplets
    places = np.random.default_rng(seed).choice(len(triplets), limit, replace=False)
    return [triplets[place] for place in sorted(places)]


def _alike(
    session: Session, triplets: list[Triplet], clips: Mapping[str, Clip]
) -> tuple[list[Triplet], list[tuple[str, str, str]]]:
    """Rows, and the prompt of each with two answers that were drawn alike: likelihood must not tell how that was done.

    Stage 1 draws chosen at the writer's temperature, with its question, and rejected greedily. So the writer answers
    again from the anchor as it did from the other clip. In stage 2 both are greedy answers to the same prompt.
    """
    again = [triplet for triplet in triplets if triplet.stage == 1]
    requests = []
    for triplet in again:
        anchor = clips[triplet.context[triplet.anchors[0]]["clip_id"]]
        requests.append(clip_request([anchor], session, triplet.prompt, triplet.seed))
    answers = session.ask(requests, "text only, answers", Counter()) if requests else []
    said = {triplet.id: answer for triplet, answer in zip(again, answers, strict=True)}
    kept = [triplet for triplet in triplets if triplet.id not in said or not said[triplet.id].flaw]
    chosen = [said[triplet.id].text if triplet.id in said else triplet.chosen for triplet in kept]
    return kept, [(triplet.prompt, one, triplet.rejected) for triplet, one in zip(kept, chosen, strict=True)]


def classifier(embedder: Embedder, triplets: list[Triplet]) -> dict[str, Any]:
    """How often a linear classifier prefers chosen, by the vectors of the prompt with each of the two answers.

    It is cross-validated: rows about the same anchor, or of the same long video, are never on both sides.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    groups = groups_of(triplets)
    if len(set(groups)) < FOLDS:
        return {"not_run": f"there are fewer than {FOLDS} anchors or long videos"}
    said = [f"{triplet.prompt} {getattr(triplet, name)}" for name in ("chosen", "rejected") for triplet in triplets]
    one, other = np.split(embedder.texts(said).astype(np.float64), 2)
    difference = one - other
    points = np.zeros(len(triplets))
    for known, new in GroupKFold(FOLDS).split(difference, groups=groups):
        both = np.concatenate([difference[known], -difference[known]])
        model = LogisticRegression(C=10, fit_intercept=False, max_iter=1000)
        model.fit(both, np.repeat([1, 0], len(known)))
        score = model.decision_function(difference[new])
        points[new] = (score > 0) + 0.5 * (score == 0)
    return _share(triplets, points.tolist())


def _share(triplets: list[Triplet], points: list[float]) -> dict[str, Any]:
    share = float(np.mean(points))
    return {
        "rows": len(points),
        "prefers_chosen": round(share, 4),
        "error": chance(triplets, points),
        "distance": round(abs(share - 0.5), 4),
    }


def as_rules(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Both as rules of the shortcut report."""
    advice = "look at the texts of both answers, and change the prompts"
    parts = {
        "answer that the writer prefers without a video": (found, {}),
        "answer that a linear classifier of the texts prefers": (found["classifier"], {"learnt": True}),
    }
    return [
        {
            "rule": name,
            "chosen": part["prefers_chosen"],
            "error": part["error"],
            "rows": part["rows"],
            "advice": advice,
            **more,
        }
        if "prefers_chosen" in part
        else told(name, [], [])
        for name, (part, more) in parts.items()
    ]
