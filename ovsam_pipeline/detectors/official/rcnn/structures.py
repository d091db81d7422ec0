"""What crosses files here: a detector's recipe, prepared images, proposals, scores, found boxes.

Imports no torch at run time. Letters: N boxes, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from ovsam.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

Mode = Literal["classes", "refined", "proposals"]
SizeHW = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How an image becomes the network's input, and which boxes stay.

    Change one number with `dataclasses.replace`.

    Attributes:
        channel_order: "rgb" or "bgr", the order of the network's input.
        mean: subtracted from the 0-255 pixels, in `channel_order`.
        short_side: pixels that the shorter side is resized to ...
        max_side: ... unless the longer side would pass this.
        pad_multiple: sides are padded (right, bottom) to a multiple of this.
        square_side: sides are padded to this instead; 0 means not.
        score_threshold: boxes stay whose score is above this (strictly).
        nms_threshold: of boxes that overlap by more than this IoU, the best stays.
        proposals: most boxes of the first stage per image.
    """

    channel_order: Literal["rgb", "bgr"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    short_side: int
    max_side: int
    pad_multiple: int = 32
    square_side: int = 0
    score_threshold: float
    nms_threshold: float = 0.5
    top_k: int
    proposals: int

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.channel_order not in ("rgb", "bgr"):
            raise ConfigError(f"expected channel_order rgb or bgr, got '{self.channel_order}'")
        for name in ("short_side", "max_side", "pad_multiple", "top_k", "proposals"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected {name} of at least 1, got {getattr(self, name)}")
        if self.square_side and self.square_side < self.max_side:
            raise ConfigError(
                f"expected square_side of at least max_side {self.max_side}, got {self.square_side}"
            )
        for name in ("score_threshold", "nms_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"expected {name} between 0 and 1, got {getattr(self, name)}")


class Prepared(NamedTuple):
    """An image ready for the network.

    Attributes:
        pixels: (3, H, W) float32, resized and normalised, not padded.
        original_hw: height and width of the image as it came.
    """

    pixels: Tensor
    resized_hw: SizeHW
    original_hw: SizeHW


class Proposals(NamedTuple):
    """First-stage boxes of one image, best first.

    Attributes:
        boxes: (N, 4) float32 xyxy, pixels of the resized, unpadded image; may reach outside it.
        scores: (N,) float32: an RPN's logits, or Detic's sqrt(sigmoid(heat map)).
    """

    boxes: Tensor
    scores: Tensor


class RegionScores(NamedTuple):
    """What the second stage says of N given boxes of one image.

    Attributes:
        scores: (N, K + 1) float32 probabilities; the last column is background.
        boxes: (N, 4) float32, or (N, 4K) where each class has its box; the proposals' frame.
    """

    scores: Tensor
    boxes: Tensor


class DetectedBoxes(NamedTuple):
    """Boxes of one image, best first.

    Attributes:
        boxes_xyxy: (N, 4) float32, pixels of the ORIGINAL image, inside it, with area.
        scores: (N,) float32 in 0..1.
        classes: (N,) int64 positions in the class list; -1 in mode "proposals".
        objectness: (N,) float32 in 0..1, the first stage's score of the proposal behind each box.
    """

    boxes_xyxy: Tensor
    scores: Tensor
    classes: Tensor
    objectness: Tensor
