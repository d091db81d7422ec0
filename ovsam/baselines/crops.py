"""A mask and an image → the crop that CLIP sees (image-crop baseline).

Letters: N regions, S input size, R side of a crop.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from ovsam.baselines.config import Background
from ovsam.preprocess import PIXEL_MEAN, PIXEL_STD


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
        # Painted before the resize, so that nothing of the background bleeds in.
        painted = image if background == "keep" else _paint_outside(image, logits, background)
        # RoIAlign averages bilinear samples over a pixel's area: a large object does not alias.
        crops.append(roi_align(painted, [square[None]], side, 1.0, -1, aligned=True))
    return torch.cat(crops).to(pixels.dtype)


def _paint_outside(image: Tensor, mask_logits: Tensor, background: Background) -> Tensor:
    """Paint (1, 3, S, S) pixels outside one (S/4, S/4) mask."""
    size = (image.shape[2], image.shape[3])
    mask = F.interpolate(mask_logits[None, None], size, mode="bilinear") > 0
    colour = torch.zeros(3, device=image.device)  # the mean colour, normalised
    if background == "black":
        colour = -torch.tensor(PIXEL_MEAN, device=image.device)
        colour = colour / torch.tensor(PIXEL_STD, device=image.device)
    return torch.where(mask | ~mask.any(), image, colour[:, None, None])
