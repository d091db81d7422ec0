"""Official SAM checkpoints: which SAM a file holds, and MobileSAM's batch norms folded away.

Names as in the files of segment-anything and MobileSAM: `image_encoder.`, `prompt_encoder.` and
`mask_decoder.`. MobileSAM's encoder has a batch norm after every convolution: `X.c.weight` and
`X.bn.*` here become `X.weight` and `X.bias`, the names of `tiny_vit.py`.
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
_TINY_STEM = ("image_encoder.patch_embed.seq.0.c.weight", "image_encoder.patch_embed.seq.0.weight")
_CONV, _NORM = ".c.weight", ".bn."
_NORM_EPS = 1e-5  # of torch's BatchNorm2d, which MobileSAM leaves as it is
# A classifier of the encoder's pre-training, which segmenting does not use.
_UNUSED = ("image_encoder.norm_head.", "image_encoder.head.")


def find_sam_config(tensors: Mapping[str, Tensor], where: str) -> SamConfig | None:
    """Return which SAM a state dict is, by its shapes; None where it is none.

    Raises:
        CheckpointError: it is a SAM of a size that ovsam does not know.
    """
    if not all(name in tensors for name in _OF_EVERY_SAM):
        return None
    configs = [get_sam_config(name) for name in SAM_NAMES]
    if any(name in tensors for name in _TINY_STEM):
        return next(config for config in configs if config.encoder == "tiny-vit")
    if _VIT_STEM not in tensors:
        return None
    width = len(tensors[_VIT_STEM])
    depth = sum(name.endswith(".attn.qkv.weight") for name in tensors)
    for config in configs:
        if (config.encoder, config.width, config.depth) == ("vit", width, depth):
            return config
    known = ", ".join(f"{x.name} ({x.width}, {x.depth})" for x in configs if x.encoder == "vit")
    raise CheckpointError(
        f"{where} is a SAM whose image encoder has width {width} and {depth} blocks, expected one "
        f"of {known}; it is no official checkpoint"
    )


def fold_batch_norms(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return MobileSAM's tensors with every batch norm in the convolution before it.

    Tensors without one keep their name, so that folding a folded state dict changes nothing.

    Raises:
        CheckpointError: a convolution's batch norm is missing.
    """
    folded: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(_CONV):
            stem = name.removesuffix(_CONV)
            folded |= _fold(stem, tensor, tensors, where)
        elif _NORM not in name and not name.startswith(_UNUSED):
            folded[name] = tensor
    return folded


def _fold(
    stem: str, weight: Tensor, tensors: Mapping[str, Tensor], where: str
) -> dict[str, Tensor]:
    names = [f"{stem}{_NORM}{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var")]
    if missing := [name for name in names if name not in tensors]:
        raise CheckpointError(
            f"missing tensors in {where}: {', '.join(missing)}; the file is incomplete or belongs "
            "to another model"
        )
    gain, offset, mean, variance = (tensors[name].double() for name in names)
    scale = gain / (variance + _NORM_EPS).sqrt()
    return {
        f"{stem}.weight": (weight.double() * scale[:, None, None, None]).float(),
        f"{stem}.bias": (offset - mean * scale).float(),
    }
