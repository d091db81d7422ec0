"""A SAM and a CLIP put together, as in the upper rows of the paper's Table 1.

    pixels ─┬→ SAM's encoder → SAM's decoder ← prompt
            │                       ↓ mask
            ├→ image-crop:    cut out of the pixels → CLIP, once per prompt
            └→ feature-crop:  CLIP, once per image → last map (or an adapter's levels), pooled

There is no fusion of two scores as in OV-SAM: a baseline has one embedding per region.
Letters: N prompts, S input size, D embedding width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.baselines.adapters import RegionHead, build_adapter
from ovsam.baselines.config import Background, BaselineConfig
from ovsam.baselines.crops import cut_objects
from ovsam.clip_backbone import ResNetBackbone, build_clip_backbone
from ovsam.device import building_on
from ovsam.labelling_model import LabellingModel
from ovsam.model import boxes_of_masks
from ovsam.plain_sam import SingleMaskSam
from ovsam.region_pooling import mask_pool, resized_masks
from ovsam.sam import SAM
from ovsam.structures import ImageFeatures


class Baseline(SingleMaskSam, LabellingModel):
    """Image-crop or feature-crop on SAM + CLIP, with an adapter if the config names one."""

    config: BaselineConfig

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__()
        self.config = config
        self.sam = SAM(config.sam)
        self.image_encoder = build_clip_backbone(config.clip)
        if config.adapter != "none":
            self.adapter = build_adapter(config)
            self.region_head = RegionHead(config)

    def _heavy_parts(self) -> list[nn.Module]:
        parts = [self.sam.mask_decoder, self.sam.image_encoder, self.image_encoder]
        trained = [self.adapter, self.region_head] if self.config.adapter != "none" else []
        return [*parts, *trained]

    def encode(self, pixels: Tensor) -> ImageFeatures:
        """Encode a batch of network inputs; see `LabellingModel.encode`."""
        embedding = self.sam.image_encoder(pixels)
        if self.config.crop == "image":
            return ImageFeatures(embedding, (), pixels)
        stages = self.image_encoder(pixels)
        return ImageFeatures(embedding, self.build_levels(pixels, stages), stages[3])

    def build_levels(self, pixels: Tensor, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the adapter's levels of an image batch, or nothing where there is none."""
        return self.adapter(pixels, stages) if self.config.adapter != "none" else ()

    def embed_regions(
        self,
        features: ImageFeatures,
        regions: Tensor,
        clip_regions: Tensor,
        label_tokens: Tensor,
        mask_logits: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embed N regions; both embeddings are the same one. See `LabellingModel`."""
        del label_tokens
        prompted = clip_regions if self.config.adapter == "none" else regions
        embeddings = self.embed_objects(
            features.fpn_levels, features.clip_feature, prompted, mask_logits
        )
        seen = torch.ones(len(embeddings), dtype=torch.bool, device=embeddings.device)
        return embeddings, embeddings, seen

    def embed_objects(
        self,
        levels: Sequence[Tensor],
        feature: Tensor,
        prompted_boxes: Tensor,
        mask_logits: Tensor,
    ) -> Tensor:
        """Embed N objects of one image: (N, D) float32, not normalised.

        `levels` are the adapter's, (1, C, S/4 ... S/32), or empty; `feature` is CLIP's stage 4
        (1, C4, S/32, S/32), of an image-crop the pixels (1, 3, S, S). Boxes are (N, 4) in pixels of
        the network input, masks (N, S/4, S/4).
        """
        config = self.config
        boxes = self._choose_boxes(prompted_boxes, mask_logits)
        if config.crop == "image":
            painted = self._embed_crops(feature, boxes, mask_logits, config.background)
            if not config.context:
                return painted
            kept = self._embed_crops(feature, boxes, mask_logits, "keep")
            return F.normalize(painted, dim=-1) + config.context * F.normalize(kept, dim=-1)
        if config.adapter != "none":
            return self.region_head(levels, boxes, boxes.new_zeros(len(boxes)))
        pooled = self.image_encoder.embed_regions(feature, boxes, mask_logits)
        if config.pooling == "mask" and isinstance(self.image_encoder, ResNetBackbone):
            return self._pool_under_masks(self.image_encoder, feature, mask_logits, pooled)
        return pooled

    def _embed_crops(
        self, pixels: Tensor, boxes: Tensor, mask_logits: Tensor, background: Background
    ) -> Tensor:
        """Embed the crops of N objects: (N, D) float32."""
        side, margin = self.config.clip.image_size, self.config.margin
        crops = cut_objects(
            pixels, boxes, mask_logits, side=side, background=background, margin=margin
        )
        return self.image_encoder.embed_maps(self.image_encoder(crops)[3])

    def _choose_boxes(self, prompted_boxes: Tensor, mask_logits: Tensor) -> Tensor:
        """Return (N, 4) boxes to crop: the masks' own; the prompts' where a mask is empty."""
        if self.config.region == "prompt":
            return prompted_boxes
        is_empty = (mask_logits <= 0).flatten(1).all(dim=1)
        boxes = boxes_of_masks(mask_logits, self.config.input_size)
        return torch.where(is_empty[:, None], prompted_boxes, boxes)

    def _pool_under_masks(
        self, tower: ResNetBackbone, stage4: Tensor, mask_logits: Tensor, otherwise: Tensor
    ) -> Tensor:
        """Embed the mean cell under each mask; `otherwise` where a mask covers no cell at all."""
        # The attention pool wants a grid: it sees that one vector everywhere.
        pooled = mask_pool(stage4, mask_logits).to(stage4.dtype)
        grid = pooled[:, :, None, None].expand(-1, -1, tower.pool_grid, tower.pool_grid)
        covered = resized_masks(mask_logits, (stage4.shape[2], stage4.shape[3]))
        is_covered = covered.flatten(1).any(dim=1, keepdim=True)
        return torch.where(is_covered, tower.embed_maps(grid), otherwise)


def build_baseline(config: BaselineConfig, device: str | torch.device = "cpu") -> Baseline:
    """Build a baseline with random weights, in eval mode; device "meta" allocates nothing."""
    with building_on(device):
        return Baseline(config).eval()
