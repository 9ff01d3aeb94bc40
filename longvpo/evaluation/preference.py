"""Held-out triplets: how often each model finds the chosen answer likelier than the rejected one, and by how much.

Log-probabilities are sums over an answer's tokens, in nats, as in DPO's loss. `margin` is how far chosen is above
rejected, `reward` how much further it is there than for the base, which sees what a frozen reference would
(`triplets.configs`). Beside them stands the same without the video: what answers alone give away.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from longvpo.clips.published import differing, frames_of_dataset, told_differing
from longvpo.clips.sources import drawn
from longvpo.clips.trained import videos_of_rows
from longvpo.clips.triplets import check_context, load_config, on_canvas, places_of, teaching, told_of
from longvpo.errors import LongVPOError, VideoError, say
from longvpo.evaluation.intervals import accuracy_interval
from longvpo.evaluation.likelihoods import Likelihoods
from longvpo.io.private import cut
from longvpo.models.local import LocalWriter
from longvpo.models.writer import Request
from longvpo.recipe.evaluation import EvaluateRecipe, TripletSection
from longvpo.recipe.training import Reference
from longvpo.video.frames import ClipFrames
from longvpo.video.joined import join

Margins = dict[str, np.ndarray]  # how far chosen is above rejected, of shape (rows,), by what was seen


@dataclass
class HeldOut:
    """The rows of all configs, one after the other.

    Attributes:
        configs: of each row.
        videos: sha256 of the videos of each row; None where its dataset does not say them.
        left_out: how many rows are not scored, by reason.
    """

    section: TripletSection
    frames_of: ClipFrames
    rows: list[dict[str, Any]] = field(default_factory=list)
    configs: list[str] = field(default_factory=list)
    videos: list[set[str] | None] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def read_held_out(recipe: EvaluateRecipe, section: TripletSection) -> HeldOut:
    """The triplets to score. Rows that teach nothing, and rows of which a video cannot be read, are left out.

    Raises:
        LongVPOError: there is no such dataset, its rows are not triplets, no folder is given for their videos, or none
            is left.
    """
    where = (section.dataset, section.revision)
    otherwise = differing(*where, recipe.video, "evaluation")
    if otherwise:
        say(f"warning: triplets: {told_differing(otherwise)}")
    held = HeldOut(section, frames_of_dataset(*where, section.configs, recipe.video, section.videos))
    for config in section.configs:
        rows, others = teaching(load_config(section.dataset, config, section.split, section.revision))
        held.left_out += others
        chosen = drawn(list(range(len(rows))), section.rows, recipe.seed)
        rows = rows.select(chosen)
        videos = videos_of_rows(*where, config, rows)
        for number, row in enumerate(rows.to_list()):
            check_context(row["context"], chosen[number], config, section.frame_budget)
            if not _readable(row, held.frames_of):
                held.left_out["a video of it cannot be read"] += 1
                continue
            held.rows.append(row)
            held.configs.append(config)
            held.videos.append(videos[number] if videos else None)
    if not held.rows:
        said = ", ".join(f"{reason} ({count})" for reason, count in held.left_out.items()) or "there are none"
        raise LongVPOError(f"triplets: no row of {section.dataset} can be scored: {said}")
    return held


def _readable(row: dict[str, Any], frames_of: ClipFrames) -> bool:
    """Raises LongVPOError where no folder is given for its videos."""
    try:
        for clip in row["context"]:
            frames_of.check([clip])
    except VideoError:
        return False
    return True


def margins(writer: LocalWriter, held: HeldOut, known: Likelihoods, name: str, reference: bool) -> Margins:
    """How far one model has chosen above rejected: after the `context`, after the text alone, and after what the
    reference sees.

    Args:
        reference: the last is wanted: the model is the base, and there are adapters.
    """
    count = len(held.rows)
    views: dict[str, list[Reference | None]] = {"context": ["full"] * count, "text": [None] * count}
    if reference:
        views["reference"] = [held.section.configs[config] for config in held.configs]
    found = {}
    for view, kinds in views.items():
        requests = [_request(row, kind, held) for row, kind in zip(held.rows, kinds, strict=True)]
        pairs = [
            (request, row[answer])
            for request, row in zip(requests, held.rows, strict=True)
            for answer in ("chosen", "rejected")
        ]
        sums = np.array(known.of(writer, pairs, f"triplets, {name}, {view}"))
        found[view] = sums[::2] - sums[1::2]
    return found


def _request(row: dict[str, Any], kind: Reference | None, held: HeldOut) -> Request:
    """A row's prompt after the clips of this kind, as they stand in its context; None: after nothing."""
    if kind is None:
        return Request(row["prompt"])
    context, frames_of, budget = row["context"], held.frames_of, held.section.frame_budget
    places = places_of(row, kind)

    def frames() -> np.ndarray:
        kept, size = on_canvas(context, places, frames_of, budget)
        return join(kept, frames_of.section.fit, size)

    told = told_of([context[place] for place in places], frames_of, budget)
    # the other clips decide the canvas
    media = json.dumps([places, [[clip["source"], clip["video"], frames_of.content(clip)] for clip in context]])
    return Request(row["prompt"], times=told.times, seconds=told.seconds, media=media, frames=frames)


def preference(held: HeldOut, found: dict[str, Margins], trained: dict[str, set[str] | None]) -> dict[str, Any]:
    """What the margins come to: by model, of all rows, of each config, and of each number of clips.

    Args:
        trained: sha256 of the videos that each adapter was trained on; None where it does not say.

    Returns:
        Percent and nats of each: accuracy, how often chosen is likelier, a tie being half of one, with its interval;
        margin, the mean; the same of the text alone, and, of an adapter, of its rewards. trained_on: rows that show a
        video which an adapter was trained on, null where that is not known.
    """
    parts: dict[str, dict[str, list[int]]] = {"all": {"all": list(range(len(held.rows)))}, "stages": {}, "clips": {}}
    lengths = [len(row["context"]) for row in held.rows]
    for place in sorted(parts["all"]["all"], key=lambda place: lengths[place]):
        parts["clips"].setdefault(str(lengths[place]), []).append(place)
    for place, config in enumerate(held.configs):
        parts["stages"].setdefault(config, []).append(place)
    about = [row["context"][row["anchors"][0]]["video"] for row in held.rows]
    seen = {"": "context", "text_only_": "text"}
    models: dict[str, Any] = {}
    for name, views in found.items():
        told = {prefix: views[view] for prefix, view in seen.items()}
        if name != "base":
            told["reward_"] = views["context"] - found["base"]["reference"]
        groups = {
            part: {group: _told(told, places, about) for group, places in some.items()} for part, some in parts.items()
        }
        models[name] = {**groups.pop("all")["all"], **groups}
    return {
        "dataset": cut(held.section.dataset),
        "revision": held.section.revision,
        "split": held.section.split,
        "configs": dict(held.section.configs),
        "triplets": len(held.rows),
        "left_out": dict(held.left_out),
        "trained_on": {name: _shown(held, videos) for name, videos in trained.items()},
        "models": models,
    }


def _told(margins: dict[str, np.ndarray], places: list[int], about: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"triplets": len(places)}
    for prefix, values in margins.items():
        some = values[places]
        found[f"{prefix}accuracy"] = round(100 * float(np.mean((some > 0) + 0.5 * (some == 0))), 1)
        found[f"{prefix}interval"] = accuracy_interval((some > 0).tolist(), [about[place] for place in places])
        found[f"{prefix}margin"] = round(float(some.mean()), 4)
    return found


def _shown(held: HeldOut, trained: set[str] | None) -> int | None:
    """How many rows show one of these videos."""
    if trained is None or None in held.videos:
        return None
    return sum(not trained.isdisjoint(videos or ()) for videos in held.videos)
