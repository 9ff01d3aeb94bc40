"""What a build would do and cost: sources opened, a few videos decoded, a few answers timed; nothing is written."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.clips.archives import archive_sizes
from longvpo.clips.overlap import read_overlap
from longvpo.clips.rows import Dropped
from longvpo.clips.shortfall import check_enough
from longvpo.clips.sources import Candidate, list_candidates, open_clip
from longvpo.clips.tables import count_rows
from longvpo.dataset.costs import NOT_SAMPLED, writing_cost
from longvpo.dataset.material import block_size
from longvpo.dataset.session import STORY_QUESTIONS, question_section, stage2_writer
from longvpo.dataset.stage1.blocks import check_blocks
from longvpo.errors import VideoError
from longvpo.io.names import video_file
from longvpo.io.temporary import own_folder
from longvpo.models.embed import check_encoder
from longvpo.models.named import check_writer, refusals
from longvpo.recipe.dataset import DatasetRecipe, Stage1Section, Stage2Section
from longvpo.recipe.file import recipe_hash
from longvpo.recipe.sections import WriterSection
from longvpo.recipe.sources import SourceSection
from longvpo.video.frames import ClipFrames

ROWS = 200  # rows of a streamed dataset that are looked at
VIDEOS = 8  # videos of a source that are opened
KILOBYTES_A_TRIPLET = 23  # measured: 200 triplets of real footage, with the journal and the blocks
NO_CALLS = {"at_least": 0, "at_most": 0}


def plan_build(recipe: DatasetRecipe) -> dict[str, Any]:
    """The plan of a build, its counts and its cost.

    Raises:
        LongVPOError: a source cannot be read, or the sources have too few clips.
    """
    check_blocks(recipe)
    triplets = sum(stage.triplets for stage in (recipe.stage1, recipe.stage2) if stage)
    megabytes = triplets * KILOBYTES_A_TRIPLET / 1e3
    stages = {
        **(_stage1(recipe, recipe.stage1) if recipe.stage1 else {}),
        **(_stage2(recipe, recipe.stage2) if recipe.stage2 else {}),
    }
    return {
        "recipe": recipe.name,
        "hash": recipe_hash(recipe),
        "megabytes_to_write": round(megabytes, 1),
        "gigabytes_on_disk": _disk([*stages.get("sources", ()), *stages.get("long_videos", ())], megabytes / 1e3),
        "frame_budget": recipe.context.frame_budget,
        "clips_a_block": block_size(recipe),
        "writer": _name(recipe.writer),
        "judge": _name(recipe.judge) if recipe.judge else "none",
        **stages,
        "refused": _refused(recipe),
    }


def _disk(sources: list[dict[str, Any]], written: float) -> dict[str, Any]:
    """Gigabytes that the build and its downloads take at most; only the wanted videos of archives stay."""
    fetched = [one.get("gigabytes_of_archives", one.get("gigabytes_to_fetch")) for one in sources]
    unknown = [one["name"] for one, size in zip(sources, fetched, strict=True) if size is None]
    total = {"at_most": round(written + sum(size for size in fetched if size is not None), 3)}
    return total | ({"not_known": unknown} if unknown else {})


def _refused(recipe: DatasetRecipe) -> list[str]:
    """What the build would refuse of its models and its list of overlaps."""
    two = recipe.stage2
    sections = [(recipe.writer if recipe.stage1 else stage2_writer(recipe), True), (recipe.judge, False)]
    sections += [(two.question_writer, False), (two.writer, True)] if two else []
    checks = [
        (section.model, partial(check_writer, section, sees))
        for section, sees in sections
        if section and section.model != STORY_QUESTIONS and not section.endpoint
    ]
    filters = recipe.filters
    checks += [(name, partial(check_encoder, name)) for name in (filters.visual_model, filters.text_model)]
    return refusals([*checks, ("", partial(read_overlap, filters.overlap))])


def _name(section: WriterSection) -> str:
    return f"{section.model}@{section.revision}" + (f"+{section.adapter}" if section.adapter else "")


def _stage1(recipe: DatasetRecipe, section: Stage1Section) -> dict[str, Any]:
    most = int(section.triplets * section.attempts)
    samples = sample(recipe, recipe.sources, section.triplets)
    clips = [frames for one in samples for frames in one.clips]
    counts = [one.values["rows"] for one in samples]
    rows = sum(counts) if all(isinstance(count, int) for count in counts) else None
    if rows is not None:
        check_enough(recipe, rows, [item for one in samples for item in one.dropped])
    frames = round(float(np.mean([len(item) for item in clips])), 1) if clips else NOT_SAMPLED
    calls = {"at_least": 2 * section.triplets, "at_most": 2 * most}
    each = 2 if recipe.filters.judge_rejected else 1  # on the question, and on the rejected answer
    captions = any(source.captions == "writer" for source in recipe.sources)
    used = section.triplets if rows is None else min(rows, section.triplets)
    return {
        "sources": [one.values for one in samples],
        "triplets": section.triplets,
        "clips_used": used,
        "clips_a_context": sorted(set(recipe.context.clips or (2, recipe.context.frame_budget))),
        "frames_a_clip": frames,
        "writer_calls": calls | ({"captions": used} if captions else {}),
        "judge_calls": {"at_least": each * section.triplets, "at_most": each * most} if recipe.judge else NO_CALLS,
        **writing_cost(recipe, section, clips, [second for one in samples for second in one.seconds]),
    }


def _stage2(recipe: DatasetRecipe, section: Stage2Section) -> dict[str, Any]:
    """Long videos are opened, not cut: how many scenes they have is not known, but between which bounds it lies."""
    most = int(section.triplets * section.attempts)
    samples = sample(recipe, section.sources, section.triplets)
    for one, source in zip(samples, section.sources, strict=True):
        if one.seconds and source.scenes is not None:
            mean = float(np.mean(one.seconds))
            one.values["scenes_a_video"] = {
                "at_least": max(math.floor(mean / source.scenes.max_seconds), 1),
                "at_most": math.ceil(mean / source.scenes.min_seconds),
            }
    return {
        "long_videos": [one.values for one in samples],
        "stage2_triplets": section.triplets,
        "stage2_writer": _name(stage2_writer(recipe)),
        "stage2_question_writer": _name(question_section(recipe, section)),
        "stage2_tasks": sorted(name for name, weight in section.tasks.items() if weight),
        # question, chosen and rejected, and the checks by asking with one scene at a time
        "stage2_calls": {"at_least": 3 * section.triplets, "at_most": f"{3 * most} and a few a question to check it"},
    }


@dataclass
class Sample:
    """What the plan says of a source, and what its costs are computed from."""

    values: dict[str, Any]
    dropped: list[Dropped]
    clips: list[np.ndarray] = field(default_factory=list)  # frames of each clip
    seconds: list[float] = field(default_factory=list)  # length of each clip


def sample(recipe: DatasetRecipe, sources: Sequence[SourceSection], wanted: int) -> list[Sample]:
    with own_folder("plan") as folder:
        return [sample_source(source, recipe, wanted, folder) for source in sources]


def sample_source(source: SourceSection, recipe: DatasetRecipe, wanted: int, folder: Path) -> Sample:
    """A source's columns checked, its rows counted, and a sample of its videos opened and decoded.

    Args:
        wanted: clips, if the source has so many.
        folder: what must be fetched goes there.
    """
    streamed = source.dataset is not None
    here = source.model_copy(update={"folder": folder / source.name}) if streamed else source
    candidates, dropped = list_candidates(here, recipe.seed, limit=ROWS if streamed else None)
    values: dict[str, Any] = {"name": source.name, "rows": len(candidates), "rows_dropped": len(dropped)}
    found = Sample(values, dropped)
    if dropped:
        values["first_dropped"] = dropped[0].reason
    if streamed:
        all_read = len(candidates) + len(dropped) < ROWS
        values["rows"] = len(candidates) if all_read else count_rows(source) or f"at least {len(candidates)}"
    if source.clips is not None and isinstance(values["rows"], int):
        values["rows"] = min(values["rows"], source.clips)
    if source.tars is not None:
        values["sampled"] = "none: the videos are in archives"
        values["gigabytes_of_archives"] = round(sum(archive_sizes(source).values()) / 1e9, 3)
        return found
    frames_of = ClipFrames(recipe.video, {source.name: here.folder})
    overlap = read_overlap(recipe.filters.overlap)
    seconds, megabytes, bad = [], [], []
    for candidate in _sample(candidates):
        started = time.monotonic()
        try:
            clip = open_clip(here, candidate, overlap)
            fetched = time.monotonic()
            found.clips.append(frames_of(clip.reference))
            found.seconds.append(clip.end - clip.start)
        except VideoError as error:
            bad.append(str(error))
            continue
        seconds.append(time.monotonic() - (fetched if streamed else started))
        megabytes.append(video_file(here.folder, candidate.video).stat().st_size / 1e6)
    values["sampled"] = {"videos": len(seconds) + len(bad), "unreadable": bad}
    if seconds:
        values["seconds_to_decode_a_clip"] = round(float(np.mean(seconds)), 3)
        used = min(values["rows"], wanted) if isinstance(values["rows"], int) else wanted
        values["hours_to_decode"] = round(float(np.mean(seconds)) * used / recipe.video.workers / 3600, 3)
        values["gigabytes_to_fetch"] = round(float(np.mean(megabytes)) * used / 1e3, 3) if streamed else 0.0
    return found


def _sample(candidates: list[Candidate]) -> list[Candidate]:
    places = np.linspace(0, len(candidates) - 1, min(VIDEOS, len(candidates))).astype(int)
    return [candidates[place] for place in places]
