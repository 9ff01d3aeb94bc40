"""Who computes which row of a step: processes that work together should end together.

The rule: a step keeps the rows that the seed drew, and its loss. Each process and each micro-batch has as many rows as
before. Only which of them is dealt by what they cost. (transformers' `batch_rebalance` gives micro-batches other
numbers of rows: DPO's loss, a mean over each, would then weigh rows unequally.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import Sampler

from longvpo.clips.triplets import places_of
from longvpo.models.memory import skeleton_of
from longvpo.recipe.training import TrainRecipe
from longvpo.training.arithmetic import Arithmetic
from longvpo.video.frames import ClipFrames

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import DPOConfig

    from longvpo.models.counting import RowLength


class Dealer(Sampler[int]):
    """The rows of each epoch as accelerate gives them out: batch by batch, one to each process in turn.

    Args:
        rows: the dataset.
        costs: what each row costs, in any unit.
        processes: how many there are.
        batch: rows a micro-batch.
        accumulated: micro-batches a step, of one process.
        seed: seed of the order; None: torch's own seed, as in accelerate's sampler.
    """

    def __init__(
        self, rows: Any, costs: Sequence[float], processes: int, batch: int, accumulated: int, seed: int | None = None
    ) -> None:
        self.order = SeedableRandomSampler(rows, data_seed=seed)
        self.costs, self.processes, self.batch = costs, processes, batch
        self.step = processes * batch * accumulated

    def set_epoch(self, epoch: int) -> None:
        self.order.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[int]:
        drawn = iter(self.order)
        while step := list(islice(drawn, self.step)):
            # the last step of an epoch may be short: accelerate fills it up from the first rows, as they were drawn
            whole = len(step) % (self.processes * self.batch) == 0
            yield from (
                (step[place] for place in dealt([self.costs[row] for row in step], self.processes, self.batch))
                if whole
                else step
            )


def dealt(costs: Sequence[float], processes: int, batch: int) -> list[int]:
    """Places of the rows of one step, in the order in which they are given out.

    Every process gets rows of about the same total cost, and so does each of its micro-batches. The most expensive
    micro-batches are computed first, at the same time in all processes.

    Args:
        costs: cost of each row of the step; their number is a multiple of `processes` times `batch`.
        processes: micro-batch k goes to process k modulo `processes`.
        batch: rows a micro-batch.
    """
    accumulated = len(costs) // processes // batch
    shares = [
        sorted(_alike(share, costs, accumulated), key=lambda places: -sum(costs[place] for place in places))
        for share in _alike(range(len(costs)), costs, processes)
    ]
    return [place for turn in zip(*shares, strict=True) for micro_batch in turn for place in micro_batch]


def _alike(places: Sequence[int], costs: Sequence[float], parts: int) -> list[list[int]]:
    """Parts of as many places each, of about the same cost: the dearest place goes first, to the cheapest part."""
    found: list[list[int]] = [[] for _ in range(parts)]
    sums = [0.0] * parts
    for place in sorted(places, key=lambda place: (-costs[place], place)):
        open_parts = (part for part in range(parts) if len(found[part]) < len(places) // parts)
        least = min(open_parts, key=lambda part: (sums[part], part))
        found[least].append(place)
        sums[least] += costs[place]
    return found


def row_costs(
    recipe: TrainRecipe, rows: Dataset, lengths: Sequence[RowLength], arguments: DPOConfig, frames_of: ClipFrames
) -> list[float] | None:
    """What each row costs, in floating point operations; None where every process has one row at a time to itself."""
    if arguments.world_size // recipe.sequence_parallel == arguments.per_device_train_batch_size == 1:
        return None
    cost = Arithmetic(skeleton_of(recipe.base))
    scored = recipe.reference_log_probs != "each_step"
    return [
        cost.step(length, 0 if scored else reference_tokens(row, length, frames_of, recipe.frame_budget))
        for row, length in zip(rows.select_columns(["context", "anchors", "reference"]), lengths, strict=True)
    ]


def reference_tokens(row: Mapping[str, Any], length: RowLength, frames_of: ClipFrames, budget: int | None) -> int:
    """Tokens of what the reference sees of a triplet, with both answers: as many a frame as in the whole context."""
    if row["reference"] == "full":
        return length.tokens
    seen = sum(frames_of.count(row["context"][place]) for place in places_of(row, row["reference"]))
    frames = seen if budget is None else min(seen, budget)
    return length.tokens - length.video + round(length.video * min(frames / length.frames, 1.0))
