"""OV-SAM: one frozen CLIP encoder, two readers of it, one decoder (paper figure 3).

    pixels → CLIP stages ─┬→ SAM2CLIP neck → image embedding ─┬→ mask decoder → mask logits
                          ├→ CLIP2SAM levels                  │      ↑ prompt tokens
                          └→ stage 4 (frozen CLIP's own say)

The two halves of a prediction, `encode` (once an image) and `decode` + `embed_*` (once a prompt),
work on tensors in pixels of the network input. `predictor.py` is the door for images and boxes.
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from ovsam.clip2sam import CLIP2SAM
from ovsam.clip_backbone import build_clip_backbone, resized_masks
from ovsam.config import ModelConfig
from ovsam.labelling_model import LabellingModel
from ovsam.mask_decoder import MaskDecoder
from ovsam.prompt_encoder import PromptEncoder
from ovsam.sam2clip import SAM2CLIP
from ovsam.structures import ImageFeatures


class OVSAM(LabellingModel):
    """The whole model.

    Letters: B images, N prompts, S input size, C channels, D embedding width.
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

    @property
    def dtype(self) -> torch.dtype:
        """The type of the heavy arithmetic; prompts, scores and softmaxes stay float32."""
        return self.mask_decoder.label_token.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.mask_decoder.label_token.weight.device

    def prepare_for_inference(self, dtype: torch.dtype = torch.float32) -> Self:
        """Make the model fast and frozen, in place: fold batch norms, channels last, cast.

        The prompt encoder stays float32: a corner rounded to 8 bits moves by pixels. Call it once;
        the folded model predicts but can be neither trained nor saved.
        """
        self.eval().requires_grad_(False)
        self.image_encoder.fold_batch_norm()
        for part in (self.image_encoder, self.neck, self.mask_decoder, self.clip2sam):
            part.to(dtype=dtype)
        return self.to(memory_format=torch.channels_last)

    def encode(self, pixels: Tensor) -> ImageFeatures:
        """Encode a batch of network inputs, (B, 3, S, S); see `LabellingModel.encode`."""
        stages = self.image_encoder(pixels)
        return self.read_stages(stages)._replace(fpn_levels=self.clip2sam.build_levels(stages))

    def read_stages(self, stages: Sequence[Tensor]) -> ImageFeatures:
        """Return what masks are read from, of CLIP's stages, (B, C_i, ...); no FPN levels."""
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
            (N, D) float32 embeddings, and (N,) bool: the mask covers a cell of stage 4 at all.
        """
        covered = resized_masks(mask_logits, (stage4.shape[2], stage4.shape[3]))
        embeddings = self.image_encoder.embed_regions(stage4, boxes_xyxy, mask_logits)
        return embeddings, covered.flatten(1).any(dim=1)


def boxes_of_masks(mask_logits: Tensor, input_size: int) -> Tensor:
    """Return the tight boxes of low-resolution masks in pixels of the network input.

    Args:
        mask_logits: (N, h, w); a cell belongs to the mask where its logit is > 0.
        input_size: S.

    Returns:
        (N, 4) float32: x1, y1, x2 + 1, y2 + 1 of the cells, times the cell size; zeros where empty.
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
