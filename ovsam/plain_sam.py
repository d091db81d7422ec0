"""A SAM alone: masks without names, for `--labels detector` (paper, Tables 3, 8 and 9).

Letters: B images, N prompts, S input size.
"""

from torch import Tensor, nn

from ovsam.config import SamConfig
from ovsam.sam import SAM
from ovsam.segmenter import Segmenter
from ovsam.structures import ImageFeatures


class SingleMaskSam(Segmenter):
    """What segments with a whole SAM: its single-mask output, for prompts of all kinds."""

    sam: SAM

    def decode(
        self,
        features: ImageFeatures,
        boxes_xyxy: Tensor | None,
        points_xy: Tensor | None = None,
        point_labels: Tensor | None = None,
        mask_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode N prompts into SAM's single-mask output; there are no label tokens: (N, 0)."""
        logits, _ = self.sam.decode(
            features.image_embedding, boxes_xyxy, points_xy, point_labels, mask_logits
        )
        return logits[:, 0], logits.new_zeros(len(logits), 0)


class PlainSam(SingleMaskSam):
    """Segment Anything behind `Predictor(model)`, which then has no vocabulary.

    Attributes:
        config: SAM's numbers.
        sam: the network.
    """

    config: SamConfig

    def __init__(self, sam: SAM) -> None:
        """Take a SAM, in eval mode."""
        super().__init__()
        self.config = sam.config
        self.sam = sam

    def _heavy_parts(self) -> list[nn.Module]:
        return [self.sam.mask_decoder, self.sam.image_encoder]

    def encode(self, pixels: Tensor) -> ImageFeatures:
        """Encode a batch of network inputs, (B, 3, S, S); see `Segmenter.encode`."""
        embedding = self.sam.image_encoder(pixels)
        return ImageFeatures(embedding, (), embedding.new_zeros(len(embedding), 0))
