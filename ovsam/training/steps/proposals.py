"""Which objects of a training image are prompted, and how: half by box, half by a point.

Source: paper appendix A: 40 proposals an image, repeated to fill, shuffled; the first half prompted
by box, the rest by a random point of the mask. Objects without masks are prompted by box alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ovsam.errors import ConfigError
from ovsam.prompt_encoder import PromptEncoder
from ovsam.training.data.sample_reader import SampleReader
from ovsam.training.loop.settings import FREE
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.samples import AugmentSettings, LoadSample, TrainingSample, draw_sample

NUM_PROPOSALS = 40


@dataclass(frozen=True)
class Proposals:
    """Prompts of one training image, in pixels of the network input.

    Attributes:
        object_index: (N,) int64 rows of the sample's objects; box prompts first.
        boxes_xyxy: (M, 4) float32, the prompts of the first M proposals.
        points_xy: (N - M, 1, 2) float32, the prompts of the others.
    """

    object_index: np.ndarray
    boxes_xyxy: np.ndarray
    points_xy: np.ndarray

    def encode(self, encoder: PromptEncoder) -> Tensor:
        """Return the prompts' tokens, (N, 2, C) float32.

        A box is two tokens, a point and its padding too: one call decodes both kinds.
        """
        device = encoder.no_mask_embed.weight.device
        boxes = torch.from_numpy(self.boxes_xyxy).to(device)
        points = torch.from_numpy(self.points_xy).to(device)
        labels = torch.ones(points.shape[:2], dtype=torch.int64, device=device)
        return torch.cat([encoder(boxes, None, None), encoder(None, points, labels)])


def _random_point(mask: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """The centre of a random pixel of a mask, x then y, in SAM's corner-based coordinates."""
    cells = np.flatnonzero(mask)
    cell = int(cells[random.integers(len(cells))])
    return float(cell % mask.shape[1]), float(cell // mask.shape[1])


def sample_proposals(
    sample: TrainingSample,
    random: np.random.Generator,
    count: int = NUM_PROPOSALS,
    box_jitter: float = 0.0,
) -> Proposals:
    """Choose prompts for an image.

    `sample`: its objects; without any, no proposals are made. `count`: n, how many proposals;
    objects repeat to fill it. `box_jitter`: standard deviation of box sides, as a part of the box's
    size (0: exact boxes).
    """
    total = len(sample)
    if total == 0:
        nothing = np.zeros(0, np.int64)
        return Proposals(nothing, np.zeros((0, 4), np.float32), np.zeros((0, 1, 2), np.float32))
    order = np.concatenate([random.permutation(total) for _ in range(-(-count // total))])[:count]
    order = random.permutation(order)
    masks = sample.masks
    num_boxes = count if masks is None else (count + 1) // 2
    boxes = sample.boxes_xyxy()[order[:num_boxes]]
    if box_jitter:
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], (1, 2))
        noise = np.clip(random.normal(0, box_jitter, boxes.shape), -0.2, 0.2)
        boxes = (boxes + sides * noise).astype(np.float32)
    points = [] if masks is None else [_random_point(masks[i], random) for i in order[num_boxes:]]
    return Proposals(
        object_index=order,
        boxes_xyxy=boxes,
        points_xy=np.array(points, np.float32).reshape(-1, 1, 2),
    )


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
