"""Stage 2 in rounds: long videos are cut, captioned and asked about, each as often as all others.

Only the cuts are kept here, and the answers in the journal. A build that was killed repeats the same steps and asks
for what is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from longvpo.clips.long_videos import LongVideo, open_long_video
from longvpo.clips.overlap import refusal_of
from longvpo.clips.rows import Dropped, Refusal, unanswered
from longvpo.dataset.engine.local import LOCAL, Engine
from longvpo.dataset.material import block_size, in_turn
from longvpo.dataset.outcome import Outcome
from longvpo.dataset.session import Session
from longvpo.dataset.stage2.captions import Story, caption
from longvpo.dataset.stage2.write import Reasoning, parts, write
from longvpo.errors import LongVPOError, VideoError
from longvpo.recipe.dataset import Stage2Section


def run_stage2(
    session: Session,
    section: Stage2Section,
    videos: list[LongVideo],
    kept: Path,
    overlap: frozenset[str],
    outcome: Outcome,
    engine: Engine = LOCAL,
) -> None:
    """Write triplets until the recipe's number is reached or its attempts are used up.

    Args:
        kept: folder of the cuts.

    Raises:
        LongVPOError: no video can be used.
    """
    wanted, most = section.triplets, int(section.triplets * section.attempts)
    order = in_turn([video.source for video in videos], section.sources, [session.recipe.seed, 2])
    bad: set[int] = set()
    planned = 0
    with tqdm(total=wanted, desc="stage 2") as bar:
        while len(outcome.triplets) < wanted and planned < most:
            need = min(wanted - len(outcome.triplets), most - planned)
            picks = list(islice((pick for pick in order if pick not in bad), -(-need // section.questions)))
            picks = list(dict.fromkeys(picks))  # each once a round
            new = [pick for pick in picks if pick not in outcome.videos]
            some = {pick: videos[pick] for pick in new}
            bad |= cut_and_caption(session, section, some, kept, overlap, outcome, engine)
            if len(bad) == len(videos):
                raise LongVPOError(_none_left(outcome.dropped))
            drafts = plan_round(session, section, [pick for pick in picks if pick not in bad], need, planned, outcome)
            planned += len(drafts)
            size = block_size(session.recipe)
            for start in range(0, len(drafts), size):
                part = drafts[start : start + size]
                write(part, outcome.asked, session, section, outcome.counts)
                for draft in part:
                    draft.refusal = draft.refusal or outcome.out_of_balance(draft, session.recipe.filters)
                    if draft.refusal:
                        outcome.dropped.append(draft.dropped(draft.refusal, draft.part, draft.relevant))
                    else:
                        outcome.triplets.append(draft.reasoned(session))
                bar.update(len(outcome.triplets) - bar.n)


def cut_and_caption(
    session: Session,
    section: Stage2Section,
    videos: dict[int, LongVideo],
    kept: Path,
    overlap: frozenset[str],
    outcome: Outcome,
    engine: Engine,
) -> set[int]:
    """Cut and caption some videos; returns those that cannot be used, which are dropped with their reasons."""
    bad = set()
    together = block_size(session.recipe)
    stories: list[Story] = []
    cut = engine.over(partial(begin, section, kept, overlap), videos.values(), session.recipe.video.workers)

    def begun() -> Iterator[Story]:
        for story in cut:
            stories.append(story)
            yield story

    with closing(cut):
        caption(begun(), section.caption_tokens, session, together, outcome.counts, engine)
    for number, story in zip(videos, stories, strict=True):
        if story.refusal:
            bad.add(number)
            named = f"{videos[number].source}/{story.name}"
            outcome.dropped.append(story.refusal.dropped(named))
        else:
            outcome.videos[number] = parts(story.scenes, section)
    return bad


def begin(section: Stage2Section, kept: Path, overlap: frozenset[str], video: LongVideo) -> Story:
    """A long video, cut into clips, or refused."""
    source = next(source for source in section.sources if source.name == video.source)
    story = Story(video.name, [])
    try:
        story.clips = open_long_video(source, video, kept, overlap)
        if len(story.clips) < section.min_scenes:
            reason = f"{video.name} has fewer scenes than stage2.min_scenes: {len(story.clips)}"
            story.refusal = Refusal("scenes", reason, len(story.clips))
    except VideoError as error:
        story.refusal = refusal_of(error)
    return story


def plan_round(
    session: Session, section: Stage2Section, picks: list[int], need: int, planned: int, outcome: Outcome
) -> list[Reasoning]:
    """The drafts of a round, at most `need`: one about each part of the videos, then a second one, and so on."""
    asked = [part for pick in picks for part in outcome.videos[pick]]
    if not asked:
        return []
    each = [len(some) for some in np.array_split(range(min(need, len(asked) * section.questions)), len(asked))]
    tasks = _tasks(section, outcome)
    drafts: list[Reasoning] = []
    for part, count in zip(asked, each, strict=True):
        for _ in range(count):
            number = planned + len(drafts)
            drafts.append(Reasoning(number, session.recipe.seed + number, part, next(tasks)))
            outcome.tried[drafts[-1].task] += 1
    return drafts


def _tasks(section: Stage2Section, outcome: Outcome) -> Iterator[str]:
    """Tasks, always the one that has the fewest triplets for its weight: what is dropped is asked for again."""
    names = [name for name, weight in section.tasks.items() if weight > 0]
    weights = np.array([section.tasks[name] for name in names])
    have = Counter(triplet.task for triplet in outcome.triplets)
    numbers = np.array([have[name] for name in names], float)
    while True:
        task = int(np.argmin((numbers + 1) / weights))
        numbers[task] += 1
        yield names[task]


def _none_left(dropped: list[Dropped]) -> str:
    silent = unanswered(dropped)
    first = min(dropped, key=lambda item: item.id)
    what = silent or f"the first: {first.reason}"
    advice = "Mend that, and run the same command again" if silent else "Add videos, or lower stage2.min_scenes"
    return f"none of the {len(dropped)} long videos of stage2.sources can be used; {what}. {advice}"
