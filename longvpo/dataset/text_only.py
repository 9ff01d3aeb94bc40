"""The text-only baseline: how often a model that sees no video picks the chosen answer.

Half is what it should be. Far above it, the texts alone give the answer away, and training may learn that instead of
looking.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np

from longvpo.clips.rows import Triplet
from longvpo.dataset.session import Session
from longvpo.models.writer import Chooser


def text_only(session: Session, triplets: list[Triplet]) -> dict[str, Any]:
    """The writer's choices without a video, on rows of one stage that are drawn at random.

    Returns:
        model, method, rows; prefers_chosen, the share of rows; error, one standard deviation of that share;
        unreadable, choices that counted half. Or not_run, the reason.
    """
    limit, seed, writer = session.recipe.text_only, session.recipe.seed, session.writer
    if limit == 0:
        return {"not_run": "switched off by `text_only: 0`"}
    if not isinstance(writer, Chooser):
        return {"not_run": "the writer is neither a model on this machine nor behind a server"}
    if len(triplets) > limit:
        rng = np.random.default_rng(seed)
        triplets = [triplets[place] for place in sorted(rng.choice(len(triplets), limit, replace=False))]
    pairs = [(triplet.prompt, triplet.chosen, triplet.rejected) for triplet in triplets]
    points = writer.prefers(pairs, partial(session.ask, progress="text only", counts=Counter()), seed)
    share = float(np.mean([0.5 if one is None else one for one in points]))
    return {
        "model": writer.name,
        "method": writer.choosing,
        "rows": len(triplets),
        "prefers_chosen": round(share, 4),
        "error": round(float(np.sqrt(max(share * (1 - share), 1e-9) / len(triplets))), 4),
        "unreadable": points.count(None),
    }
