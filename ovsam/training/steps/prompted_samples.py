"""Training images with their prompts, as every step that prompts objects draws them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ovsam.errors import ConfigError
from ovsam.training.data.sample_reader import SampleReader
from ovsam.training.loop.settings import FREE
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.samples import AugmentSettings, LoadSample, TrainingSample, draw_sample
from ovsam.training.steps.proposals import NUM_PROPOSALS, Proposals, sample_proposals


@dataclass(frozen=True, kw_only=True)
class PromptSettings:
    """What is drawn for a step; the steps' own settings extend it.

    Attributes:
        reader_threads: Threads that read and augment ahead of the step; 0: the step reads itself.
    """

    images_per_step: int = 16
    proposals: int = NUM_PROPOSALS
    box_jitter: float = 0.0
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    reader_threads: int = field(default=0, metadata=FREE)
    read_ahead: int = field(default=32, metadata=FREE)

    def __post_init__(self) -> None:
        """Refuse a negative number of threads."""
        if self.reader_threads < 0 or self.read_ahead < 1:
            raise ConfigError(
                "expected reader_threads >= 0 and read_ahead >= 1, "
                f"got {self.reader_threads} and {self.read_ahead}"
            )


class PromptedSamples:
    """Draws this process's part of each step's batch; with threads, ahead of the step."""

    def __init__(self, load_sample: LoadSample, input_size: int, settings: PromptSettings) -> None:
        """Start nothing yet."""
        self.load_sample = load_sample
        self.input_size = input_size
        self.settings = settings
        self._reader = SampleReader(
            self._prepare, settings.images_per_step, settings.reader_threads, settings.read_ahead
        )

    def read(self, random: StepRandom) -> tuple[list[TrainingSample], list[Proposals]]:
        """Return the step's images and their prompts."""
        drawn = self._reader.read(random)
        return [sample for sample, _ in drawn], [chosen for _, chosen in drawn]

    def _prepare(self, random: np.random.Generator) -> tuple[TrainingSample, Proposals]:
        settings = self.settings
        sample = draw_sample(self.load_sample, self.input_size, settings.augment, random)
        return sample, sample_proposals(sample, random, settings.proposals, settings.box_jitter)
