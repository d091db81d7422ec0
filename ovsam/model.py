"""OV-SAM: one frozen CLIP encoder, two readers of it, one decoder (paper figure 3).

    pixels → CLIP stages ─┬→ SAM2CLIP neck → image embedding ─┬→ mask decoder → mask logits
                          ├→ CLIP2SAM levels                  │      ↑ prompt tokens
                          └→ stage 4 (frozen CLIP's own score)

The two halves of a prediction, `encode` (once per image) and `decode` + `embed_regions` (once per
prompt), work on tensors in pixels of the network input. `predictor.py` takes images and boxes.

Letters: B images, N prompts, S input size, C channels, D embedding width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ovsam.clip2sam import CLIP2SAM
from ovsam.clip_backbone import build_clip_backbone
from ovsam.config import ModelConfig
from ovsam.labelling_model import LabellingModel
from ovsam.mask_decoder import MaskDecoder
from ovsam.prompt_encoder import PromptEncoder
from ovsam.region_pooling import resized_masks
from ovsam.sam2clip import SAM2CLIP
from ovsam.structures import ImageFeatures


class OVSAM(LabellingModel):
    """OV-SAM (paper section 3, figure 3): built by `build_model` or `load_model`.

    Attributes:
        config: its numbers.
        image_encoder: frozen CLIP: (B, 3, S, S) pixels to four stages at strides 4, 8, 16, 32.
        neck: SAM2CLIP: the stages to a SAM-like image embedding (section 3.2).
        prompt_encoder: SAM's: boxes, points and coarse masks to tokens.
        mask_decoder: SAM's, with a label token: tokens and embedding to mask logits.
        clip2sam: the stages and a region to an embedding in CLIP's text space (section 3.3).
        identity: hash of the weights; "" where none were loaded.
    """

    config: ModelConfig

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = build_clip_backbone(config.clip)
        self.neck = SAM2CLIP(config)
        self.prompt_encoder = PromptEncoder(config.embed_channels, config.input_size)
        self.mask_decoder = MaskDecoder(config)
        self.clip2sam = CLIP2SAM(config)

    def _heavy_parts(self) -> list[nn.Module]:
        return [self.mask_decoder, self.image_encoder, self.neck, self.clip2sam]

    def encode(self, pixels: Tensor) -> ImageFeatures:
        """Encode a batch of network inputs, (B, 3, S, S); see `LabellingModel.encode`."""
        stages = self.image_encoder(pixels)
        return self.read_stages(stages)._replace(fpn_levels=self.clip2sam.build_levels(stages))

    def read_stages(self, stages: Sequence[Tensor]) -> ImageFeatures:
        """Return what masks need of CLIP's stages (B, C_i, S/4 ... S/32), without FPN levels."""
        return ImageFeatures(
            image_embedding=self.neck(stages),
            fpn_levels=(),
            clip_feature=stages[3],
            mask_details=self.mask_decoder.build_details(stages),
        )

    def decode(
        self,
        features: ImageFeatures,
        boxes_xyxy: Tensor | None,
        points_xy: Tensor | None = None,
        point_labels: Tensor | None = None,
        mask_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode N prompts of one image into masks; see `LabellingModel.decode`."""
        encoder, embedding = self.prompt_encoder, features.image_embedding
        tokens = encoder(boxes_xyxy, points_xy, point_labels)
        embedding = embedding + encoder.encode_masks(mask_logits).to(embedding.dtype)
        positions = encoder.image_positions()
        return self.mask_decoder(embedding, positions, tokens, features.mask_details)

    def embed_regions(
        self,
        features: ImageFeatures,
        regions: Tensor,
        clip_regions: Tensor,
        label_tokens: Tensor,
        mask_logits: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embed N regions by CLIP2SAM and by frozen CLIP; see `LabellingModel.embed_regions`."""
        head = self.clip2sam.embed_regions(
            features.fpn_levels, regions, label_tokens, features.clip_feature, mask_logits
        )
        clip, has_mask = self.embed_clip_regions(features.clip_feature, clip_regions, mask_logits)
        return head, clip, has_mask

    def embed_clip_regions(
        self, stage4: Tensor, boxes_xyxy: Tensor, mask_logits: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Embed regions with frozen CLIP.

        Args:
            stage4: (1, C4, S/32, S/32) of one image.
            boxes_xyxy: (N, 4) float32 in pixels of the network input.
            mask_logits: (N, S/4, S/4) float32.

        Returns:
            (N, D) float32 embeddings, and (N,) bool: the mask covers at least one cell of stage 4.
        """
        covered = resized_masks(mask_logits, (stage4.shape[2], stage4.shape[3]))
        embeddings = self.image_encoder.embed_regions(stage4, boxes_xyxy, mask_logits)
        return embeddings, covered.flatten(1).any(dim=1)


def boxes_of_masks(mask_logits: Tensor, input_size: int) -> Tensor:
    """Return the tight boxes of (N, h, w) mask logits in pixels of the network input.

    (N, 4) float32, x1, y1, x2 + 1, y2 + 1 of the cells with a logit > 0; zeros for an empty mask.
    """
    cell = input_size / mask_logits.shape[-1]
    masks = mask_logits > 0
    sides = []
    for axis in (1, 2):
        hit = masks.any(dim=axis)
        first = hit.int().argmax(dim=1)
        last = hit.shape[1] - hit.flip(1).int().argmax(dim=1)
        empty = ~hit.any(dim=1)
        sides.append((first.masked_fill(empty, 0), last.masked_fill(empty, 0)))
    (x1, x2), (y1, y2) = sides
    return torch.stack([x1, y1, x2, y2], dim=1).float() * cell
