"""Several processes on one training: gradients averaged with one all-reduce a step.

`torchrun` (or `ovsam_pipeline/train_ray.py`) sets RANK, WORLD_SIZE and LOCAL_RANK; alone,
everything here does nothing. Processes speak through nccl where each has a GPU, through gloo on
CPUs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

CPU = torch.device("cpu")
# The first process checks the data and validates while the others wait; a death is noticed by
# torchrun or Ray, not by this.
_PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Ranks:
    """This process's number, how many there are, and where it computes."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = CPU

    @property
    def is_first(self) -> bool:
        """Whether this process logs, evaluates and saves."""
        return self.rank == 0


def join_ranks() -> Ranks:
    """Join the group that the environment announces, or return a group of one.

    The device is this process's own GPU, by its number on the machine, or the CPU without one.
    """
    device = CPU
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Ranks(device=device)
    if not dist.is_initialized():
        backend = "gloo" if device == CPU else "nccl"
        dist.init_process_group(backend, timeout=_PATIENCE)
    return Ranks(rank=dist.get_rank(), world_size=dist.get_world_size(), device=device)


def leave_ranks() -> None:
    """Leave the group, if there is one: a process that ends inside it may hang the others."""
    if dist.is_initialized():
        dist.destroy_process_group()


def average_gradients(parameters: Sequence[nn.Parameter], ranks: Ranks) -> None:
    """Replace each gradient by the mean over the processes; a missing one counts as zero.

    One that is missing everywhere stays missing, as in one process: else AdamW would let weights
    decay that nothing trains.
    """
    if ranks.world_size == 1:
        return
    has_one = torch.tensor([float(p.grad is not None) for p in parameters], device=ranks.device)
    dist.all_reduce(has_one)
    parameters = [p for p, count in zip(parameters, has_one.tolist(), strict=True) if count]
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([p.grad.reshape(-1) for p in parameters if p.grad is not None])
    flat = flat.to(ranks.device)  # where the group speaks, also for a stage that stays on the CPU
    dist.all_reduce(flat)
    flat /= ranks.world_size
    start = 0
    for parameter in parameters:
        if parameter.grad is not None:
            part = flat[start : start + parameter.numel()]
            parameter.grad.copy_(part.view(parameter.shape))
            start += parameter.numel()


def average_scalar(value: Tensor, ranks: Ranks) -> Tensor:
    """Return the mean of a number over the processes, without gradient.

    `value`: a scalar; all processes call this equally often.
    """
    if ranks.world_size == 1:
        return value.detach().clone()
    summed = value.detach().clone().to(ranks.device)
    dist.all_reduce(summed)
    return (summed / ranks.world_size).to(value.device)


def sum_numbers(values: Sequence[float], ranks: Ranks) -> list[float]:
    """Return the sums over the processes of some numbers, the same in every process, as float64."""
    if ranks.world_size == 1:
        return list(values)
    summed = torch.tensor(values, dtype=torch.float64, device=ranks.device)
    dist.all_reduce(summed)
    return summed.tolist()


def wait_for_all(ranks: Ranks) -> None:
    """Return when every process has come here."""
    if ranks.world_size > 1:
        dist.barrier()
