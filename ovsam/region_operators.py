"""RoIAlign and non-maximum suppression by torchvision's compiled operators.

The operators are taken from torchvision's library without importing its Python package: that one
loads its models and, with them, torch's compiler, which took half of the start of a command.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def roi_align(features: Tensor, rois: Tensor, size: int, scale: float, samples: int = -1) -> Tensor:
    """Pool regions of feature maps: (B, C, H, W) and N regions → (N, C, size, size).

    Args:
        rois: (N, 5): index in the batch, then left, top, right, bottom in pixels of the image.
        scale: of the map to the image, such as 1 / 16.
        samples: points a bin and side; -1: as many as there are cells.

    Source: Mask R-CNN, "aligned" as in Detectron2: half a cell is taken off.
    """
    if torch.is_grad_enabled() and features.requires_grad:
        # torchvision ≥ 0.26 gives the operator its gradient in Python.
        import torchvision.ops  # noqa: F401
    return _load_operators().roi_align(features, rois, scale, size, size, samples, True)


def nms(boxes_xyxy: Tensor, scores: Tensor, iou: float) -> Tensor:
    """Return the rows of boxes that no better one overlaps by more than `iou`, best first."""
    return _load_operators().nms(boxes_xyxy, scores, iou)


def batched_nms(boxes_xyxy: Tensor, scores: Tensor, classes: Tensor, iou: float) -> Tensor:
    """`nms` within each class; (N,) `classes` are whole numbers from 0."""
    if not len(boxes_xyxy):
        return torch.empty(0, dtype=torch.int64, device=boxes_xyxy.device)
    # Boxes of different classes are moved so far apart that none overlap.
    offsets = classes.to(boxes_xyxy) * (boxes_xyxy.max() + 1)
    return nms(boxes_xyxy + offsets[:, None], scores, iou)


def box_iou(one_xyxy: Tensor, other_xyxy: Tensor) -> Tensor:
    """Return the (N, M) overlaps of (N, 4) boxes with (M, 4) others, in [0, 1]."""
    areas = [(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (one_xyxy, other_xyxy)]
    starts = torch.maximum(one_xyxy[:, None, :2], other_xyxy[:, :2])
    ends = torch.minimum(one_xyxy[:, None, 2:], other_xyxy[:, 2:])
    common = (ends - starts).clamp(min=0).prod(2)
    return common / (areas[0][:, None] + areas[1] - common)


@cache
def _load_operators() -> Any:
    """Return torch.ops.torchvision, with its operators loaded."""
    spec = find_spec("torchvision")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else Path()
    for library in sorted(folder.glob("_C*")):
        torch.ops.load_library(str(library))
    if not hasattr(torch.ops.torchvision, "roi_align"):
        # A build that keeps its library elsewhere: its own import finds it, or says why not.
        import torchvision.ops  # noqa: F401
    return torch.ops.torchvision
