"""Rows are dealt to processes and micro-batches by their cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard
from support.trainers import make_trainer
from support.world import GOLDEN
from torch.utils.data import BatchSampler

from longvpo.clips.stored import load_rows
from longvpo.training.collator import AnchoredCollator
from longvpo.training.dealing import Dealer, dealt

MIX = np.random.default_rng(0).integers(2, 129, 8 * 8 * 50).astype(float).tolist()  # rows of 2 to 128 frames


def golden_frames() -> list[float]:
    """Frames of the rows of a dataset like the demo's, drawn again and again as epochs do."""
    rows = load_rows(str(GOLDEN / "dataset"), "stage1", "train", None)
    frames = [sum(clip["end"] - clip["start"] for clip in context) for context in rows["context"]]
    return np.random.default_rng(0).choice(frames, 8 * 8 * 50).tolist()


def efficiency(costs: Sequence[float], processes: int, batch: int, accumulated: int, deal: bool = True) -> float:
    """Share of the time that processes work, when each waits for the slowest at the end of each step.

    Args:
        costs: of rows in the order in which they are drawn.
        deal: whether they are dealt by their costs.
    """
    step = processes * batch * accumulated
    worked = waited = 0.0
    for first in range(0, len(costs) - step + 1, step):
        some = costs[first : first + step]
        order = dealt(some, processes, batch) if deal else range(step)
        totals = [0.0] * processes
        for number, place in enumerate(order):
            totals[number // batch % processes] += some[place]
        worked += sum(totals)
        waited += processes * max(totals)
    return worked / waited if waited else 1.0


@pytest.mark.parametrize("costs_of", [lambda: MIX, golden_frames], ids=["2 to 128 frames", "demo"])
def test_eight_processes_end_together(costs_of: Callable[[], list[float]]) -> None:
    costs = costs_of()
    before, after = (efficiency(costs, 8, batch=1, accumulated=8, deal=deal) for deal in (False, True))
    print(f"efficiency of 8 processes: {before:.3f} as rows are drawn, {after:.3f} dealt")
    assert after >= 0.95 > before
    assert efficiency(costs, 8, batch=2, accumulated=4) >= 0.95
    # with one row each a step, nothing can be dealt without other rows in it
    assert efficiency(costs, 8, 1, 1) == efficiency(costs, 8, 1, 1, deal=False)


def test_micro_batches_of_one_process_cost_alike() -> None:
    costs = [9.0, 1.0, 8.0, 2.0, 7.0, 3.0]
    order = dealt(costs, processes=1, batch=2)
    assert sorted(order) == list(range(6))
    assert [costs[one] + costs[other] for one, other in zip(order[::2], order[1::2], strict=True)] == [10.0] * 3


@pytest.mark.parametrize("rows", [64, 70])
def test_each_process_gets_its_rows_of_the_same_steps(rows: int) -> None:
    processes, batch, accumulated = 2, 2, 4
    step = processes * batch * accumulated
    costs = MIX[:rows]

    def given(sampler: Dealer, epoch: int) -> list[list[list[int]]]:
        """Micro-batches of each process, as accelerate gives them out."""
        sampler.set_epoch(epoch)
        return [
            list(BatchSamplerShard(BatchSampler(sampler, batch, False), processes, process))
            for process in range(processes)
            if sampler.set_epoch(epoch) is None
        ]

    dealer = Dealer(range(rows), costs, processes, batch, accumulated, seed=3)
    drawn = {}
    for epoch in (0, 1):
        dealer.order.set_epoch(epoch)
        drawn[epoch] = list(dealer.order)
        shares = given(dealer, epoch)
        assert {len(one) for micro_batches in shares for one in micro_batches} == {batch}
        for number in range(rows // step):
            mine = [micro[number * accumulated : (number + 1) * accumulated] for micro in shares]
            together = sorted(row for some in mine for one in some for row in one)
            assert together == sorted(drawn[epoch][number * step : (number + 1) * step]), "the rows that the seed drew"
            totals = [sum(costs[row] for one in some for row in one) for some in mine]
            assert max(totals) < 1.1 * min(totals)
        seen = {row for some in shares for one in some for row in one}
        assert seen == set(range(rows))
    assert drawn[0] != drawn[1]


def test_a_run_that_resumes_in_a_later_epoch_deals_that_epochs_rows(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row | {"prompt": f"{row['prompt']} {copy}"} for copy in range(3) for row in batch]
    section = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "num_train_epochs": 3}
    collate, found = AnchoredCollator.__call__, []

    def noted(self: AnchoredCollator, some: list[dict[str, Any]]) -> dict[str, Any]:
        found.append([row["prompt"] for row in some])
        return collate(self, some)

    monkeypatch.setattr(AnchoredCollator, "__call__", noted)

    def seen(resumed: Path | None, **more: Any) -> list[list[str]]:
        """Prompts of the micro-batches, in turn."""
        found.clear()
        trainer = make_trainer("internvl", rows, world, tmp_path, **section, **more)
        trainer.costs = [float(place % 4) for place in range(len(rows))]
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        return list(found)

    whole = seen(None, save_strategy="steps", save_steps=1)
    second = -(-len(rows) // 4) + 1  # a step of the second epoch
    rest = seen(tmp_path / "run" / f"checkpoint-{second}")
    assert 0 < len(rest) < len(whole) - 2
    assert rest == whole[-len(rest) :]
