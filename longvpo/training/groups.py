"""Groups of processes that compute each row together (`sequence_parallel`), and what they tell each other.

Processes 0 to N - 1 are the first group of N, and so on. A group is given the rows that one process would be given.
Every process of a group has the whole loss of its rows, but gradients only of its part of the tokens. DDP takes the
mean of gradients over all processes. `total` makes them N times as large, so the result is the sum over a group, and
the mean over groups.

The rule: only this module speaks to the other processes of a group.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import recursively_apply
from torch import distributed
from trl import DPOConfig

from longvpo.errors import LongVPOError


class Group(NamedTuple):
    """The processes that compute the same rows."""

    size: int
    rank: int  # place of this process among them
    handle: Any  # torch's process group


def group_of(arguments: DPOConfig, size: int) -> Group | None:
    """The group of this process; None where each process computes rows by itself. All processes must call it."""
    if size == 1:
        return None
    handle, _ = distributed.new_subgroups(size, timeout=timedelta(seconds=arguments.ddp_timeout))
    return Group(size, distributed.get_rank(handle), handle)


class GroupAccelerator(Accelerator):
    """accelerate's, which takes a group for one process: it gives each group rows, and gathers from each once."""

    group_size: int

    @property
    def num_processes(self) -> int:
        return int(super().num_processes) // self.group_size

    @property
    def process_index(self) -> int:
        return int(super().process_index) // self.group_size

    def gather(self, tensor: Any) -> Any:
        def first_of_each(values: torch.Tensor) -> torch.Tensor:
            return values.unflatten(0, (self.num_processes, self.group_size, -1))[:, 0].flatten(0, 1)

        return recursively_apply(first_of_each, super().gather(tensor))


def grouped(accelerator: Accelerator, size: int) -> None:
    """Let an accelerator take each group of `size` processes for one."""
    accelerator.__class__ = GroupAccelerator
    accelerator.group_size = size


def swap(parts: torch.Tensor, group: Group) -> torch.Tensor:
    """Part n of (N, ...) goes to process n of the group; the result has, in its place, what that process sent."""
    found: torch.Tensor = _Swap.apply(parts, group)
    return found


def total(values: torch.Tensor, group: Group) -> torch.Tensor:
    """The sum over the processes of a group, in each; its gradient, which all have, comes back times N."""
    found: torch.Tensor = _Total.apply(values, group)
    return found


def check_same(ids: torch.Tensor, group: Group) -> None:
    """Raises LongVPOError where the processes of a group were given different rows (1, tokens)."""
    told = torch.stack([torch.tensor(ids.shape[1], device=ids.device), (ids * _places(ids)).sum()])
    most = _in_reach(torch.cat([told, -told]), group)
    distributed.all_reduce(most, distributed.ReduceOp.MAX, group=group.handle)
    if not torch.equal(most[:2], -most[2:]):
        raise LongVPOError(
            f"sequence_parallel: the {group.size} processes that compute a row together were given different rows. "
            "Give all machines the same dataset and videos, and the same versions of longvpo and its dependencies"
        )


def _places(ids: torch.Tensor) -> torch.Tensor:
    return torch.arange(1, ids.shape[1] + 1, device=ids.device)


def _in_reach(values: torch.Tensor, group: Group) -> torch.Tensor:
    """The values where the group's backend takes them: gloo exchanges only what the CPU has."""
    return values.cpu() if distributed.get_backend(group.handle) == "gloo" else values


class _Swap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parts: torch.Tensor, group: Group) -> torch.Tensor:
        ctx.group = group
        sent = _in_reach(parts.contiguous(), group)
        got = torch.empty_like(sent)
        distributed.all_to_all_single(got, sent, group=group.handle)
        return got.to(parts.device)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return swap(gradient, ctx.group), None


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, group: Group) -> torch.Tensor:
        ctx.size = group.size
        summed = _in_reach(values.contiguous(), group).clone()
        distributed.all_reduce(summed, group=group.handle)
        return summed.to(values.device)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient * ctx.size, None
