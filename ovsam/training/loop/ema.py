"""A moving average of the weights that train, in float32: smoother than the weights themselves.

It is what is evaluated and what a run leaves behind; the gradients never see it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """average = decay * average + (1 - decay) * weight, after every step.

    Early averages would be of the first, random weights: up to some tens of steps the decay is
    lowered to (1 + steps) / (10 + steps).
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        """Start at the present weights.

        `modules`: parts by name; only what trains is averaged. `decay`: in (0, 1).
        """
        self.decay = decay
        self._weights = {
            f"{name}.{key}": parameter
            for name, module in modules.items()
            for key, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self.tensors: dict[str, Tensor] = {
            name: weight.detach().float().clone() for name, weight in self._weights.items()
        }

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take in the weights after the step that made it `steps`."""
        share = 1 - min(self.decay, (1 + steps) / (10 + steps))
        for name, weight in self._weights.items():
            self.tensors[name].lerp_(weight.float(), share)

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over stored averages."""
        for name, average in self.tensors.items():
            average.copy_(tensors[name])

    @torch.no_grad()
    def put_in(self) -> None:
        """Make the averages the weights, for good."""
        for name, weight in self._weights.items():
            weight.copy_(self.tensors[name])

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the modules have the averages while the block runs."""
        weights = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self.put_in()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in self._weights.items():
                    weight.copy_(weights[name])
