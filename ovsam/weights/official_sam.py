"""Official SAM checkpoints: which SAM a file holds.

Names as in the files of segment-anything: `image_encoder.`, `prompt_encoder.`, `mask_decoder.`.
"""

from collections.abc import Mapping

from torch import Tensor

from ovsam.config import SamConfig
from ovsam.errors import CheckpointError
from ovsam.sam import SAM_NAMES, get_sam_config

# What only a SAM has, of whatever size.
_OF_EVERY_SAM = (
    "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    "mask_decoder.iou_token.weight",
    "mask_decoder.mask_tokens.weight",
)
_VIT_STEM = "image_encoder.patch_embed.proj.weight"


def find_sam_config(tensors: Mapping[str, Tensor], where: str) -> SamConfig | None:
    """Return which SAM a state dict is, by its shapes; None where it is none.

    Raises:
        CheckpointError: it is a SAM of a size that ovsam does not know.
    """
    if not all(name in tensors for name in _OF_EVERY_SAM):
        return None
    configs = [get_sam_config(name) for name in SAM_NAMES]
    if _VIT_STEM not in tensors:
        return None
    width = len(tensors[_VIT_STEM])
    depth = sum(name.endswith(".attn.qkv.weight") for name in tensors)
    for config in configs:
        if (config.width, config.depth) == (width, depth):
            return config
    known = ", ".join(f"{x.name} ({x.width}, {x.depth})" for x in configs)
    raise CheckpointError(
        f"{where} is a SAM whose image encoder has width {width} and {depth} blocks, expected one "
        f"of {known}; it is no official checkpoint"
    )
