"""`--check`: what was written, read back as other tools read it, against the masks of the rows."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from ovsam.masks import compute_mask_ious
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.labels import iterate_labelled
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE

LEAST_IOU = 0.98
"""An object that comes back with less has changed: the check fails."""

_MOST_WORST = 5


class Loss(NamedTuple):
    """One object, and the IoU of what came back with its mask; 0 where nothing came."""

    iou: float
    file_name: str
    number: int
    category: str


@dataclass
class Losses:
    """What an export lost: `changed` objects have an IoU below LEAST_IOU, `lost` ones are gone."""

    objects: int = 0
    changed: int = 0
    lost: int = 0
    sum_iou: float = 0.0
    worst: list[Loss] = field(default_factory=list)

    @property
    def mean_iou(self) -> float:
        """Mean over all objects; 1 where there is none."""
        return self.sum_iou / self.objects if self.objects else 1.0

    def add(self, loss: Loss) -> None:
        """Count an object."""
        self.objects += 1
        self.sum_iou += loss.iou
        self.changed += loss.iou < LEAST_IOU
        self.lost += loss.iou == 0
        if loss.iou < 1:
            self.worst = heapq.nsmallest(_MOST_WORST, [*self.worst, loss])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = {"objects": self.objects, "changed": self.changed, "lost": self.lost}
        worst = [loss._asdict() for loss in self.worst]
        return {**plain, "mean_iou": round(self.mean_iou, 6), "worst": worst}

    def describe(self) -> list[str]:
        """Return the result as lines of text."""
        lines = [
            f"check: {count_things(self.objects, 'object')} read back, mean IoU "
            f"{self.mean_iou:.4f}; {self.changed} below {LEAST_IOU}, {self.lost} of them gone"
        ]
        lines += [
            f"  {loss.iou:.4f}  object {loss.number} ({loss.category}) of {loss.file_name}"
            for loss in self.worst
        ]
        return lines


def measure_losses(
    output: AnyPath,
    options: ExportOptions,
    summary: ExportSummary,
    read_back: Iterator[list[RLE | None]],
) -> Losses:
    """Compare masks that were read back, image by image in the order of rows, with the rows'.

    Images that `summary` counts as missing must not be in `read_back`.
    """
    losses = Losses()
    images = iterate_labelled(output, options.choice, ("segmentation",))
    present = (image for image in images if image.image_id not in summary.missing_ids)
    for image, masks in zip(present, read_back, strict=True):
        if len(masks) > len(image.objects):
            raise OutputError(
                f"the check found {len(masks)} objects of {image.file_name}, where "
                f"{len(image.objects)} were written"
            )
        pairs = zip_longest(image.objects, masks)
        for number, (item, mask) in enumerate(pairs, start=1):
            iou = 0.0 if mask is None else compute_mask_ious([item["segmentation"]], [mask])[0, 0]
            losses.add(Loss(float(iou), image.file_name, number, item["category"]))
    return losses
