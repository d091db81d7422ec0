"""Detector weights, texts and images from names, shapes and a salt alone (numpy PCG64).

The rules are those that `golden_detectors/` was recorded with; changing one breaks the comparison.
Gains are chosen so that no layer does nothing: statistics, biases, tables and scales all matter,
boxes move, scores are neither flat nor saturated, and the epsilons of norms can be seen.
"""

import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

# A variance near 1e-3 in front of a norm makes its epsilon visible.
SMALL = 0.03

# Pattern → (offset, gain, whether each output row is freed of its mean). The first match counts.
RULES = (
    # Positions.
    (r"relative_position_bias_table$", 0.0, 1.0, False),
    (r"rel_pos_[hw]$", 0.0, 0.8, False),
    (r"pos_embed$", 0.0, 3.0, False),
    # Sharp attention, so that places stay different.
    (r"attn\.qkv\.weight$", 0.0, 1.6, False),
    (r"attn\.proj\.weight$", 0.0, 0.5, False),
    # In front of a norm.
    (r"patch_embed\.proj\.(weight|bias)$", 0.0, SMALL, False),
    (r"res2\..*(conv\d|shortcut)\.weight$", 0.0, SMALL, True),
    (r"res\d\..*(conv\d|shortcut)\.weight$", 0.0, 1.0, True),
    (r"simfp_(2\.[45]|3\.[12]|4\.[01]|5\.[12])\.weight$", 0.0, SMALL, False),
    (r"box_head\.\d\.conv\d\.weight$", 0.0, SMALL, False),
    (r"bbox_tower\.(0|3|6|9)\.weight$", 0.0, SMALL, True),
    (r"bbox_tower\.(0|3|6|9)\.bias$", 0.0, 0.1 * SMALL, False),
    # Frozen batch norms.
    (r"stem\.conv1\.norm\.running_mean$", 0.0, 30.0, False),
    (r"res2\..*running_mean$", 0.0, 0.2 * SMALL, False),
    (r"running_mean$", 0.0, 0.2, False),
    (r"conv3\.norm\.weight$", 0.6, 0.1, False),
    # Necks.
    (r"simfp_5\.2\.norm\.weight$", 2.5, 0.2, False),
    (r"simfp_4\.1\.norm\.weight$", 1.7, 0.2, False),
    (r"fpn_output5\.weight$", 0.0, 5.0, True),
    (r"fpn_output4\.weight$", 0.0, 2.5, True),
    (r"fpn_\w+\.weight$|top_block\.p\d\.weight$", 0.0, 1.4, True),
    # First stage.
    (r"rpn_head\.conv.*weight$", 0.0, 1.4, True),
    (r"objectness_logits\.weight$", 0.0, 3.0, True),
    (r"anchor_deltas\.weight$", 0.0, 0.6, True),
    (r"agn_hm\.weight$", 0.0, 2.0, True),
    (r"agn_hm\.bias$", -2.0, 0.1, False),
    (r"centernet_head\.bbox_pred\.weight$", 0.0, 2.0, True),
    (r"centernet_head\.bbox_pred\.bias$", 3.5, 0.7, False),
    (r"scales\.\d+\.scale$", 1.0, 0.2, False),
    # Second stage.
    (r"box_head\..*fc\d\.weight$", 0.0, 1.4, True),
    (r"box_predictor\.cls_score\.weight$", 0.0, 2.5, True),
    (r"box_predictor\.\d\.cls_score\.weight$", 0.0, 6.0, True),
    (r"cls_score\.bias$", 0.0, 0.3, False),
    (r"cls_score\.linear\.weight$", 0.0, 1.0, True),
    (r"box_predictor\.bbox_pred\.weight$", 0.0, 1.5, True),
    (r"box_predictor\.\d\.bbox_pred\.(2\.)?weight$", 0.0, 0.7, True),
)


def _generator(text: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(text.encode())))


def find_rule(name: str, num_axes: int) -> tuple[float, float, bool]:
    for pattern, offset, gain, is_centred in RULES:
        if re.search(pattern, name):
            return offset, gain, is_centred
    if num_axes > 1:
        return 0.0, 1.0, False
    return (1.0 if name.endswith("weight") else 0.0), 0.1, False


def make_tensor(name: str, shape: Sequence[int], salt: int) -> torch.Tensor:
    """Return the float32 tensor of a parameter or buffer."""
    shape = tuple(shape)
    if name.endswith("zs_weight"):
        texts = make_text_embeddings(shape[1] - 1, salt, shape[0]).T
        texts = texts / texts.norm(dim=0, keepdim=True)
        return torch.cat([texts, texts.new_zeros(shape[0], 1)], dim=1)
    x = _generator(f"{salt}:{name}").standard_normal(size=shape, dtype=np.float32)
    scaled = _scale(x, name)
    return torch.from_numpy(np.ascontiguousarray(scaled, dtype=np.float32)).reshape(shape)


def _scale(x: np.ndarray, name: str) -> np.ndarray:
    if name.endswith("running_var"):
        scale = 60.0**2 if "stem." in name else SMALL**2 if "res2." in name else 1.0
        return scale * (0.6 + 0.6 * np.abs(x))
    offset, gain, is_centred = find_rule(name, x.ndim)
    if x.ndim > 1:
        rows = x.reshape(x.shape[0], -1)
        if is_centred:
            rows = rows - rows.mean(axis=1, keepdims=True)
        x = (rows / np.float32(np.sqrt(rows.shape[1]))).reshape(x.shape)
    return offset + np.float32(gain) * x


def make_state_dict(shapes: Mapping[str, Sequence[int]], salt: int) -> dict[str, torch.Tensor]:
    """Return tensors for a {name: shape} manifest, without what a network computes itself."""
    names = (name for name in shapes if not name.endswith("relative_position_index"))
    return {name: make_tensor(name, shapes[name], salt) for name in names}


def make_text_embeddings(num_classes: int, salt: int, width: int = 512) -> torch.Tensor:
    """Return (num_classes, width) float32 embeddings, NOT normalised: norms 8 to 13."""
    rng = _generator(f"{salt}:text")
    x = rng.standard_normal(size=(num_classes, width), dtype=np.float32)
    norms = rng.uniform(8.0, 13.0, size=(num_classes, 1)).astype(np.float32)
    return torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True) * norms)


def make_detector_image(height: int, width: int, salt: int) -> np.ndarray:
    """Return a (height, width, 3) uint8 RGB image: smooth waves, rectangles and discs on them."""
    rng = _generator(f"{salt}:image")
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    out = np.zeros((height, width, 3))
    for channel in range(3):
        plane = out[..., channel]
        for _ in range(6):
            fx, fy = rng.uniform(0.5, 10, 2)
            gain = rng.uniform(0.2, 1)
            phase = rng.uniform(0, 2 * np.pi)
            plane += gain * np.sin(2 * np.pi * (fx * x / width + fy * y / height) + phase)
        plane[:] = 40 + 150 * (plane - plane.min()) / np.ptp(plane)
    for index in range(14):
        centre_x, centre_y = rng.uniform(0, width), rng.uniform(0, height)
        radius_x, radius_y = rng.uniform(0.03, 0.22, 2) * min(height, width)
        colour = rng.uniform(0, 255, 3)
        dx, dy = (x - centre_x) / radius_x, (y - centre_y) / radius_y
        is_inside = (np.abs(dx) < 1) & (np.abs(dy) < 1) if index % 2 else dx**2 + dy**2 < 1
        out[is_inside] = 0.25 * out[is_inside] + 0.75 * colour
    return np.clip(np.round(out), 0, 255).astype(np.uint8)
