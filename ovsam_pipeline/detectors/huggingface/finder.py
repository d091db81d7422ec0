"""What the three families of `hf:` detectors have in common: how a network answers a batch.

Letters: B images, Q boxes a network proposes, C classes, K candidates that come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn


class Candidates(NamedTuple):
    """What a network says of a batch.

    Attributes:
        scores: (B, K) float32 in [0, 1].
        labels: (B, K) int64 positions in the finder's `names`.
        boxes: (B, K, 4) float32 centre x, centre y, width, height, as shares of the frame.
    """

    scores: Tensor
    labels: Tensor
    boxes: Tensor


class Finder(Protocol):
    """One family: knows how its networks are asked.

    Attributes:
        network: the network of `transformers`, which the detector moves and sets to evaluation.
        names: class name by label; None for a label without a class.
        depends_on: what else changes boxes, besides the weights: JSON-like, for the fingerprint.
    """

    network: nn.Module
    names: tuple[str | None, ...]
    depends_on: Any

    def find(self, inputs: Mapping[str, Tensor]) -> Candidates:
        """Run the network on prepared images of one size."""
        ...

    def measure_frame(self, height: int, width: int) -> tuple[float, float]:
        """Return width and height, in pixels of the image, of what box shares are shares of."""
        ...


def pick_best_pairs(probabilities: Tensor, boxes: Tensor) -> Candidates:
    """Take the Q best of all Q * C pairs of box and class, as DETR-like models are evaluated.

    `probabilities`: (B, Q, C) float32. `boxes`: (B, Q, 4) float32.
    """
    num_boxes, num_classes = probabilities.shape[1:]
    scores, pairs = probabilities.flatten(1).topk(num_boxes, dim=1)
    rows = (pairs // num_classes)[..., None].expand(-1, -1, 4)
    return Candidates(scores, pairs % num_classes, boxes.gather(1, rows))


def keep_boxes_in_float32(network: nn.Module) -> None:
    """Let the box heads of a network compute in float32 inside autocast.

    A share of 0.5 in bfloat16 is known to 0.002 only: 3 pixels of 1333.
    """
    for name, module in network.named_modules():
        last = name.rpartition(".")[2]
        is_head = last.endswith(
            ("bbox_head", "box_head", "bbox_embed", "bbox_predictor", "integral")
        )
        if not is_head:
            continue
        heads = module if isinstance(module, nn.ModuleList) else [module]
        for head in heads:
            _leave_autocast(head)


def _leave_autocast(head: nn.Module) -> None:
    inner = head.forward
    if getattr(inner, "leaves_autocast", False):
        return

    def forward(features: Tensor, *rest: Any) -> Any:
        with torch.autocast(features.device.type, enabled=False):
            return inner(features.float(), *rest)

    forward.leaves_autocast = True  # type: ignore[attr-defined]
    head.forward = forward
