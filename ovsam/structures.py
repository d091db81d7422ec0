"""Types that cross files: prompts, images on their way, predictions.

What people give (prompts, prepared images) is checked when made; what we compute is not.

Letters: B images, N prompts, P points of a prompt, C channels, K classes, H W pixels of the
original image, S side of the network input.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self, TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ovsam.errors import ImageError, PromptError

FloatArray = NDArray[np.float32]


class RLE(TypedDict):
    """COCO's compressed run-length encoding: size (H, W) and counts as ASCII text."""

    size: list[int]
    counts: str


def _to_numbers(name: str, value: object, shape_text: str) -> FloatArray:
    try:
        return np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise PromptError(f"{name} must be numbers of shape {shape_text}, got {error}") from error


def _as_float_array(name: str, value: object, shape_text: str, ndim: int, last: int) -> FloatArray:
    array = _to_numbers(name, value, shape_text)
    if array.size == 0 and array.ndim < ndim:
        array = array.reshape((0,) * (ndim - 1) + (last,))
    if array.ndim != ndim or array.shape[-1] != last:
        raise PromptError(f"{name} must have shape {shape_text}, got {array.shape}")
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise PromptError(f"{name} must be finite numbers, got {array[row].tolist()} in row {row}")
    return array


def check_boxes(name: str, value: object) -> FloatArray:
    """Return boxes as (N, 4) float32, an empty list as (0, 4); anything else is a PromptError."""
    boxes = _as_float_array(name, value, "(N, 4)", 2, 4)
    wrong = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise PromptError(
            f"{name} must be x1, y1, x2, y2 with x1 <= x2 and y1 <= y2, got "
            f"{boxes[row].tolist()} in row {row}; convert xywh boxes first"
        )
    return boxes


@dataclass(frozen=True, init=False)
class Prompts:
    """What to segment: N prompts of one kind, all in pixels of the ORIGINAL image.

    The origin is the top left corner. A box has continuous corners; a point is the index of a
    pixel, whose centre is half a pixel further (the prompt encoder adds it). Every prompt has a
    box, points, or both, and optionally a coarse mask.

    Attributes:
        boxes_xyxy: (N, 4) float32, or None.
        points_xy: (N, P, 2) float32, or None.
        point_labels: (N, P) int64: 1 object, 0 background, -1 padding; None where points_xy is.
        mask_logits: (N, S, S) float32 logits in the frame of the padded network input, as
            `Prediction.low_res_logits` returns them (S = input size / 4), or None.

    Raises:
        PromptError: shapes disagree, values are not finite, a box is upside down, no prompt.
    """

    boxes_xyxy: FloatArray | None
    points_xy: FloatArray | None
    point_labels: NDArray[np.int64] | None
    mask_logits: FloatArray | None

    def __init__(
        self,
        boxes_xyxy: ArrayLike | None = None,
        points_xy: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        mask_logits: ArrayLike | None = None,
    ) -> None:
        """Take arrays or nested lists; (N, 2) points are one point per prompt."""
        if boxes_xyxy is None and points_xy is None:
            raise PromptError("a prompt needs boxes_xyxy, points_xy or both, got neither")
        boxes = None if boxes_xyxy is None else check_boxes("boxes_xyxy", boxes_xyxy)
        points, labels = _check_points(points_xy, point_labels)
        masks = None if mask_logits is None else _check_masks(mask_logits)
        counts = {len(x) for x in (boxes, points, masks) if x is not None}
        if len(counts) > 1:
            raise PromptError(
                f"boxes, points and masks must be of the same prompts, got counts {sorted(counts)}"
            )
        # A frozen dataclass lets its own constructor set fields only this way.
        object.__setattr__(self, "boxes_xyxy", boxes)
        object.__setattr__(self, "points_xy", points)
        object.__setattr__(self, "point_labels", labels)
        object.__setattr__(self, "mask_logits", masks)

    def __len__(self) -> int:
        """Number of prompts N."""
        array = self.boxes_xyxy if self.boxes_xyxy is not None else self.points_xy
        assert array is not None
        return len(array)


def _check_points(
    points: ArrayLike | None, labels: ArrayLike | None
) -> tuple[FloatArray | None, NDArray[np.int64] | None]:
    if points is None:
        if labels is not None:
            raise PromptError("point_labels need points_xy, got labels alone")
        return None, None
    array = _to_numbers("points_xy", points, "(N, P, 2)")
    if array.ndim == 2 and array.shape[-1] == 2:
        array = array[:, None]
    array = _as_float_array("points_xy", array, "(N, P, 2)", 3, 2)
    shape = array.shape[:2]
    given = np.ones(shape) if labels is None else labels
    given = _to_numbers("point_labels", given, str(shape))
    if given.size != shape[0] * shape[1]:
        raise PromptError(f"point_labels must have shape {shape} like points_xy, got {given.shape}")
    if not np.isin(given, (-1, 0, 1)).all():
        raise PromptError(
            f"point_labels must be 1, 0 or -1 (padding), got {np.unique(given).tolist()}"
        )
    return array, given.astype(np.int64).reshape(shape)


def _check_masks(value: ArrayLike) -> FloatArray:
    array = _to_numbers("mask_logits", value, "(N, S, S)")
    if array.ndim != 3 or array.shape[1] != array.shape[2]:
        raise PromptError(f"mask_logits must have shape (N, S, S), got {array.shape}")
    if not np.isfinite(array).all():
        raise PromptError("mask_logits must be finite numbers")
    return array


@dataclass(frozen=True)
class PreparedImage:
    """An image resized for the network, from `prepare_image`: not yet padded or normalised.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, the longer side equal to the network's input size.
        original_size_hw: height and width of the image as decoded, in pixels.
        input_size: side of the square network input, in pixels.
    """

    pixels: NDArray[np.uint8]
    original_size_hw: tuple[int, int]
    input_size: int

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ImageError(
                f"an image must be (H, W, 3) uint8 RGB, got {self.pixels.shape} {self.pixels.dtype}"
            )
        if max(self.pixels.shape[:2]) > self.input_size:
            raise ImageError(
                f"a prepared image must fit {self.input_size} pixels, got {self.pixels.shape[:2]}"
            )

    @property
    def input_size_hw(self) -> tuple[int, int]:
        """Height and width of the image's area in the network input, in input pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Factors from original pixels to input pixels, x and y."""
        height, width = self.original_size_hw
        return self.pixels.shape[1] / width, self.pixels.shape[0] / height


class ImageFeatures(NamedTuple):
    """What the frozen encoder computed for B images: all that prompts are decoded from.

    Attributes:
        image_embedding: (B, C, S/16, S/16), the SAM-like embedding from the SAM2CLIP neck.
        fpn_levels: four maps (B, C, S/4 ... S/32) of CLIP2SAM; empty where the head has no FPN.
        clip_feature: (B, C4, S/32, S/32), CLIP's last stage; of the image-crop baseline the
            (B, 3, S, S) pixels; of a plain SAM (B, 0), nothing.
        mask_details: two maps, as `MaskDecoder.build_details` makes them; empty without fine masks.
    """

    image_embedding: Tensor
    fpn_levels: tuple[Tensor, ...]
    clip_feature: Tensor
    mask_details: tuple[Tensor, ...] = ()

    def of_image(self, row: int) -> Self:
        """Return the features of one image, B = 1; nothing is copied."""
        one = slice(row, row + 1)
        return self._replace(
            image_embedding=self.image_embedding[one],
            fpn_levels=tuple(level[one] for level in self.fpn_levels),
            clip_feature=self.clip_feature[one],
            mask_details=tuple(detail[one] for detail in self.mask_details),
        )


@dataclass(frozen=True)
class EncodedImage:
    """An image after the frozen encoder, from `Predictor.encode`: prompt it many times.

    Attributes:
        original_size_hw: height and width of the image as decoded, in pixels.
        input_size_hw: height and width of the image's area in the network input.
        features: of this image alone, B = 1.
    """

    original_size_hw: tuple[int, int]
    input_size_hw: tuple[int, int]
    features: ImageFeatures

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Factors from original pixels to input pixels, x and y."""
        (height, width), (in_height, in_width) = self.original_size_hw, self.input_size_hw
        return in_width / width, in_height / height


@dataclass(frozen=True)
class Prediction:
    """Masks and labels of N prompts of one image; every array is on the CPU.

    From a predictor without a vocabulary there are masks alone: labels, scores and margins are then
    empty, (0,), and logits have no classes, (N, 0).

    Attributes:
        boxes_xyxy: (N, 4) float32, the tight box of each mask, original pixels; zeros where empty.
        labels: (N,) int64 class index into the vocabulary.
        scores: (N,) float32 in [0, 1]: probability of the label among the vocabulary's classes.
        margins: (N,) float32, that probability minus the runner-up's.
        mask_scores: (N,) float32 in [0, 1]: stability, the area at logit > +1 over that at > -1.
        areas: (N,) int64 mask area in original pixels.
        masks: (N, H, W) bool at the original size; None where only RLE was asked for.
        rles: N COCO RLEs; None where only full masks were asked for.
        head_logits: (N, K + 1) float32 from CLIP2SAM; the last column is background.
        clip_logits: (N, K + 1) float32 from frozen CLIP.
        fused_logits: (N, K + 1) float32 log-probabilities after `Classifier.fuse`.
        low_res_logits: (N, S/4, S/4) float32 mask logits of the padded input.
    """

    boxes_xyxy: FloatArray
    labels: NDArray[np.int64]
    scores: FloatArray
    margins: FloatArray
    mask_scores: FloatArray
    areas: NDArray[np.int64]
    head_logits: FloatArray
    clip_logits: FloatArray
    fused_logits: FloatArray
    low_res_logits: FloatArray
    masks: NDArray[np.bool_] | None = None
    rles: list[RLE] | None = None

    def __len__(self) -> int:
        """Number of prompts N."""
        return len(self.boxes_xyxy)

    @property
    def is_named(self) -> bool:
        """Whether the prompts were recognised: labels, scores and logits of classes are there."""
        return self.fused_logits.shape[1] > 0


def to_numpy(tensor: Tensor) -> FloatArray:
    """Return a float32 CPU copy of a tensor."""
    return tensor.detach().to("cpu", torch.float32).numpy()
