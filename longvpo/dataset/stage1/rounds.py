"""Stage 1 in rounds of blocks: every clip is an anchor as often as all others, until there are enough triplets."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from longvpo.clips.pool import Pool
from longvpo.clips.shortfall import check_enough
from longvpo.dataset.engine.local import LOCAL, Engine
from longvpo.dataset.material import SMALLEST, BlockPlan, Material, block_size, in_turn
from longvpo.dataset.outcome import Outcome
from longvpo.dataset.session import Session
from longvpo.dataset.stage1.assemble import finish
from longvpo.dataset.stage1.blocks import Block, is_kept, writes_from_all
from longvpo.errors import LongVPOError
from longvpo.models.writer import NoAnswersError
from longvpo.recipe.dataset import DatasetRecipe, Stage1Section

CHOICE = 4  # clips to choose from, for each of the longest context


def run_stage1(
    session: Session,
    section: Stage1Section,
    material: Material,
    blocks: Path,
    outcome: Outcome,
    engine: Engine = LOCAL,
) -> None:
    """Write triplets until the recipe's number is reached or its attempts are used up.

    Clips pass in rounds. In the first, every clip is the anchor of an even share of the drafts. The rest of the
    drafts, and those that replace dropped ones, come in further rounds.
    """
    recipe, from_all = session.recipe, writes_from_all(session.recipe)
    wanted, most = section.triplets, int(section.triplets * section.attempts)
    order = in_turn([source.name for source in material.sources], recipe.sources, recipe.seed)
    bad: set[int] = set()
    new: set[Path] = set()  # files of blocks that no run before has made
    planned = files = 0
    with tqdm(total=wanted, desc="stage 1") as bar:
        while len(outcome.triplets) < wanted and planned < most and len(bad) < len(material.candidates):
            need = min(wanted - len(outcome.triplets), most - planned)
            begin = BlockPlan(blocks / f"{files:05d}.npz", {}, planned)
            plans = plan_round(
                recipe, order, len(material.candidates), wanted, need, len(outcome.pool.clips), bad, begin
            )
            files += len(plans)
            planned += sum(plan.drafts for plan in plans)
            made: list[Block] = []  # without vectors of clips, which the pool of all has
            kept = {plan.path for plan in plans if is_kept(plan.path, session.writer.name)}
            new |= {plan.path for plan in plans} - kept
            for block in _answered(engine.blocks(plans, kept, material, outcome, session), new):
                made.append(block if from_all else replace(block, pool=Pool(block.pool.clips)))
                bar.set_postfix(blocks=f"{len(made)}/{len(plans)}", clips=len(outcome.pool.clips))
                bad.update(block.bad)
                outcome.dropped += block.dropped
                outcome.counts.update(block.counts)
                outcome.pool = outcome.pool.joined(block.pool)
            try:
                check_enough(recipe, len(outcome.pool.clips), outcome.dropped)
            except LongVPOError:
                shutil.rmtree(blocks)  # they say that videos are bad, which may be mended before the next run
                raise
            finish(made, session, outcome)
            bar.update(len(outcome.triplets) - bar.n)


def _answered(blocks: Iterator[Block], new: set[Path]) -> Iterator[Block]:
    """The blocks, as they are made; where no model answered anything in this run, those of it hold nothing."""
    try:
        yield from blocks
    except NoAnswersError:
        for path in new:
            path.unlink(missing_ok=True)
        raise


def plan_round(
    recipe: DatasetRecipe,
    order: Iterator[int],
    total: int,
    wanted: int,
    need: int,
    known: int,
    bad: set[int],
    begin: BlockPlan,
) -> list[BlockPlan]:
    """The blocks of a round.

    Args:
        order: candidates in the order in which they become anchors.
        total: number of candidates; known: number of clips that are there to choose distractors from.
        wanted: triplets of the whole build.
        need: drafts that are wanted now; the round plans as many or fewer.
        bad: candidates that cannot be read.
        begin: file and first draft of the first block.
    """
    longest = max(recipe.context.clips or (recipe.context.frame_budget // SMALLEST,))
    choice = min(total, max(wanted, CHOICE * longest))
    left, size = total - len(bad), block_size(recipe)
    each = max(1, need // left)
    count = min(left, max(math.ceil(need / each), SMALLEST, choice - known))
    if writes_from_all(recipe):  # contexts come from a block, so it is never small
        size = min(size, left, CHOICE * longest)
        count = math.ceil(count / size) * size
    picks = list(islice((pick for pick in order if pick not in bad), count))
    plans: list[BlockPlan] = []
    for part in np.array_split(picks, math.ceil(count / size)):
        drafts: Counter[int] = Counter()
        for pick in part.tolist():
            number = min(each, need)
            drafts[pick] += number
            need -= number
        path = begin.path.with_name(f"{int(begin.path.stem) + len(plans):05d}.npz")
        plans.append(BlockPlan(path, dict(drafts), begin.first + sum(plan.drafts for plan in plans)))
    return plans
