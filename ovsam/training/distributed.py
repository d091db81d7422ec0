"""Several processes on one training: gradients averaged with one all-reduce a step.

Started by `torchrun` (it sets RANK and WORLD_SIZE); alone, everything here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn


@dataclass(frozen=True)
class Ranks:
    """This process's number and how many there are."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process logs, evaluates and saves."""
        return self.rank == 0


def join_ranks() -> Ranks:
    """Join the group that `torchrun` announced, or return a group of one."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        return Ranks()
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    return Ranks(rank=dist.get_rank(), world_size=world_size)


def average_gradients(parameters: Sequence[nn.Parameter], ranks: Ranks) -> None:
    """Replace each gradient by the mean over the processes; a missing one counts as zero."""
    if ranks.world_size == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([p.grad.reshape(-1) for p in parameters if p.grad is not None])
    dist.all_reduce(flat)
    flat /= ranks.world_size
    start = 0
    for parameter in parameters:
        if parameter.grad is not None:
            part = flat[start : start + parameter.numel()]
            parameter.grad.copy_(part.view(parameter.shape))
            start += parameter.numel()


def share_seconds(seconds: float, ranks: Ranks) -> float:
    """Return the first process's clock, so that all follow one schedule."""
    if ranks.world_size == 1:
        return seconds
    value = torch.tensor([seconds], dtype=torch.float64)
    dist.broadcast(value, 0)
    return float(value.item())
