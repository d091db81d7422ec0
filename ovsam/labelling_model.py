"""What a model must do to label through `Predictor`: OV-SAM, and the baselines it is compared with.

    pixels → encode → decode (prompts → masks) → embed_regions → scores (classifier.py)

Letters: N prompts, S input size, C channels, D embedding width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor

from ovsam.errors import CheckpointError
from ovsam.model_facts import NO_NAMER
from ovsam.segmenter import Segmenter
from ovsam.text.name_table import NameTable

if TYPE_CHECKING:
    from ovsam.clip_backbone import ClipBackbone
    from ovsam.config import LabellingConfig
    from ovsam.structures import ImageFeatures
    from ovsam.text.text_tower import TextTower


class LabellingModel(Segmenter, ABC):
    """A promptable segmenter that embeds what it segmented into CLIP's text space."""

    config: LabellingConfig
    image_encoder: ClipBackbone

    def __init__(self) -> None:
        super().__init__()
        # In a list, so that torch does not take it for a sub-module: its parameters are not the
        # model's, and most runs never need them on the device.
        self._namer: list[TextTower | NameTable] = []

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
            raise CheckpointError(NO_NAMER)
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

    def _fold_batch_norms(self) -> None:
        self.image_encoder.fold_batch_norm()

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
