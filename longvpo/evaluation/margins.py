"""How far a model prefers the chosen answers of some triplets, to look at single rows in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from longvpo.clips.load import TripletRow
from longvpo.clips.request import triplet_request
from longvpo.evaluation.adapters import by_name, find_adapters
from longvpo.evaluation.benchmark_recipe import read_as_trained
from longvpo.models.likelihood import answer_log_probs, check_numbers
from longvpo.models.local import LocalWriter
from longvpo.recipe.sections import WriterSection
from longvpo.recipe.training import Reference

ANSWERS = ("chosen", "rejected")


def score_triplets(
    rows: Sequence[TripletRow],
    base: str | None = None,
    adapter: str | None = None,
    recipe: str = "",
    overrides: Sequence[str] = (),
    reference: Reference = "anchor",
    frame_budget: int | None = None,
) -> list[dict[str, float]]:
    """How likely a model finds both answers of each triplet, after its whole context, and how likely a reference does.

    The model is the base, or an adapter over it. The reference is the base, on what a frozen reference sees.

    Args:
        rows: triplets as `load_triplets` gives them.
        base: a Hub id, a folder, or `tiny`; None: that of the recipe.
        adapter: a folder, or a repository on the Hub as `ID` or `ID@REVISION`; None: only the base.
        recipe: a recipe of a training or an evaluation, for its `base`; empty: the recipe that trained the adapter.
        overrides: values of `base`, as section.key=value.
        reference: the clips that the reference sees: the anchor, the relevant ones, or the full context.
        frame_budget: maximum number of frames per context; a longer one is thinned evenly. None: no limit.

    Returns:
        For each row, values in nats. chosen and rejected are log-probabilities, summed over an answer's tokens. margin
        is chosen minus rejected. reference_chosen, reference_rejected and reference_margin are the same for the
        reference. reward is margin minus reference_margin; DPO's reward margin is beta times that.

    Raises:
        LongVPOError: the base or the adapter is missing or they do not fit, a video cannot be read, or the model's
            outputs are not numbers.
    """
    asked = read_as_trained(adapter, base, recipe, overrides)
    found = find_adapters(asked.base, by_name([adapter] if adapter else []))
    folder = next((str(one.folder) for one in found.values()), None)
    writer = LocalWriter(WriterSection(**asked.base.model_dump(), batch_size=asked.batch_size, adapter=folder))

    def log_probs(kind: Reference) -> np.ndarray:
        """Log-probabilities of shape (rows, 2)."""
        requests = [triplet_request(row, kind, row.source.frames_of, frame_budget) for row in rows for _ in ANSWERS]
        answers = [row[name] for row in rows for name in ANSWERS]
        sums, _ = answer_log_probs(writer.model, writer.processor, requests, answers, asked.batch_size)
        check_numbers(writer.name, sums)
        return sums.reshape(-1, len(ANSWERS))

    seen = log_probs("full")
    with writer.model.disable_adapter() if folder else nullcontext():
        of_reference = log_probs(reference)
    return [_told(model, other) for model, other in zip(seen.tolist(), of_reference.tolist(), strict=True)]


def _told(model: list[float], reference: list[float]) -> dict[str, float]:
    margin, other = model[0] - model[1], reference[0] - reference[1]
    told: dict[str, Any] = dict(zip(ANSWERS, model, strict=True)) | {"margin": margin}
    told |= {f"reference_{name}": value for name, value in zip((*ANSWERS, "margin"), (*reference, other), strict=True)}
    return told | {"reward": margin - other}
