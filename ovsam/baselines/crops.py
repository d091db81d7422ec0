"""A mask and an image → the crop that CLIP sees (image-crop baseline).

Letters: N regions, S input size, R side of a crop.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ovsam.baselines.config import Background
from ovsam.preprocess import PIXEL_MEAN, PIXEL_STD
from ovsam.region_operators import roi_align


def square_boxes(boxes_xyxy: Tensor, margin: float) -> Tensor:
    """Return (N, 4) squares around the centres of boxes; the side is the longer one x margin."""
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    sides = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).amax(dim=1, keepdim=True)
    half = sides.clamp(min=1) * margin / 2
    return torch.cat([centres - half, centres + half], dim=1)


def cut_objects(
    pixels: Tensor,
    boxes_xyxy: Tensor,
    mask_logits: Tensor,
    *,
    side: int,
    background: Background = "mean",
    margin: float = 1.0,
) -> Tensor:
    """Cut squares around (N, 4) boxes out of a (1, 3, S, S) network input: (N, 3, side, side).

    `background` is painted outside each (N, S/4, S/4) mask; an empty mask keeps it, as nothing else
    is left. What lies outside the image is the mean colour, which is 0 after normalisation.
    """
    squares = square_boxes(boxes_xyxy.float(), margin)
    image = pixels.float()
    crops = [image.new_zeros(0, 3, side, side)]
    for square, logits in zip(squares, mask_logits, strict=True):
        left, top, right, bottom = _cover(square, image.shape[3], image.shape[2])
        part = image[:, :, top:bottom, left:right]
        if background != "keep":
            # Painted before the resize, so that nothing of the background bleeds in.
            mask = F.interpolate(logits[None, None], image.shape[2:], mode="bilinear") > 0
            if mask.any():
                part = _paint_outside(part, mask[:, :, top:bottom, left:right], background)
        # RoIAlign averages bilinear samples over a pixel's area: a large object does not alias.
        shifted = square - square.new_tensor((left, top, left, top))
        roi = F.pad(shifted[None], (1, 0))  # of image 0
        crops.append(roi_align(part, roi, side, 1.0))
    return torch.cat(crops).to(pixels.dtype)


def _cover(square: Tensor, width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the whole pixels that a square samples; at least one.

    One more on each side, as RoIAlign interpolates between the centres of pixels.
    """
    left, top, right, bottom = square.tolist()
    first_x, first_y = (
        min(max(int(v) - 2, 0), size - 1) for v, size in ((left, width), (top, height))
    )
    return (
        first_x,
        first_y,
        min(max(int(right) + 3, first_x + 1), width),
        min(max(int(bottom) + 3, first_y + 1), height),
    )


def _paint_outside(image: Tensor, mask: Tensor, background: Background) -> Tensor:
    """Paint (1, 3, H, W) pixels outside a (1, 1, H, W) bool mask."""
    colour = torch.zeros(3, device=image.device)  # the mean colour, normalised
    if background == "black":
        colour = -torch.tensor(PIXEL_MEAN, device=image.device)
        colour = colour / torch.tensor(PIXEL_STD, device=image.device)
    return torch.where(mask, image, colour[:, None, None])
