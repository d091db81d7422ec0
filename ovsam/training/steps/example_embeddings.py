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
from ovsam.model import OVSAM
from ovsam.training.data.mixed import OpenedData
from ovsam.training.samples import AugmentSettings, TrainingSample, augment_sample, stack_pixels

logger = logging.getLogger(__name__)

_AS_IT_IS = AugmentSettings(min_ratio=1.0, max_ratio=1.0, flip=0.0)
_SURE = 10.0


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
    size, device = model.config.input_size, model.device
    stage4 = model.image_encoder(stack_pixels([sample], size, device))[3]
    boxes = torch.from_numpy(sample.boxes_xyxy()).to(device)[rows.to(device)]
    masks = torch.zeros(len(rows), size, size)
    height, width = sample.pixels.shape[:2]
    for mask, row, box in zip(masks, rows.tolist(), boxes.tolist(), strict=True):
        if sample.masks is None:
            x1, y1, x2, y2 = (round(side) for side in box)
            mask[y1:y2, x1:x2] = 1
        else:
            mask[:height, :width] = torch.from_numpy(sample.masks[row])
    logits = F.interpolate(masks[:, None], scale_factor=0.25, mode="area")[:, 0]
    embeddings = model.image_encoder.embed_regions(
        stage4, boxes, ((logits - 0.5) * 2 * _SURE).to(device)
    )
    return F.normalize(embeddings.float().cpu(), dim=1)


def _check_counts(counts: Tensor, names: Sequence[str]) -> None:
    empty = [names[index] for index in torch.nonzero(counts == 0)[:, 0].tolist()]
    if empty:
        shown = ", ".join(repr(name) for name in empty[:5])
        raise ConfigError(
            f"class_embeddings: examples needs an object of every class, got none of {shown}"
            f"{f' and {len(empty) - 5} more' if len(empty) > 5 else ''}; remove these classes "
            "(with vocabulary: data, these categories of the file), or add examples"
        )
