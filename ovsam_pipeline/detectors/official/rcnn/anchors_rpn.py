"""Region proposal network: every cell of every level says for three anchors how far an object is.

Source: Faster R-CNN (Ren et al. 2015), detectron2's `RPN`. Letters: B images, A = 3 anchors a cell,
N boxes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from ovsam_pipeline.detectors.official.rcnn.boxes import clip_boxes, decode_deltas, find_nonempty
from ovsam_pipeline.detectors.official.rcnn.structures import Proposals, SizeHW

_ASPECT_RATIOS = (0.5, 1.0, 2.0)
_WEIGHTS = (1.0, 1.0, 1.0, 1.0)


def build_anchors(grid_hw: SizeHW, stride: int, size: int, device: torch.device) -> Tensor:
    """Return the anchors of one level.

    `stride`: pixels between cells; the first is centred on pixel 0. `size`: side of the square
    anchor; the others have its area. Returns (H x W x 3, 4) float32 xyxy; cells row by row, height
    / width 0.5, 1, 2 at each.
    """
    halves = []
    for ratio in _ASPECT_RATIOS:
        width = (size**2 / ratio) ** 0.5
        halves.append((width / 2, ratio * width / 2))
    half = torch.tensor(halves)
    shapes = torch.cat([-half, half], dim=1)
    rows, columns = (torch.arange(side, dtype=torch.float32) * stride for side in grid_hw)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    centres = torch.stack([x, y, x, y], dim=-1)
    return (centres[:, :, None] + shapes).view(-1, 4).to(device)


class _Head(nn.Module):
    """Shared 3x3 convolutions, each with a ReLU, and 1x1 outputs for A anchors a cell."""

    def __init__(self, channels: int, num_convs: int) -> None:
        super().__init__()
        convs = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(num_convs)]
        # One convolution has no number in the official names.
        self.conv = (
            convs[0]
            if num_convs == 1
            else nn.Sequential(OrderedDict((f"conv{i}", conv) for i, conv in enumerate(convs)))
        )
        self.objectness_logits = nn.Conv2d(channels, len(_ASPECT_RATIOS), 1)
        self.anchor_deltas = nn.Conv2d(channels, 4 * len(_ASPECT_RATIOS), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) to logits (B, A, H, W) and deltas (B, 4A, H, W), float32."""
        for conv in self.conv if isinstance(self.conv, nn.Sequential) else (self.conv,):
            x = F.relu(conv(x))
        x = x.to(self.anchor_deltas.weight.dtype)
        return self.objectness_logits(x), self.anchor_deltas(x)


class RegionProposals(nn.Module):
    """RPN head, anchors, and the choice of the best boxes.

    Args:
        best_per_level: boxes of a level that go into NMS.
        nms_threshold: boxes of one level that overlap by more suppress each other.
    """

    output_layers = ("objectness_logits", "anchor_deltas")

    def __init__(
        self,
        channels: int,
        num_convs: int,
        strides: Sequence[int] = (4, 8, 16, 32, 64),
        anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
        best_per_level: int = 1000,
        nms_threshold: float = 0.7,
    ) -> None:
        super().__init__()
        self.rpn_head = _Head(channels, num_convs)
        self.strides, self.anchor_sizes = tuple(strides), tuple(anchor_sizes)
        self.best_per_level, self.nms_threshold = best_per_level, nms_threshold

    def forward(
        self, features: Sequence[Tensor], sizes_hw: Sequence[SizeHW], keep: int
    ) -> list[Proposals]:
        """Propose boxes for each image of a batch.

        `features`: (B, C, H, W) of each level, finest first.
        """
        outputs = [self.rpn_head(level) for level in features]
        levels = [self._decode_level(i, *output) for i, output in enumerate(outputs)]
        return [
            self._choose([(boxes[b], scores[b]) for boxes, scores in levels], size, keep)
            for b, size in enumerate(sizes_hw)
        ]

    def to_probability(self, scores: Tensor) -> Tensor:
        """Map the proposals' logits to 0..1."""
        return scores.sigmoid()

    def _decode_level(self, level: int, logits: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor]:
        """Return the best boxes (B, N, 4) and logits (B, N) of one level, best first."""
        batch, _, height, width = logits.shape
        scores = logits.permute(0, 2, 3, 1).flatten(1)
        moves = deltas.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)
        scores, best = scores.topk(min(self.best_per_level, scores.shape[1]), dim=1)
        anchors = build_anchors(
            (height, width), self.strides[level], self.anchor_sizes[level], logits.device
        )
        chosen = moves.gather(1, best[:, :, None].expand(-1, -1, 4))
        boxes = decode_deltas(chosen.flatten(0, 1), anchors[best].flatten(0, 1), _WEIGHTS)
        return boxes.view(batch, -1, 4), scores

    def _choose(
        self, levels: Sequence[tuple[Tensor, Tensor]], size_hw: SizeHW, keep: int
    ) -> Proposals:
        """Clip, drop empty and infinite boxes, suppress within each level, keep the best."""
        boxes = torch.cat([level[0] for level in levels])
        scores = torch.cat([level[1] for level in levels])
        numbers = torch.cat(
            [torch.full_like(level[1], i, dtype=torch.int64) for i, level in enumerate(levels)]
        )
        usable = boxes.isfinite().all(dim=1) & scores.isfinite()
        boxes = clip_boxes(boxes, size_hw)
        usable &= find_nonempty(boxes)
        boxes, scores, numbers = boxes[usable], scores[usable], numbers[usable]
        kept = batched_nms(boxes, scores, numbers, self.nms_threshold)[:keep]
        return Proposals(boxes[kept], scores[kept])
