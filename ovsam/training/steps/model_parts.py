"""Parts that are added to a model, or exchanged, before it trains."""

from __future__ import annotations

from dataclasses import replace
from typing import cast, get_args

import torch

from ovsam.clip2sam import CLIP2SAM
from ovsam.config import LabelHead
from ovsam.errors import ConfigError
from ovsam.mask_decoder import FineMasks
from ovsam.model import OVSAM


def switch_label_head(model: OVSAM, kind: str, seed: int) -> None:
    """Give a model a new, untrained head, unless its own is of that kind.

    What two kinds share, the label token's MLP, keeps its weights. `seed`: of the new weights;
    every process must draw the same.
    """
    if kind not in get_args(LabelHead):
        raise ConfigError(
            f"label_head must be one of {', '.join(get_args(LabelHead))}, got {kind!r}"
        )
    if model.clip2sam.kind == kind:
        return
    model.config = replace(model.config, label_head=cast(LabelHead, kind), trained_on=None)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = CLIP2SAM(model.config)
    head.label_mlp.load_state_dict(model.clip2sam.label_mlp.state_dict())
    model.clip2sam = head.to(model.device, model.dtype)


def add_fine_masks(model: OVSAM) -> None:
    """Let a model's mask decoder read CLIP's first stages, if it does not yet.

    Its masks stay the same until `mask_decoder` trains: the new weights are zero.
    """
    if model.config.fine_masks:
        return
    model.config = config = replace(model.config, fine_masks=True)
    fine = FineMasks(config.clip.channels, config.embed_channels)
    model.mask_decoder.fine_masks = fine.to(model.device, model.dtype)
