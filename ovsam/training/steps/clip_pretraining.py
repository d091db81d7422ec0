"""nano's CLIP image tower from nothing: crops first, then regions of whole scenes.

It is supervised classification against a learned prototype a class, not CLIP's contrastive loss
(which stayed at chance here, docs/nano.md); the text tower is fitted to the prototypes afterwards.
Three things make it quick: linear heads on stages 3 and 4 feed the trunk while the attention pool
still learns; crops start at 64 pixels; and the last, longest part pools regions of 320-pixel scenes
by RoIAlign + attention pool, exactly as the frozen-CLIP score of OV-SAM will.

Letters: B images, N regions, C classes, D embedding width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.clip_backbone import ResNetBackbone
from ovsam.region_operators import roi_align
from ovsam.training.loop.autocast import autocast_bfloat16
from ovsam.training.loop.distributed import CPU
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.loop.step_report import StepReport
from ovsam.training.scenes.batches import SceneBatch, SceneBatchSource
from ovsam.training.scenes.crops import CropSource, normalise_crops
from ovsam.training.scenes.dense_targets import DenseHead, compute_dense_loss

COSINE_SCALE = 20.0
LABEL_SMOOTHING = 0.05
_CROP_WEIGHTS = (1.0, 0.5, 0.25)
_SCENE_WEIGHTS = (1.0, 0.25, 0.15)
_DENSE_WEIGHT = 0.5


@dataclass(frozen=True, kw_only=True)
class ClipStepSettings:
    """The curriculum, in parts of the run's progress.

    Attributes:
        small_until: Up to here crops of 64 pixels.
        crops_until: Up to here crops of 96 pixels; then scenes.
        crops_end: Up to here every fourth step of the scene part is one of 96-pixel crops.
        small_batch: Crops a step at 64 pixels.
        crop_batch: Crops a step at 96 pixels.
    """

    small_until: float = 0.25
    crops_until: float = 0.33
    crops_end: float = 0.9
    small_batch: int = 96
    crop_batch: int = 64
    scene_batch: int = 8


class ClipPretrainer(nn.Module):
    """An image tower with what only its training needs: prototypes and auxiliary heads."""

    def __init__(
        self, tower: ResNetBackbone, channels: Sequence[int], num_classes: int, embed_dim: int
    ) -> None:
        super().__init__()
        self.tower = tower
        self.prototypes = nn.Parameter(torch.randn(num_classes, embed_dim) * 0.05)
        self.stage4_head = nn.Linear(channels[3], num_classes)
        self.stage3_head = nn.Linear(channels[2], num_classes)
        self.dense_head = DenseHead(channels)

    def classify(self, stage4: Tensor, stage3: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score regions three ways: attention pool + prototypes, stage 4, stage 3.

        `stage4`: (N, C4, R, R), R the attention pool's grid. `stage3`: (N, C3, h, w). Returns three
        (N, C) float32 logits.
        """
        with torch.autocast(stage4.device.type, enabled=False):
            embeddings = F.normalize(self.tower.visual.attnpool(stage4.float()), dim=1)
            logits = COSINE_SCALE * embeddings @ F.normalize(self.prototypes, dim=1).T
        coarse = self.stage4_head(stage4.mean(dim=(2, 3))).float()
        return logits, coarse, self.stage3_head(stage3.mean(dim=(2, 3))).float()

    def classify_crops(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score whole crops; (B, 3, 64 or 96, same)."""
        _, _, stage3, stage4 = self.tower(pixels)
        grid = self.tower.pool_grid
        if stage4.shape[-1] != grid:
            stage4 = F.interpolate(stage4.float(), size=grid, mode="bilinear", align_corners=True)
        return self.classify(stage4, stage3)

    def classify_regions(
        self, stages: Sequence[Tensor], boxes_xyxy: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Score boxes of scenes, as OV-SAM's frozen-CLIP score does."""
        grid = self.tower.pool_grid
        rois = torch.cat([F.pad(boxes, (1, 0), value=row) for row, boxes in enumerate(boxes_xyxy)])
        stage4 = roi_align(stages[3].float(), rois, grid, 1 / 32)
        stage3 = roi_align(stages[2].float(), rois, grid, 1 / 16, 2)
        return self.classify(stage4, stage3)


def _compute_loss(logits: Sequence[Tensor], labels: Tensor, weights: Sequence[float]) -> Tensor:
    """Weighted, label-smoothed cross-entropy of the three heads."""
    terms = [
        weight * F.cross_entropy(one, labels, label_smoothing=LABEL_SMOOTHING)
        for one, weight in zip(logits, weights, strict=True)
    ]
    return torch.stack(terms).sum()


class ClipStep:
    """One step of the curriculum; call it with (step, progress, random)."""

    def __init__(
        self,
        model: ClipPretrainer,
        crops: CropSource,
        scenes: SceneBatchSource,
        settings: ClipStepSettings,
    ) -> None:
        self.model = model
        self.crops = crops
        self.scenes = scenes
        self.settings = settings
        self.report = StepReport()

    def __call__(self, step: int, progress: float, random: StepRandom) -> Mapping[str, Tensor]:
        """Return the losses and the accuracy of the attention pool."""
        settings, draw = self.settings, random.shared()
        if progress < settings.small_until:
            return self._crop_losses(settings.small_batch, 64, draw)
        mixed = step % 4 == 3 and progress < settings.crops_end
        if progress < settings.crops_until or mixed:
            return self._crop_losses(settings.crop_batch, 96, draw)
        with self.report.waiting():
            batch = self.scenes.draw(settings.scene_batch, draw)
        return self._scene_losses(batch)

    def _crop_losses(self, count: int, size: int, random: np.random.Generator) -> dict[str, Tensor]:
        with self.report.waiting():
            crops, labels = self.crops.draw(count, size, random)
            pixels = normalise_crops(crops, random)
        self.report.keep(count, pixels=pixels, labels=labels)
        with autocast_bfloat16(CPU):
            logits = self.model.classify_crops(pixels)
        accuracy = (logits[0].argmax(dim=1) == labels).float().mean()
        return {"class": _compute_loss(logits, labels, _CROP_WEIGHTS), "accuracy": accuracy}

    def _scene_losses(self, batch: SceneBatch) -> dict[str, Tensor]:
        self.report.keep(len(batch.pixels), pixels=batch.pixels, labels=batch.labels)
        with autocast_bfloat16(CPU):
            stages = self.model.tower(batch.pixels)
            logits = self.model.classify_regions(stages, batch.boxes_xyxy)
            dense = self.model.dense_head(stages)
        return {
            "class": _compute_loss(logits, batch.labels, _SCENE_WEIGHTS),
            "dense": _DENSE_WEIGHT * compute_dense_loss(dense, batch.dense_targets),
            "accuracy": (logits[0].argmax(dim=1) == batch.labels).float().mean(),
        }


@torch.no_grad()
def reset_batch_norms(model: ClipPretrainer, scenes: SceneBatchSource, batches: int = 60) -> None:
    """Set the running statistics anew from scenes alone, which is what the frozen tower meets."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
    model.train()
    random = np.random.default_rng(0)
    for _ in range(batches):
        with autocast_bfloat16(CPU):
            model.tower(scenes.draw(8, random).pixels)
    for norm in norms:
        norm.momentum = 0.1
    model.eval()
