"""The triplets that a run trains on: those of one config, and others mixed in, held against what training reads."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from datasets import Dataset, concatenate_datasets

from longvpo.clips.triplets import check_context, load_config, teaching
from longvpo.errors import LongVPOError
from longvpo.models.revision import identity, model_name
from longvpo.recipe.training import DataSection, Reference, TrainRecipe
from longvpo.video.frames import ClipFrames

SCORES = ("ref_chosen_logps", "ref_rejected_logps")  # the reference's, by TRL's names
SCORED_BY = "ref_scored_by"  # says which model the log-probabilities of a published dataset belong to
OTHERWISE = "Set reference_log_probs=precomputed to score it before training"


def training_rows(recipe: TrainRecipe, seed: int, left_out: Counter[str] | None = None) -> Dataset:
    """The triplets to train on: all of `data.config`, and those of `data.mix`, drawn at random and shuffled in.

    Args:
        left_out: rows that teach nothing are left out and counted in it, by reason; None: they stay.

    Returns:
        The columns prompt, chosen, rejected, context and anchors of each triplet; `config`, where it comes from; and
        `reference`, what the reference is scored on.

    Raises:
        LongVPOError: there is no such dataset, or its rows are not triplets. A context has more clips than the frame
            budget, or a config of the mix has too few rows.
    """
    data = recipe.data
    check_mix(data)
    rows = _load_config(recipe, data.config, recipe.reference, left_out)
    rest = 1 - sum(mix.share for mix in data.mix)
    parts = [rows]
    for mix in data.mix:
        others = _load_config(recipe, mix.config, mix.reference, left_out)
        wanted = round(len(rows) * mix.share / rest)
        if wanted > len(others):
            largest = (rest + mix.share) * len(others) / (len(rows) + len(others))
            raise LongVPOError(
                f"data.mix: a share of {mix.share:g} beside {len(rows)} rows of {data.config} needs {wanted} rows of "
                f"{mix.config}, which has {len(others)}: set its share to at most {math.floor(largest * 1e4) / 1e4:g}"
            )
        if others.features != rows.features:
            raise LongVPOError(f"data.mix: the columns of {mix.config} have other types than those of {data.config}")
        parts.append(others.shuffle(seed=seed, keep_in_memory=True).select(range(wanted)))
    return concatenate_datasets(parts).shuffle(seed=seed, keep_in_memory=True) if data.mix else rows


def _load_config(recipe: TrainRecipe, config: str, reference: Reference, left_out: Counter[str] | None) -> Dataset:
    data = recipe.data
    brought = [name for name in (*SCORES, SCORED_BY) if recipe.reference_log_probs == "dataset"]
    others = (data.columns, data.videos, left_out)
    rows = load_config(data.dataset, config, data.split, data.revision, brought, *others)
    missing = [name for name in brought if name not in rows.column_names]
    if missing:
        raise LongVPOError(
            f"{data.dataset}, config {config}, brings no log-probabilities of a reference: it has no column "
            f"{missing[0]}. {OTHERWISE}, or add them with `longvpo score`"
        )
    for number, context in enumerate(rows["context"][:]):
        check_context(context, number, config, recipe.frame_budget)
    if left_out is not None:
        rows, untaught = teaching(rows)
        left_out.update(untaught)
        if not len(rows):
            said = ", ".join(f"{reason} ({count})" for reason, count in untaught.items())
            raise LongVPOError(f"config {config} of {data.dataset} has no row that teaches anything: {said}")
    return rows.add_column("config", [config] * len(rows)).add_column("reference", [reference] * len(rows))


def check_mix(data: DataSection) -> None:
    """Raises LongVPOError when the configs and shares of a mix do not go together."""
    names = [data.config, *(mix.config for mix in data.mix)]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise LongVPOError(f"data.mix: rows of {twice[0]} are asked for twice; name each config once")
    if sum(mix.share for mix in data.mix) > 1 - 1e-9:
        raise LongVPOError(f"data.mix: the shares leave nothing for {data.config}; their sum must be below 1")


def pictures_of(rows: Dataset, frames_of: ClipFrames) -> dict[str, dict[str, Any]]:
    """Where the frames of each source come from, and how they are seen; see ClipFrames.origin."""
    clips = {clip["source"]: clip for context in rows["context"][:] for clip in context}
    return {source: frames_of.origin(clip) for source, clip in sorted(clips.items())}


def reference_identity(
    recipe: TrainRecipe, reference: Reference, adapter_sha256: str | None, pictures: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Everything that decides a reference's log-probabilities: where it is equal, the numbers are, up to rounding.

    The base's configuration was read before, which tells the commit of a branch.

    Args:
        adapter_sha256: the hash of the weights that are the reference, over the base; None: the base is.
        pictures: pictures_of's.
    """
    qualities = {source: origin["quality"] for source, origin in pictures.items()}
    name, _, revision = model_name(recipe.base).rpartition("@")
    return {
        "base": name,
        "revision": revision,
        "quantization": recipe.base.quantization,
        "dtype": recipe.base.dtype,
        "adapter": adapter_sha256,
        "reference": reference,
        "fps": recipe.video.fps,
        "max_frames": recipe.video.max_frames,
        "short_side": recipe.video.short_side,
        "fit": recipe.video.fit,
        "frames_quality": qualities if len({*qualities.values()}) > 1 else next(iter(qualities.values()), None),
        "frame_budget": recipe.frame_budget,
    }


def check_scores(recipe: TrainRecipe, rows: Dataset, adapter_sha256: str | None, frames_of: ClipFrames) -> None:
    """Check the log-probabilities that rows bring of their reference.

    Raises:
        LongVPOError: they are not numbers, or come from another reference, or from another revision of it.
    """
    for name in SCORES:
        for number, score in enumerate(rows[name]):
            if not isinstance(score, float) or not math.isfinite(score):
                raise LongVPOError(
                    f"row {number} of {recipe.data.dataset}: its {name} is {score!r}, and a number is expected. "
                    f"{OTHERWISE}"
                )
    pictures = pictures_of(rows, frames_of)
    for said, reference in set(zip(rows[SCORED_BY], rows["reference"], strict=True)):
        try:
            found, expected = dict(json.loads(said)), reference_identity(recipe, reference, adapter_sha256, pictures)
        except (ValueError, TypeError) as error:
            fault = f"its {SCORED_BY} is {said!r}, no object"
            raise LongVPOError(f"{recipe.data.dataset}: {fault}. {OTHERWISE}") from error
        different = [name for name in expected if found.get(name) != expected[name]]
        bases = [identity(f"{one.get('base')}@{one.get('revision')}") for one in (found, expected)]
        if bases[0] == bases[1]:  # one model, in folders of two names
            different = [name for name in different if name != "base"]
        if different:
            what = ", ".join(f"{name} {found.get(name)}, not {expected[name]}" for name in different)
            raise LongVPOError(
                f"{recipe.data.dataset} brings log-probabilities of another reference: {what}. {OTHERWISE}"
            )
