"""Weights in fewer bits on disk: int8 with a scale per output channel, read back as float32.

Only storage shrinks: arithmetic stays float32. A tensor `x` of two or more dimensions is stored as
`x` (int8) and `x.scale` (float32, one per row of the first dimension): weight = int8 x scale, with
the largest magnitude of a row at 127. Other tensors are stored as they are.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ovsam.errors import CheckpointError

SCALE_SUFFIX = ".scale"


def quantise(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return float tensors of two or more dimensions as int8 and scales, the others unchanged."""
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2 or not tensor.is_floating_point():
            stored[name] = tensor.contiguous()
            continue
        rows = tensor.float().flatten(1)
        # A row of zeros needs a scale all the same.
        scale = rows.abs().amax(dim=1).clamp(min=1e-12) / 127
        stored[name] = (rows / scale[:, None]).round().to(torch.int8).reshape(tensor.shape)
        stored[name + SCALE_SUFFIX] = scale
    return stored


def dequantise(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what `quantise` was given, to the precision of its bits; int8 becomes float32.

    Raises:
        CheckpointError: an int8 tensor has no scale, or one of another length.
    """
    restored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE_SUFFIX) and _is_int8(tensors.get(name.removesuffix(SCALE_SUFFIX))):
            continue
        restored[name] = tensor
        if _is_int8(tensor):
            scale = tensors.get(name + SCALE_SUFFIX)
            if scale is None or scale.shape != tensor.shape[:1]:
                raise CheckpointError(
                    f"expected a scale for each of {tensor.shape[0] if tensor.ndim else 0} rows of "
                    f"the int8 tensor '{name}', got {None if scale is None else tuple(scale.shape)}"
                )
            restored[name] = tensor.float() * scale.float().reshape(-1, *[1] * (tensor.ndim - 1))
    return restored


def _is_int8(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.dtype == torch.int8
