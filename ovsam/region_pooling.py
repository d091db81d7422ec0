"""RoIAlign as two small matrices per region, and the mean under a mask.

RoIAlign averages bilinear samples on a regular grid, so it is linear in the feature map and
separable: pooled = rows @ map @ columns^T, with one (R, H) and one (R, W) matrix per region. In
this form it commutes with every channel-wise projection, which makes CLIP's attention pool cheap
for many regions (clip_backbone.py).

Letters: N regions, R bins a side, L cells along one axis.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def axis_weights(starts: Tensor, ends: Tensor, bins: int, cells: int) -> Tensor:
    """Return the RoIAlign weights along one axis: (N, R, L) float32.

    `starts` and `ends` (N,) are the edges of the regions in cells, `bins` is R and `cells` is L.
    Equals torchvision's `roi_align(aligned=True, sampling_ratio=-1)`: samples more than one cell
    outside the map count as zero, so rows may sum to less than 1.
    """
    # Half a cell: an edge counts from a cell's corner, the map's values are at the centres.
    starts, lengths = starts - 0.5, ends - starts
    samples = torch.ceil(lengths / bins).clamp(min=0)
    most = int(samples.max().item()) if len(samples) else 0
    index = torch.arange(most, device=starts.device)
    step = (lengths / bins)[:, None, None]
    offsets = (index + 0.5) / samples.clamp(min=1)[:, None, None]
    bin_index = torch.arange(bins, device=starts.device)[None, :, None]
    positions = starts[:, None, None] + (bin_index + offsets) * step
    counted = (index < samples[:, None, None]) & (positions >= -1) & (positions <= cells)
    share = counted / samples.clamp(min=1)[:, None, None]
    positions = positions.clamp(min=0)
    low = positions.floor().clamp(max=cells - 1)
    fraction = torch.where(low >= cells - 1, torch.zeros_like(low), positions - low)
    weights = positions.new_zeros(len(starts), bins, cells)
    weights.scatter_add_(2, low.long(), share * (1 - fraction))
    return weights.scatter_add_(2, (low + 1).clamp(max=cells - 1).long(), share * fraction)


def region_weights(boxes_xyxy: Tensor, stride: int, bins: int, map_hw: tuple[int, int]) -> Tensor:
    """Return RoIAlign of (N, 4) regions as matrices over the cells of a map of `map_hw` cells.

    (N, R * R, H * W) float32, pooled cells by map cells, both row-major. Boxes and `stride` are in
    pixels of the network input; `bins` is R.
    """
    boxes = boxes_xyxy.float() / stride
    rows = axis_weights(boxes[:, 1], boxes[:, 3], bins, map_hw[0])
    columns = axis_weights(boxes[:, 0], boxes[:, 2], bins, map_hw[1])
    weights = torch.einsum("nrh,nsw->nrshw", rows, columns)
    return weights.reshape(len(boxes), bins * bins, map_hw[0] * map_hw[1])


def resized_masks(mask_logits: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Return (N, H, W) bool masks of (N, S/4, S/4) logits at another size of the padded input."""
    resized = F.interpolate(mask_logits[:, None], size=size_hw, mode="bilinear")
    return resized[:, 0] > 0


def mask_pool(feature: Tensor, mask_logits: Tensor) -> Tensor:
    """Average a (1, C, H, W) map under N masks: (N, C) float32; zeros where a mask is empty."""
    # float32: a sum over hundreds of cells loses too many digits in bfloat16.
    height, width = feature.shape[2:]
    masks = resized_masks(mask_logits, (height, width)).flatten(1).float()
    cells = feature[0].flatten(1).T.float()
    return (masks @ cells) / (masks.sum(dim=1, keepdim=True) + 1e-8)
