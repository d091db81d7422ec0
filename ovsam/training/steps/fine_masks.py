"""Fine masks added to a model that was trained without."""

from __future__ import annotations

from dataclasses import replace

from ovsam.mask_decoder import FineMasks
from ovsam.model import OVSAM


def add_fine_masks(model: OVSAM) -> None:
    """Let a model's mask decoder read CLIP's first stages, if it does not yet.

    Its masks stay the same until `mask_decoder` trains: the new weights are zero.
    """
    if model.config.fine_masks:
        return
    model.config = config = replace(model.config, fine_masks=True)
    fine = FineMasks(config.clip.channels, config.embed_channels)
    model.mask_decoder.fine_masks = fine.to(model.device, model.dtype)
