"""RoIAlign as two small matrices a region.

RoIAlign averages bilinear samples on a regular grid, so it is linear in the feature map and
separable: pooled = rows @ map @ columns^T, with one (R, H) and one (R, W) matrix a region. Written
like this it commutes with every channel-wise projection, which is what makes CLIP's attention
pool cheap for many regions (clip_backbone.py).

Letters: N regions, R bins a side, L cells along one axis.
"""

import torch
from torch import Tensor


def axis_weights(starts: Tensor, ends: Tensor, bins: int, cells: int) -> Tensor:
    """Return the RoIAlign weights along one axis (aligned, adaptive sampling).

    Equals torchvision's `roi_align(aligned=True, sampling_ratio=-1)`: samples more than one cell
    outside the map count as zero, so rows may sum to less than 1.

    Args:
        starts: (N,) float32 first edge of each region, in cells.
        ends: (N,) float32 last edge of each region, in cells.
        bins: R, number of bins a region is cut into.
        cells: L, cells of the map along this axis.

    Returns:
        (N, R, L) float32.
    """
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
    """Return RoIAlign of whole regions as matrices over the cells of a map.

    Args:
        boxes_xyxy: (N, 4) float32 in pixels of the network input.
        stride: of the map, in input pixels.
        bins: R, the side of the pooled grid.
        map_hw: height and width of the map, in cells.

    Returns:
        (N, R * R, H * W) float32: pooled cells, row-major, by map cells, row-major.
    """
    boxes = boxes_xyxy.float() / stride
    rows = axis_weights(boxes[:, 1], boxes[:, 3], bins, map_hw[0])
    columns = axis_weights(boxes[:, 0], boxes[:, 2], bins, map_hw[1])
    weights = torch.einsum("nrh,nsw->nrshw", rows, columns)
    return weights.reshape(len(boxes), bins * bins, map_hw[0] * map_hw[1])
