"""What a model must do to segment through `Predictor`; one that names objects too does more.

    pixels → encode → decode (prompts → masks)

Letters: B images, N prompts, P points of a prompt, S input size, C channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from ovsam.config import LabellingConfig, SamConfig
    from ovsam.structures import ImageFeatures


class Segmenter(nn.Module, ABC):
    """Prompts of an image → masks: a plain SAM, or a `LabellingModel`, which names them too.

    Attributes:
        config: its numbers.
        identity: hex digest of the weights; "" where nobody computed it.
    """

    config: LabellingConfig | SamConfig

    def __init__(self) -> None:
        super().__init__()
        self.identity = ""

    @abstractmethod
    def _heavy_parts(self) -> list[nn.Module]:
        """Return the parts whose arithmetic may be of a shorter type than float32."""

    @property
    def dtype(self) -> torch.dtype:
        """The type of the heavy arithmetic; prompts, scores and softmaxes stay float32."""
        return next(self._heavy_parts()[0].parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self._heavy_parts()[0].parameters()).device

    def prepare_for_inference(self, dtype: torch.dtype = torch.float32) -> Self:
        """Make the model fast and frozen, in place: fold batch norms, channels last, cast.

        Call it once; the folded model predicts but can be neither trained nor saved.

        Args:
            dtype: of the heavy arithmetic: float32, bfloat16 or float16.

        Returns:
            The same model.
        """
        self.eval().requires_grad_(False)
        self._fold_batch_norms()
        # Not the prompt encoder: a corner rounded to 8 bits moves by pixels.
        for part in self._heavy_parts():
            part.to(dtype=dtype)
        return self.to(memory_format=torch.channels_last)

    def _fold_batch_norms(self) -> None:
        """Put batch norms into the convolutions before them; nothing where there are none."""

    @abstractmethod
    def encode(self, pixels: Tensor) -> ImageFeatures:
        """Encode a batch of network inputs.

        Args:
            pixels: (B, 3, S, S) as `preprocess.to_network_input` makes them.
        """

    @abstractmethod
    def decode(
        self,
        features: ImageFeatures,
        boxes_xyxy: Tensor | None,
        points_xy: Tensor | None = None,
        point_labels: Tensor | None = None,
        mask_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode N prompts of one image into masks.

        Args:
            features: of the image, from `encode`, B = 1.
            boxes_xyxy: (N, 4) float32 in pixels of the network input, or None.
            points_xy: (N, P, 2) float32 in pixels of the network input, or None.
            point_labels: (N, P) int64: 1 object, 0 background, -1 padding; None with points_xy.
            mask_logits: (N, S/4, S/4) coarse masks, or None.

        Returns:
            Mask logits (N, S/4, S/4) float32 and label tokens (N, C); C is 0 where a model has
            none.
        """
