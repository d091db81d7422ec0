"""Random generators of one training step, which depend on nothing but the run's seed and the step.

So a resumed run draws what an unbroken one would have drawn, and several processes with parts of a
batch draw what one process with the whole batch draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ovsam.training.loop.distributed import Ranks

_SHARED, _SAMPLES = 0, 1


@dataclass(frozen=True)
class StepRandom:
    """What may be random in a step.

    Attributes:
        step: number of the step, from 0.
        ranks: which process this is, of how many.
        part: with accumulation, number of this micro-batch in the step, from 0.
        num_parts: micro-batches a step; together they draw what one batch of all would.
    """

    seed: int
    step: int
    ranks: Ranks = field(default_factory=Ranks)
    part: int = 0
    num_parts: int = 1

    def following(self) -> StepRandom:
        """Return that of the next micro-batch, in this step or in the next one."""
        if self.part + 1 < self.num_parts:
            return replace(self, part=self.part + 1)
        return replace(self, step=self.step + 1, part=0)

    @property
    def _place(self) -> int:
        """This micro-batch's number among all of the step, in all processes."""
        return self.ranks.rank * self.num_parts + self.part

    def shared(self) -> np.random.Generator:
        """Return a generator of this process, for what does not belong to a sample."""
        return np.random.default_rng([self.seed, self.step, _SHARED, self._place])

    def of_sample(self, index: int, count: int) -> np.random.Generator:
        """Return the generator of one sample.

        `index`: of the sample in this process's part of the batch. `count`: length of that part,
        the same in every process.
        """
        place = self._place * count + index
        return np.random.default_rng([self.seed, self.step, _SAMPLES, place])

    def torch_of_sample(
        self, index: int, count: int, device: torch.device | None = None
    ) -> torch.Generator:
        """Return torch's generator of one sample, for what is drawn on a device."""
        seed = int(self.of_sample(index, count).integers(1 << 62))
        return torch.Generator(device or "cpu").manual_seed(seed)

    def seed_torch(self) -> None:
        """Set torch's own generators, for what draws from them (dropout, torchvision)."""
        torch.manual_seed(int(self.shared().integers(1 << 62)))
