"""Where the first stage starts: CLIP's towers and SAM's decoder in one OV-SAM with a new neck.

From CLIP: image and text tower. From SAM: the prompt encoder, the decoder's transformer,
up-scaling, mask token 0 and its hyper-network, and the absolute positions of its image encoder for
the neck. The neck's blocks, the label token and the label head are random.
Source: paper section 3.2 and appendix A.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ovsam.build import build_model
from ovsam.errors import CheckpointError
from ovsam.model import OVSAM
from ovsam.weights.checkpoint import assign_tensors, hash_tensors, to_our_names
from ovsam.weights.run_folder import find_weights
from ovsam.weights.tensor_files import read_tensors

logger = logging.getLogger(__name__)

_OF_CLIP = "image_encoder."
_OF_SAM = ("prompt_encoder.", "mask_decoder.")
_POSITIONS = "image_encoder.pos_embed"


@dataclass(frozen=True, kw_only=True)
class StartSettings:
    """configs/training/start-*.yaml.

    Attributes:
        model: name of a variant, such as "rn50x16" or "convnext-l-single-scale".
    """

    model: str
    seed: int = 0


def start_model(settings: StartSettings, clip: Path, sam: Path) -> OVSAM:
    """Build the student of the first stage.

    `clip`: CLIP's weights (open_clip), or any file of ovsam's own with that tower. `sam`: SAM's
    weights: an official checkpoint, or those of `ovsam train teacher`.
    """
    torch.manual_seed(settings.seed)
    model = build_model(settings.model)
    tensors: dict[str, Tensor] = dict(model.state_dict())
    _, of_clip = to_our_names(model, read_tensors(find_weights(clip)), str(clip))
    given = _read_sam(sam)
    positions = given.get(_POSITIONS)
    _, of_sam = to_our_names(model, given, str(sam))
    taken = _take(of_clip, (_OF_CLIP,), clip) | _take(of_sam, _OF_SAM, sam)
    tensors.update(taken)
    own = tensors["neck.pos_embed"]
    if positions is not None and positions.shape == own.shape:
        tensors["neck.pos_embed"] = positions
    else:
        logger.warning(
            "the neck's positions have shape %s, SAM's %s: they start at zero",
            tuple(own.shape),
            None if positions is None else tuple(positions.shape),
        )
    assign_tensors(model, tensors, f"{clip} + {sam}")
    model.config = replace(model.config, trained_on=None)  # the head is new
    model.identity = hash_tensors(model.state_dict())
    return model


def _read_sam(sam: Path) -> dict[str, Tensor]:
    from ovsam.training.stages.distil import TEACHER_FILE

    return read_tensors(sam / TEACHER_FILE if sam.is_dir() else find_weights(sam))


def _take(tensors: dict[str, Tensor], prefixes: tuple[str, ...], path: Path) -> dict[str, Tensor]:
    """Return a file's tensors of some parts."""
    taken = {name: tensor for name, tensor in tensors.items() if name.startswith(prefixes)}
    if not taken:
        raise CheckpointError(f"expected tensors of {prefixes[0][:-1]} in {path}, got none")
    return taken
