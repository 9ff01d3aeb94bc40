"""Held-out triplets: how often each model finds the chosen answer likelier than the rejected one, and by how much.

Log-probabilities are sums over an answer's tokens, in nats, as in DPO's loss. `margin` is how far chosen is above
rejected. `reward` is how much further that is than for the base, which sees what a frozen reference would see
(`triplets.configs`). The same without the video is measured, too: it shows what the answers give away by themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from longvpo.clips.listed import frames_of_pairs
from longvpo.clips.pairs import settle
from longvpo.clips.published import differing, frames_of_dataset, told_differing
from longvpo.clips.request import triplet_request
from longvpo.clips.sources import drawn
from longvpo.clips.trained import videos_of_rows
from longvpo.clips.triplets import check_context, load_config, teaching
from longvpo.errors import LongVPOError, VideoError, say
from longvpo.evaluation.intervals import accuracy_interval, against
from longvpo.evaluation.likelihoods import Likelihoods
from longvpo.io.names import video_file
from longvpo.io.private import cut
from longvpo.models.local import LocalWriter
from longvpo.recipe.evaluation import EvaluateRecipe, TripletSection
from longvpo.recipe.training import Reference
from longvpo.video.frames import ClipFrames
from longvpo.video.kept import hash_of

SEEN = {"": "context", ", no video": "text"}  # what follows a model's name, by what it saw
Margins = dict[str, np.ndarray]  # how far chosen is above rejected, of shape (rows,), by what was seen; NaN: unread
UNREADABLE = "a video of it cannot be read"


@dataclass
class HeldOut:
    """The rows of all configs, one after the other.

    Attributes:
        configs: the config of each row.
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
        LongVPOError: the dataset cannot be loaded, its rows are not triplets, a folder of their videos is not given,
            or nothing is left to score.
    """
    section = _settled(section)
    where = (section.dataset, section.revision)
    otherwise = {} if section.columns else differing(*where, recipe.video, "evaluation")
    if otherwise:
        say(f"warning: triplets: {told_differing(otherwise)}")
    if section.columns:
        frames_of = frames_of_pairs(section.dataset, recipe.video, section.videos, section.columns.list_fps)
    else:
        frames_of = frames_of_dataset(*where, section.configs, recipe.video, section.videos)
    held = HeldOut(section, frames_of)
    first = ""
    for config in section.configs:
        others = (section.columns, section.videos, held.left_out)
        loaded = load_config(section.dataset, config, section.split, section.revision, (), *others)
        rows, untaught = teaching(loaded)
        held.left_out += untaught
        chosen = drawn(list(range(len(rows))), section.rows, recipe.seed)
        rows = rows.select(chosen)
        videos = videos_of_rows(*where, config, rows)
        for number, row in enumerate(rows.to_list()):
            check_context(row["context"], chosen[number], config, section.frame_budget)
            unreadable = _unreadable(row, held.frames_of)
            if unreadable:
                first = first or f"; the first video: {unreadable}"
                held.left_out[UNREADABLE] += 1
                continue
            held.rows.append(row)
            held.configs.append(config)
            held.videos.append(videos[number] if videos else None)
    said = ", ".join(f"{reason} ({count})" for reason, count in held.left_out.items()) or "there are none"
    if not held.rows:
        raise LongVPOError(f"triplets: no row of {section.dataset} can be scored: {said}{first}")
    if held.left_out:
        say(f"warning: triplets: {held.left_out.total()} rows are left out: {said}{first}")
    strange = _others(held)
    if strange:
        say(
            f"warning: triplets: {len(strange)} of {len(held.rows)} rows show other files than those that the dataset "
            f"was written from, such as {strange[0]}. Set triplets.videos to the folders of those"
        )
    return held


def _settled(section: TripletSection) -> TripletSection:
    """The section, with the open settings of pairs from another tool filled in; for triplets of longvpo it does not
    change."""
    config = next(iter(section.configs))
    where = (section.dataset, config, section.split, section.revision)
    try:
        found = settle(*where, section.columns, section.videos)
    except LongVPOError as error:  # it names the keys of a training
        raise LongVPOError(str(error).replace("data.columns", "triplets.columns")) from None
    if found is None:
        return section
    seen: Reference = "anchor" if found.anchored else "full"
    configs = section.configs if "configs" in section.model_fields_set else {found.config: seen}
    return section.model_copy(update={"configs": configs, "columns": found.columns, "videos": found.folders})


def _others(held: HeldOut) -> list[str]:
    """Of each row that shows another file than its dataset says, one such video. Published frames count as
    its own."""
    found = []
    for row, known in zip(held.rows, held.videos, strict=True):
        folders = held.section.videos if known else {}
        here = [(clip["video"], folders[clip["source"]]) for clip in row["context"] if clip["source"] in folders]
        found += [video for video, folder in here if hash_of(video_file(folder, video)) not in (known or ())][:1]
    return found


def _unreadable(row: dict[str, Any], frames_of: ClipFrames) -> str:
    """Why a video of a row cannot be read; empty where all can. Raises LongVPOError where it has no folder."""
    try:
        for clip in row["context"]:
            frames_of.check([clip])
    except VideoError as error:
        return str(error)
    except LongVPOError as error:  # it names the key of a training
        raise LongVPOError(str(error).replace("data.videos", "triplets.videos")) from None
    return ""


def margins(writer: LocalWriter, held: HeldOut, known: Likelihoods, name: str, reference: bool) -> Margins:
    """How far one model has chosen above rejected: after the `context`, after only the text, and after what the
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
        seen = (held.frames_of, held.section.frame_budget)
        requests = [triplet_request(row, kind, *seen) for row, kind in zip(held.rows, kinds, strict=True)]
        pairs = [
            (request, row[answer])
            for request, row in zip(requests, held.rows, strict=True)
            for answer in ("chosen", "rejected")
        ]
        sums = np.array(known.of(writer, pairs, f"triplets, {name}, {view}"))
        found[view] = sums[::2] - sums[1::2]
    return found


def without_unread(held: HeldOut, found: dict[str, Margins]) -> tuple[HeldOut, dict[str, Margins]]:
    """Rows and margins without the rows of which a video broke off while it was read: they have no margin."""
    numbers = [values for views in found.values() for values in views.values()]
    read = ~np.isnan(np.stack(numbers)).any(axis=0)
    lost = int((~read).sum())
    if not lost:
        return held, found
    say(f"warning: triplets: {lost} rows are left out: {UNREADABLE}")
    kept = np.flatnonzero(read).tolist()
    left = replace(
        held,
        rows=[held.rows[place] for place in kept],
        configs=[held.configs[place] for place in kept],
        videos=[held.videos[place] for place in kept],
        left_out=held.left_out + Counter({UNREADABLE: lost}),
    )
    return left, {name: {view: values[read] for view, values in views.items()} for name, views in found.items()}


def preference(
    held: HeldOut, found: dict[str, Margins], trained: dict[str, set[str] | None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A summary of the margins for all rows, for each config where there are several, and by number of clips.

    Args:
        trained: sha256 of the videos that each adapter was trained on; None where it does not say.

    Returns:
        accuracy, how often chosen is likelier, in percent, a tie being half of one, and margin, the mean, in nats: by
        model, with the video and without it, and group. rewards: the same of each adapter's implicit rewards.
        questions: the number of triplets in each group. trained_on: rows that show a video which an adapter was
        trained on, null where that is not known. And beside that, as of other tables, intervals and against_base.
    """
    groups = _groups(held)
    anchors = [row["context"][row["anchors"][0]] for row in held.rows]
    about = [f"{clip['source']}\n{clip['video']}" for clip in anchors]  # two sources may have one name for a video
    videos = {group: [about[place] for place in places] for group, places in groups.items()}
    rows = {f"{name}{said}": found[name][view] for name in found for said, view in SEEN.items()}
    rewards = {name: views["context"] - found["base"]["reference"] for name, views in found.items() if name != "base"}
    told = {
        "dataset": cut(held.section.dataset),
        "revision": held.section.revision,
        "split": held.section.split,
        "configs": dict(held.section.configs),
        "left_out": dict(held.left_out),
        "trained_on": {name: _shown(held, videos) for name, videos in trained.items()},
        "questions": {group: len(places) for group, places in groups.items()},
        "accuracy": _by_group(rows, groups, _accuracy),
        "margin": _by_group(rows, groups, _mean),
        "rewards": {
            "accuracy": _by_group(rewards, groups, _accuracy),
            "margin": _by_group(rewards, groups, _mean),
        },
    }
    likelier = {name: _marks(values) for name, values in rows.items()}
    evidence = {
        "intervals": {
            name: {group: accuracy_interval(marks[n].tolist(), videos[group]) for group, n in groups.items()}
            for name, marks in likelier.items()
        },
        "against_base": {
            name: {
                group: against(likelier["base"][n].tolist(), likelier[name][n].tolist(), videos[group])
                for group, n in groups.items()
            }
            for name in rewards
        },
    }
    return told, evidence


def _groups(held: HeldOut) -> dict[str, list[int]]:
    """The places of the rows of each group."""
    places = range(len(held.rows))
    groups = {"all": list(places)}
    if len(set(held.configs)) > 1:
        for place in places:
            config = held.configs[place]
            name = f"config {config}" if config == "all" or config.isdecimal() else config  # other groups have those
            groups.setdefault(name, []).append(place)
    clips: dict[int, list[int]] = {}
    for place in places:
        clips.setdefault(len(held.rows[place]["context"]), []).append(place)
    return groups | {str(number): clips[number] for number in sorted(clips)}


def _by_group(
    rows: dict[str, np.ndarray], groups: dict[str, list[int]], measure: Callable[[np.ndarray], float]
) -> dict[str, dict[str, float]]:
    return {
        name: {group: measure(values[places]) for group, places in groups.items()} for name, values in rows.items()
    }


def _accuracy(margins: np.ndarray) -> float:
    return round(100 * float(_marks(margins).mean()), 1)


def _marks(margins: np.ndarray) -> np.ndarray:
    """Of each row 1 where chosen is likelier, 0 where rejected is, a half for a tie."""
    return (margins > 0) + 0.5 * (margins == 0)


def _mean(margins: np.ndarray) -> float:
    return round(float(margins.mean()), 4)


def _shown(held: HeldOut, trained: set[str] | None) -> int | None:
    """How many rows show one of these videos."""
    if trained is None or None in held.videos:
        return None
    return sum(not trained.isdisjoint(videos or ()) for videos in held.videos)
