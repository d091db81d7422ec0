"""Weights and a test image from names, shapes and a salt alone (numpy PCG64): no model code.

The rules are those that the recorded outputs in `golden/` were made with; changing one breaks the
comparison. Gains keep every layer's output in a useful range.
"""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch


def _generator(text: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(text.encode())))


def make_tensor(name: str, shape: Sequence[int], salt: int) -> torch.Tensor:
    """Return the tensor of a parameter or buffer."""
    shape = tuple(shape)
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    rng = _generator(f"{salt}:{name}")
    x = (
        rng.standard_normal(size=shape, dtype=np.float32)
        if shape
        else np.float32(rng.standard_normal())
    )
    scaled = np.ascontiguousarray(_scaled(x, name, shape), dtype=np.float32)
    return torch.from_numpy(scaled).reshape(shape)


def _scaled(x: np.ndarray, name: str, shape: tuple[int, ...]) -> np.ndarray:
    leaf = name.rsplit(".", 1)[-1]
    is_vector = len(shape) <= 1
    if leaf == "running_var":
        return 0.75 + 0.5 * np.abs(x)
    if leaf == "running_mean":
        return 0.1 * x
    if leaf == "gamma" and not is_vector:
        return 0.3 + 0.05 * x
    if is_vector:
        return {"weight": 1 + 0.1 * x, "gamma": 0.3 + 0.05 * x}.get(leaf, 0.05 * x)
    if leaf == "positional_encoding_gaussian_matrix":
        return x
    if leaf.startswith("rel_pos") or leaf in ("pos_embed", "positional_embedding"):
        return 0.02 * x
    is_embedding = "embed" in name and leaf == "weight" and "patch_embed" not in name
    if is_embedding or any(
        part in name for part in ("mask_tokens", "label_token", "level_encoding")
    ):
        return 0.5 * x
    # A float64 quotient, rounded once.
    return x / np.sqrt(np.float64(np.prod(shape[1:])))


def make_state_dict(shapes: Mapping[str, Sequence[int]], salt: int) -> dict[str, torch.Tensor]:
    """Return tensors for a {name: shape} manifest."""
    return {name: make_tensor(name, shape, salt) for name, shape in shapes.items()}


def make_image(height: int, width: int, salt: int) -> np.ndarray:
    """Return a smooth (height, width, 3) uint8 RGB image of sine waves."""
    rng = _generator(f"{salt}:image")
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    out = np.zeros((height, width, 3))
    for channel in range(3):
        for _ in range(12):
            fx, fy = rng.uniform(0.5, 14, 2)
            phase = rng.uniform(0, 2 * np.pi)
            gain = rng.uniform(0.2, 1)
            out[..., channel] += gain * np.sin(
                2 * np.pi * (fx * x / width + fy * y / height) + phase
            )
        out[..., channel] -= out[..., channel].min()
        out[..., channel] /= out[..., channel].max()
    return np.round(out * 255).astype(np.uint8)
