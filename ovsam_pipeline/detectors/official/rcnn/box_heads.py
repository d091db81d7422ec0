"""Second stage: pooled boxes → class probabilities and better boxes; one stage or three.

Source: detectron2's `StandardROIHeads`, `CascadeROIHeads` (Cascade R-CNN, Cai & Vasconcelos 2018),
Detic's zero-shot classifier (Zhou et al. 2022). Letters: N boxes, K classes, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.errors import VocabularyError
from ovsam_pipeline.detectors.official.rcnn.boxes import Weights, clip_boxes, decode_deltas
from ovsam_pipeline.detectors.official.rcnn.pooling import POOL_SIZE, pool_boxes
from ovsam_pipeline.detectors.official.rcnn.structures import Proposals, RegionScores, SizeHW
from ovsam_pipeline.detectors.official.rcnn.vit_pyramid import NormedConv

SINGLE_WEIGHTS: Weights = (10.0, 10.0, 5.0, 5.0)
CASCADE_WEIGHTS: tuple[Weights, ...] = (
    (10.0, 10.0, 5.0, 5.0),
    (20.0, 20.0, 10.0, 10.0),
    (30.0, 30.0, 15.0, 15.0),
)

# Detic: what cosines are multiplied by.
_TEMPERATURE = 50.0
TEXT_WIDTH = 512


class LinearBoxHead(nn.Module):
    """Two linear layers with ReLU (Faster R-CNN, Detic)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels * POOL_SIZE**2, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map (N, C, 7, 7) to (N, width)."""
        return F.relu(self.fc2(F.relu(self.fc1(pooled.flatten(1)))))


class ConvBoxHead(nn.Module):
    """Four convolutions with norm and ReLU, and a linear layer (ViTDet)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = NormedConv(channels, channels, 3)
        self.conv2 = NormedConv(channels, channels, 3)
        self.conv3 = NormedConv(channels, channels, 3)
        self.conv4 = NormedConv(channels, channels, 3)
        self.fc1 = nn.Linear(channels * POOL_SIZE**2, width)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map (N, C, 7, 7) to (N, width)."""
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            pooled = F.relu(conv(pooled))
        return F.relu(self.fc1(pooled.flatten(1)))


class LinearPredictor(nn.Module):
    """Class logits, background last, and box deltas, by one linear layer each."""

    def __init__(self, width: int, num_classes: int, *, is_per_class: bool) -> None:
        super().__init__()
        self.cls_score = nn.Linear(width, num_classes + 1)
        self.bbox_pred = nn.Linear(width, 4 * num_classes if is_per_class else 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, width) to logits (N, K + 1) and deltas (N, 4 or 4K), float32."""
        x = x.to(self.cls_score.weight.dtype)
        return self.cls_score(x), self.bbox_pred(x)


class ZeroShotClassifier(nn.Module):
    """Cosines between a region's embedding and the texts of the classes, times 50.

    The matrix of texts (512, K + 1) is a buffer under its official name; the last column is zero,
    the background.
    """

    zs_weight: Tensor

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, TEXT_WIDTH)
        # On the CPU also where parameters are being made on the meta device: no file brings it.
        texts = torch.zeros(TEXT_WIDTH, num_classes + 1, device="cpu")
        self.register_buffer("zs_weight", texts)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width) to logits (N, K + 1)."""
        return _TEMPERATURE * F.normalize(self.linear(x), dim=1) @ self.zs_weight

    def set_vocabulary(self, embeddings: Tensor) -> None:
        """Take (K, 512) text embeddings of any norm in place of the present ones."""
        columns = F.normalize(embeddings.to(self.zs_weight), dim=1).T
        self.zs_weight = F.pad(columns, (0, 1)).contiguous()


class ZeroShotPredictor(nn.Module):
    """Detic's outputs: zero-shot logits and box deltas by two layers."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = ZeroShotClassifier(width, num_classes)
        self.bbox_pred = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, width) to logits (N, K + 1) and deltas (N, 4), float32."""
        x = x.to(self.cls_score.linear.weight.dtype)
        return self.cls_score(x), self.bbox_pred(x)


class SingleHead(nn.Module):
    """Faster R-CNN's second stage: one head, softmax, a box for each class."""

    def __init__(
        self, box_head: nn.Module, box_predictor: nn.Module, levels: Sequence[int] = (2, 3, 4, 5)
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.box_head = box_head
        self.box_predictor = box_predictor

    def forward(
        self,
        features: Mapping[str, Tensor],
        image_index: int,
        proposals: Proposals,
        size_hw: SizeHW,  # noqa: ARG002 - the cascade needs it
    ) -> RegionScores:
        """Score and refine the proposals of one image."""
        pooled = pool_boxes(features, image_index, proposals.boxes, self.levels)
        logits, deltas = self.box_predictor(self.box_head(pooled))
        boxes = decode_deltas(deltas, proposals.boxes, SINGLE_WEIGHTS)
        return RegionScores(logits.softmax(dim=1), boxes)


class CascadeHeads(nn.Module):
    """Three heads, each on the boxes of the one before; probabilities are averaged.

    Args:
        multiplies_proposal_score: the score is the root of probability times proposal score
            (Detic).
    """

    def __init__(
        self,
        box_heads: Sequence[nn.Module],
        box_predictors: Sequence[nn.Module],
        levels: Sequence[int],
        *,
        is_sigmoid: bool,
        multiplies_proposal_score: bool = False,
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.is_sigmoid = is_sigmoid
        self.multiplies_proposal_score = multiplies_proposal_score
        self.box_head = nn.ModuleList(box_heads)
        self.box_predictor = nn.ModuleList(box_predictors)

    def forward(
        self,
        features: Mapping[str, Tensor],
        image_index: int,
        proposals: Proposals,
        size_hw: SizeHW,
    ) -> RegionScores:
        """Score and refine the proposals of one image, of `size_hw` resized pixels."""
        boxes = proposals.boxes
        probabilities = []
        stages = zip(self.box_head, self.box_predictor, CASCADE_WEIGHTS, strict=True)
        for stage, (head, predictor, weights) in enumerate(stages):
            if stage:
                boxes = clip_boxes(boxes, size_hw)
            logits, deltas = predictor(head(pool_boxes(features, image_index, boxes, self.levels)))
            probabilities.append(logits.sigmoid() if self.is_sigmoid else logits.softmax(dim=1))
            boxes = decode_deltas(deltas, boxes, weights)
        scores = torch.stack(probabilities).mean(dim=0)
        if self.multiplies_proposal_score:
            scores = (scores * proposals.scores[:, None]).sqrt()
        return RegionScores(scores, boxes)

    def set_vocabulary(self, embeddings: Tensor) -> None:
        """Replace the texts of every stage; see `RCNN.set_vocabulary`."""
        width = embeddings.shape[-1] if embeddings.dim() == 2 else None
        if width != TEXT_WIDTH or len(embeddings) == 0 or not embeddings.isfinite().all():
            raise VocabularyError(
                f"expected finite class embeddings of shape (K, {TEXT_WIDTH}), one row a class, "
                f"got {tuple(embeddings.shape)}"
            )
        for predictor in self.box_predictor:
            assert isinstance(predictor, ZeroShotPredictor)
            predictor.cls_score.set_vocabulary(embeddings)
