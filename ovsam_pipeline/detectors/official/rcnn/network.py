"""The whole detector: body and neck → proposals → scores and boxes → what stays.

Input: a padded batch and the images' sizes. Output: boxes in original pixels. Boxes, scores and
suppression are float32 whatever the body computes in. Letters: B images, N boxes, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms, nms

from ovsam.errors import ConfigError
from ovsam_pipeline.detectors.official.rcnn.anchors_rpn import RegionProposals
from ovsam_pipeline.detectors.official.rcnn.box_heads import (
    CascadeHeads,
    SingleHead,
    ZeroShotPredictor,
)
from ovsam_pipeline.detectors.official.rcnn.boxes import clip_boxes, find_nonempty, restore_boxes
from ovsam_pipeline.detectors.official.rcnn.centernet import CenterProposals
from ovsam_pipeline.detectors.official.rcnn.structures import (
    DetectedBoxes,
    Mode,
    Proposals,
    Recipe,
    RegionScores,
    SizeHW,
)

# Buffers that a module computes itself: files may hold them or not.
_COMPUTED = "relative_position_index"
# The texts of a file are of another vocabulary: `set_vocabulary` brings ours.
_TEXTS = "zs_weight"


class RCNN(nn.Module):
    """A two-stage detector built of parts.

    Args:
        backbone: maps (B, 3, H, W) to named levels {"p2": (B, C, H/4, W/4), ...}, finest first.
        roi_heads: the second stage.
        recipe: how images are prepared and which boxes stay; may be replaced at any time.
    """

    def __init__(
        self,
        backbone: nn.Module,
        proposal_generator: RegionProposals | CenterProposals,
        roi_heads: SingleHead | CascadeHeads,
        recipe: Recipe,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.proposal_generator = proposal_generator
        self.roi_heads = roi_heads
        self.recipe = recipe
        self.body_dtype = torch.float32

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def has_vocabulary(self) -> bool:
        """Whether the classes are texts that `set_vocabulary` replaces (Detic)."""
        return any(isinstance(module, ZeroShotPredictor) for module in self.roi_heads.modules())

    def set_vocabulary(self, embeddings: Tensor) -> None:
        """Replace the classes of Detic.

        `embeddings`: (K, 512) CLIP text embeddings, one row a class, of any norm.
        """
        if not self.has_vocabulary or not isinstance(self.roi_heads, CascadeHeads):
            raise ConfigError("expected Detic to set a vocabulary, got a detector of fixed classes")
        self.roi_heads.set_vocabulary(embeddings)

    def loadable_names(self) -> set[str]:
        """Return the names that an official file must hold: all but what is computed or set."""
        return {name for name in self.state_dict() if not name.endswith((_COMPUTED, _TEXTS))}

    def cast_body(self, dtype: torch.dtype) -> RCNN:
        """Compute in `dtype` up to the last layer of each head; those stay float32.

        Frozen batch norms keep float32 statistics: rounded, they would shift every channel.
        """
        last_layers = [*self.proposal_generator.output_layers, "box_predictor"]
        for name, parameter in self.named_parameters():
            if not any(f".{layer}." in f"{name}." for layer in last_layers):
                parameter.data = parameter.data.to(dtype)
            if parameter.dim() == 4:
                # A CPU without bfloat16 instructions takes minutes for a convolution otherwise.
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.body_dtype = dtype
        return self

    def encode(self, batch: Tensor) -> dict[str, Tensor]:
        """Map a padded batch (B, 3, H, W) float32 to the levels of the pyramid."""
        return self.backbone(batch.to(self.device, self.body_dtype))

    def propose(
        self, features: Mapping[str, Tensor], resized_sizes: Sequence[SizeHW]
    ) -> list[Proposals]:
        """Return at most `recipe.proposals` boxes of each image."""
        levels = list(features.values())
        return self.proposal_generator(levels, resized_sizes, self.recipe.proposals)

    def classify(
        self,
        features: Mapping[str, Tensor],
        proposals: Sequence[Proposals],
        resized_sizes: Sequence[SizeHW],
    ) -> list[RegionScores]:
        """Score and refine given boxes of each image.

        One image after another: eight images' pooled boxes would take gigabytes.
        """
        return [
            self.roi_heads(features, index, given, size)
            for index, (given, size) in enumerate(zip(proposals, resized_sizes, strict=True))
        ]

    @torch.inference_mode()
    def detect(
        self,
        batch: Tensor,
        resized_sizes: Sequence[SizeHW],
        original_sizes: Sequence[SizeHW],
        mode: Mode = "classes",
    ) -> list[DetectedBoxes]:
        """Find the boxes of a batch.

        Args:
            batch: (B, 3, H, W) float32, from `build_batch`.
            resized_sizes: B sizes of the resized images, without padding.
            original_sizes: B sizes of the images as they came.
            mode: "classes": the official detections, suppressed class by class; "refined": one box
                a proposal with its best class, suppressed whatever the class; "proposals": boxes of
                the first stage, suppressed, scored by it, class -1.
        """
        if mode not in ("classes", "refined", "proposals"):
            raise ConfigError(f"expected mode classes, refined or proposals, got '{mode}'")
        features = self.encode(batch)
        proposals = self.propose(features, resized_sizes)
        if mode == "proposals":
            found = [
                self._choose_proposals(*pair) for pair in zip(proposals, resized_sizes, strict=True)
            ]
        else:
            regions = self.classify(features, proposals, resized_sizes)
            choose = self._choose_by_class if mode == "classes" else self._choose_by_proposal
            found = [choose(*trio) for trio in zip(proposals, regions, resized_sizes, strict=True)]
        sizes = zip(found, resized_sizes, original_sizes, strict=True)
        return [_restore(boxes, resized, original) for boxes, resized, original in sizes]

    def _choose_by_class(
        self, proposals: Proposals, regions: RegionScores, size_hw: SizeHW
    ) -> DetectedBoxes:
        recipe = self.recipe
        proposals, regions = _drop_infinite(proposals, regions)
        probabilities = regions.scores[:, :-1]
        rows, classes = (probabilities > recipe.score_threshold).nonzero(as_tuple=True)
        scores = probabilities[rows, classes]
        boxes = clip_boxes(_take_boxes(regions.boxes, rows, classes), size_hw)
        kept = batched_nms(boxes, scores, classes, recipe.nms_threshold)[: recipe.top_k]
        return self._gather(boxes[kept], scores[kept], classes[kept], proposals.scores[rows[kept]])

    def _choose_by_proposal(
        self, proposals: Proposals, regions: RegionScores, size_hw: SizeHW
    ) -> DetectedBoxes:
        recipe = self.recipe
        proposals, regions = _drop_infinite(proposals, regions)
        best, classes = regions.scores[:, :-1].max(dim=1)
        rows = (best > recipe.score_threshold).nonzero().squeeze(1)
        scores, classes = best[rows], classes[rows]
        boxes = clip_boxes(_take_boxes(regions.boxes, rows, classes), size_hw)
        kept = nms(boxes, scores, recipe.nms_threshold)[: recipe.top_k]
        return self._gather(boxes[kept], scores[kept], classes[kept], proposals.scores[rows[kept]])

    def _choose_proposals(self, proposals: Proposals, size_hw: SizeHW) -> DetectedBoxes:
        recipe = self.recipe
        boxes = clip_boxes(proposals.boxes, size_hw)
        scores = self.proposal_generator.to_probability(proposals.scores)
        usable = find_nonempty(boxes) & (scores > recipe.score_threshold)
        boxes, logits, scores = boxes[usable], proposals.scores[usable], scores[usable]
        kept = nms(boxes, scores, recipe.nms_threshold)[: recipe.top_k]
        no_class = torch.full_like(kept, -1)
        return self._gather(boxes[kept], scores[kept], no_class, logits[kept])

    def _gather(
        self, boxes: Tensor, scores: Tensor, classes: Tensor, proposal_scores: Tensor
    ) -> DetectedBoxes:
        objectness = self.proposal_generator.to_probability(proposal_scores)
        return DetectedBoxes(boxes, scores, classes, objectness)


def _drop_infinite(proposals: Proposals, regions: RegionScores) -> tuple[Proposals, RegionScores]:
    """Leave out proposals with a NaN or infinite number, as upstream."""
    finite = regions.boxes.isfinite().all(dim=1) & regions.scores.isfinite().all(dim=1)
    return Proposals(*(x[finite] for x in proposals)), RegionScores(*(x[finite] for x in regions))


def _take_boxes(boxes: Tensor, rows: Tensor, classes: Tensor) -> Tensor:
    """Return (N, 4) boxes of rows: the class's own where each class has one."""
    if boxes.shape[1] == 4:
        return boxes[rows]
    return boxes.unflatten(1, (-1, 4))[rows, classes]


def _restore(found: DetectedBoxes, resized_hw: SizeHW, original_hw: SizeHW) -> DetectedBoxes:
    """Move the boxes of one image to its original pixels; drop what has no area there."""
    boxes, kept = restore_boxes(found.boxes_xyxy, resized_hw, original_hw)
    return DetectedBoxes(boxes, *(values[kept] for values in found[1:]))
