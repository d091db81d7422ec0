"""Classes whose names mean nothing to CLIP: their embeddings from the objects that show them.

A class is the mean of what frozen CLIP sees in its objects, so that it lies where CLIP's text
embedding of a good name would lie: the label head and the frozen-CLIP score both compare with it.
Not in the paper, whose classes all have names.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovsam.errors import ConfigError, ImageError
from ovsam.examples.embedding import draw_mask_logits, embed_by_clip
from ovsam.model import OVSAM
from ovsam.training.data.mixed import OpenedData
from ovsam.training.samples import AugmentSettings, TrainingSample, augment_sample

logger = logging.getLogger(__name__)

_AS_IT_IS = AugmentSettings(min_ratio=1.0, max_ratio=1.0, flip=0.0)


@torch.no_grad()
def embed_examples(model: OVSAM, opened: OpenedData, examples: int, seed: int) -> Tensor:
    """Return embeddings of the training classes, (K, 1, D) float32 unit vectors on the CPU.

    `opened`: the training data, whose images are gone through in random order until every class has
    enough. `examples`: objects to take of a class, where it has so many.
    """
    size, classes = model.config.input_size, opened.classes.classes
    sums = torch.zeros(len(classes), model.config.clip.embed_dim)
    counts = torch.zeros(len(classes), dtype=torch.int64)
    random = np.random.default_rng([seed, len(classes)])
    places = [(part, i) for part in opened.parts for i in range(len(part.source))]
    for place in random.permutation(len(places)).tolist():
        part, index = places[place]
        try:
            sample = part.source.load(index, part.match.labels)
        except ImageError as error:  # MixedData counts them against the budget
            logger.warning("skipped an image: %s", error)
            continue
        sample = augment_sample(sample, size, _AS_IT_IS, random)
        labels = torch.from_numpy(sample.labels)
        wanted = (labels >= 0) & (counts[labels.clamp(min=0)] < examples)
        if wanted.any():
            found = _embed_objects(model, sample, torch.nonzero(wanted)[:, 0])
            sums.index_add_(0, labels[wanted], found)
            counts += torch.bincount(labels[wanted], minlength=len(counts))
        if (counts >= examples).all():
            break
    _check_counts(counts, [item.name for item in classes])
    return F.normalize(sums, dim=1)[:, None]


def _embed_objects(model: OVSAM, sample: TrainingSample, rows: Tensor) -> Tensor:
    """Return what frozen CLIP sees in some objects, (M, D) float32 unit vectors."""
    size = model.config.input_size
    size_hw = sample.pixels.shape[:2]
    chosen = rows.tolist()
    boxes = torch.from_numpy(sample.boxes_xyxy()[chosen])
    logits = []
    for row, box in zip(chosen, boxes.tolist(), strict=True):
        if sample.masks is not None:
            mask = sample.masks[row]
        else:
            x1, y1, x2, y2 = (round(side) for side in box)
            mask = np.zeros(size_hw, np.uint8)
            mask[y1:y2, x1:x2] = 1
        logits.append(draw_mask_logits(mask, size_hw, size))
    return embed_by_clip(model, sample.pixels, boxes.numpy(), torch.stack(logits).numpy())


def _check_counts(counts: Tensor, names: Sequence[str]) -> None:
    empty = [names[index] for index in torch.nonzero(counts == 0)[:, 0].tolist()]
    if empty:
        shown = ", ".join(repr(name) for name in empty[:5])
        raise ConfigError(
            f"class_embeddings: examples needs an object of every class, got none of {shown}"
            f"{f' and {len(empty) - 5} more' if len(empty) > 5 else ''}; remove these classes "
            "(with vocabulary: data, these categories of the file), or add examples"
        )
