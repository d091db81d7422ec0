"""What a model must do to label through `Predictor`: OV-SAM, and the baselines it is compared with.

    pixels → encode → decode (prompts → masks) → embed_regions → scores (classifier.py)

Letters: B images, N prompts, P points of a prompt, S input size, C channels, D embedding width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from ovsam.errors import CheckpointError
from ovsam.text.name_table import NameTable

if TYPE_CHECKING:
    from ovsam.clip_backbone import ClipBackbone
    from ovsam.config import LabellingConfig
    from ovsam.structures import ImageFeatures
    from ovsam.text.text_tower import TextTower


class LabellingModel(nn.Module, ABC):
    """A promptable segmenter that embeds what it segmented into CLIP's text space."""

    config: LabellingConfig
    image_encoder: ClipBackbone

    def __init__(self) -> None:
        super().__init__()
        self.identity = ""
        # In a list, so that torch does not take it for a sub-module: its parameters are not the
        # model's, and most runs never need them on the device.
        self._namer: list[TextTower | NameTable] = []

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

    @property
    def has_namer(self) -> bool:
        """Whether class names can be embedded."""
        return bool(self._namer)

    @property
    def namer(self) -> TextTower | NameTable:
        """What embeds class names, on the model's device: CLIP's text tower or a name table.

        Raises:
            CheckpointError: it was not loaded; random weights would label at random.
        """
        if not self._namer:
            raise CheckpointError(
                "this model came without CLIP's text tower, so class names cannot be embedded; "
                "give CLIP's file (open_clip) with the others, or Vocabulary(embeddings=...)"
            )
        return self._namer[0].to(self.device)

    @property
    def text_tower(self) -> TextTower:
        """CLIP's text tower, on the model's device.

        Raises:
            CheckpointError: it was not loaded, or the model has a name table in its place.
        """
        namer = self.namer
        if isinstance(namer, NameTable):
            raise CheckpointError(
                f"the model {self.config.name} has no text tower: its names are those of a table"
            )
        return namer

    def attach_namer(self, namer: TextTower | NameTable) -> None:
        """Set what embeds class names for this model."""
        self._namer = [namer]

    def prepare_for_inference(self, dtype: torch.dtype = torch.float32) -> Self:
        """Make the model fast and frozen, in place: fold batch norms, channels last, cast.

        Call it once; the folded model predicts but can be neither trained nor saved.

        Args:
            dtype: of the heavy arithmetic: float32, bfloat16 or float16.

        Returns:
            The same model.
        """
        self.eval().requires_grad_(False)
        self.image_encoder.fold_batch_norm()
        # Not the prompt encoder: a corner rounded to 8 bits moves by pixels.
        for part in self._heavy_parts():
            part.to(dtype=dtype)
        return self.to(memory_format=torch.channels_last)

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
            Mask logits (N, S/4, S/4) float32 and label tokens (N, C).
        """

    @abstractmethod
    def embed_regions(
        self,
        features: ImageFeatures,
        regions: Tensor,
        clip_regions: Tensor,
        label_tokens: Tensor,
        mask_logits: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embed N regions of one image, by the trained head and by frozen CLIP.

        Args:
            features: of the image, from `encode`, B = 1.
            regions: (N, 4) float32, the head's regions in pixels of the network input.
            clip_regions: (N, 4) float32, those of frozen CLIP.
            label_tokens: (N, C) of `decode`.
            mask_logits: (N, S/4, S/4) float32 of `decode`.

        Returns:
            Head embeddings (N, D) and CLIP embeddings (N, D), both float32, and (N,) bool: whether
            CLIP sees the object at all.
        """
