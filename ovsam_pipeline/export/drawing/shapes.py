"""Masks and boxes in a picture: thin smooth outlines on a hairline rim, and a translucent fill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ovsam.run_lengths import decode_all_counts
from ovsam_pipeline.export.drawing.colours import Colour, choose_contrast

Box = tuple[int, int, int, int]

_JPEG_QUALITY = 90
# Points are drawn to a sixteenth of a pixel.
_SHIFT = 4
# Of so many pixels of a border the mean is taken, which takes the stairs out of it.
_SMOOTHED = 5
# Borders of fewer pixels are specks or pinholes of a mask, which its fill shows; in one with a long
# border that goes for longer ones, too.
_LEAST_BORDER, _MOST_SPECK, _SPECK_SHARE = 12, 60, 1 / 30
_DASH, _DASH_AND_GAP = 9, 15
_RIM_OPACITY = 0.7
# Beyond this a picture is enlarged so that its pixels are seen as what they are.
_MOST_SMOOTH_SCALE = 8


@dataclass(frozen=True)
class Shape:
    """A mask in a picture.

    Attributes:
        box: where it is.
        coverage: of each pixel of the box, 0 to 255: (H, W) uint8.
        outline: its borders, those of holes too: each (N, 2) float32, x and y of the picture.
    """

    box: Box
    coverage: NDArray[np.uint8]
    outline: tuple[NDArray[np.float32], ...]

    @property
    def area(self) -> float:
        """Its pixels."""
        return float(self.coverage.sum(dtype=np.int64)) / 255


def resize_picture(image: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an (H, W, 3) image in another size: smooth, but where it is enlarged a lot."""
    scale = max(size_wh) / max(image.shape[:2])
    enlarge = cv2.INTER_CUBIC if scale <= _MOST_SMOOTH_SCALE else cv2.INTER_NEAREST
    method = cv2.INTER_AREA if scale < 1 else enlarge
    return np.ascontiguousarray(cv2.resize(image, size_wh, interpolation=method))


def shape_of_mask(
    segmentation: Any,
    image_hw: tuple[int, int],
    size_wh: tuple[int, int],
    window: Box | None = None,
) -> Shape | None:
    """Return a mask as it lies in a picture of `size_wh` pixels; None where nothing of it does.

    Args:
        segmentation: run lengths.
        image_hw: of the image in pixels.
        size_wh: of the picture.
        window: the part of the image that the picture shows, in pixels of the image; all of it.

    Raises:
        ValueError: the run lengths are damaged, or of an image of another size.
    """
    height, width = image_hw
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"expected a mask of {width} x {height} pixels")
    left, top, right, bottom = window or (0, 0, width, height)
    inner, part = _decode_part(segmentation, (left, top, right, bottom))
    if part is None:
        return None
    scale_x, scale_y = size_wh[0] / (right - left), size_wh[1] / (bottom - top)
    box = (
        int((inner[0] - left) * scale_x), int((inner[1] - top) * scale_y),
        int(np.ceil((inner[2] - left) * scale_x)), int(np.ceil((inner[3] - top) * scale_y)),
    )  # fmt: skip
    size = max(1, box[2] - box[0]), max(1, box[3] - box[1])
    if scale_x < 1:
        # The part that those whole pixels of the picture show.
        seen = np.array([box[0], box[1], box[2], box[3]]) / (scale_x, scale_y, scale_x, scale_y)
        seen = np.rint(seen).astype(int) + np.array([left, top, left, top])
        (x, y), (x_end, y_end) = np.maximum(0, inner[:2] - seen[:2]), seen[2:] - inner[2:]
        part = np.pad(part, ((x, max(0, x_end)), (y, max(0, y_end))))
    method = cv2.INTER_AREA if scale_x < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(part, size[::-1], interpolation=method)
    coverage = np.ascontiguousarray(resized.T, np.uint8)
    return Shape(box, coverage, tuple(_find_borders(coverage, box[:2])))


def shape_of_box(box: Box) -> Shape:
    """Return a box as a shape that is outlined and not filled."""
    left, top, right, bottom = box
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
    sides = zip(corners, np.roll(corners, -1, axis=0), strict=True)
    steps = max(2, right - left, bottom - top)
    points = np.concatenate([np.linspace(a, b, steps, endpoint=False) for a, b in sides])
    none = np.zeros((max(1, bottom - top), max(1, right - left)), np.uint8)
    return Shape(box, none, (points.astype(np.float32),))


def fill_shape(picture: NDArray[np.uint8], shape: Shape, colour: Colour, opacity: float) -> None:
    """Lay a colour on the pixels of a shape, through which they still show."""
    left, top, right, bottom = shape.box
    ground = picture[top:bottom, left:right]
    share = shape.coverage[: ground.shape[0], : ground.shape[1], None] * np.float32(opacity / 255)
    ground[:] = np.rint(ground + (np.array(colour, np.float32) - ground) * share)


def draw_outline(
    picture: NDArray[np.uint8],
    shape: Shape,
    colour: Colour,
    thickness: int,
    *,
    is_dashed: bool = False,
) -> None:
    """Draw the borders of a shape on a hairline rim that shows them on their own colour, too."""
    points = [np.rint(line * (1 << _SHIFT)).astype(np.int32) for line in shape.outline]
    left, top, right, bottom = _grow(shape.box, thickness + 2, picture.shape)
    ground = picture[top:bottom, left:right]
    # The rim is mixed, so that on a quiet ground it is hardly seen.
    rim = np.zeros(ground.shape[:2], np.uint8)
    offset = np.array([left, top], np.int32) << _SHIFT
    moved = [line - offset for line in points]
    cv2.polylines(rim, moved, True, 255, thickness + 2, cv2.LINE_AA, _SHIFT)
    share = rim[..., None] * np.float32(_RIM_OPACITY / 255)
    ground[:] = np.rint(ground + (np.float32(choose_contrast(colour)[0]) - ground) * share)
    if is_dashed:
        pieces = [piece for line in points for piece in _cut(line, thickness)]
        cv2.polylines(picture, pieces, False, colour, thickness, cv2.LINE_AA, _SHIFT)
    else:
        cv2.polylines(picture, points, True, colour, thickness, cv2.LINE_AA, _SHIFT)


def draw_point(
    picture: NDArray[np.uint8], place: tuple[int, int], colour: Colour, thickness: int
) -> None:
    """Draw a point prompt as a disc on a rim of three times the line's thickness."""
    cv2.circle(picture, place, 3 * thickness, choose_contrast(colour), cv2.FILLED, cv2.LINE_AA)
    cv2.circle(picture, place, 2 * thickness, colour, cv2.FILLED, cv2.LINE_AA)


def encode_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """Return the content of a JPEG file."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)
    return bytes(data.tobytes())


def find_inner_point(shape: Shape) -> tuple[int, int]:
    """Return the pixel of a shape that is farthest from its border: where a line may point at."""
    left, top, right, bottom = shape.box
    if not shape.coverage.any():
        return (left + right) // 2, (top + bottom) // 2
    # Coarsely: large shapes need no exact one.
    step = max(1, max(shape.coverage.shape) // 64)
    mask = np.pad((shape.coverage[::step, ::step] > 127).astype(np.uint8), 1)
    y, x = np.unravel_index(cv2.distanceTransform(mask, cv2.DIST_L2, 3).argmax(), mask.shape)
    x, y = left + (int(x) - 1) * step, top + (int(y) - 1) * step
    return min(max(x, left), right - 1), min(max(y, top), bottom - 1)


def _decode_part(segmentation: Any, window: Box) -> tuple[Box, NDArray[np.uint8] | None]:
    """Return a mask within its own box and a window: the box, and (W, H) uint8 of 0 and 255.

    Only columns of the mask are decoded: the image may have many times its pixels.
    """
    height, width = segmentation["size"]
    counts = segmentation["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    runs, _ = decode_all_counts([text], np.array([height * width]))
    ends = np.cumsum(runs)
    ones = np.flatnonzero(runs[1::2]) * 2 + 1
    if not len(ones):
        return window, None
    first = max(window[0], int(ends[ones[0] - 1]) // height)
    last = min(window[2], (int(ends[ones[-1]]) - 1) // height + 1)
    if first >= last:
        return window, None
    edges = np.clip(ends, first * height, last * height)
    lengths = np.diff(edges, prepend=first * height)
    values = (np.arange(len(runs)) % 2 * 255).astype(np.uint8)
    columns = np.repeat(values, lengths).reshape(last - first, height)[:, window[1] : window[3]]
    rows = np.flatnonzero(columns.any(axis=0))
    if not len(rows):
        return window, None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    box = (first, window[1] + top, last, window[1] + bottom)
    return box, np.ascontiguousarray(columns[:, top:bottom])


def _find_borders(coverage: NDArray[np.uint8], start: tuple[int, int]) -> list[NDArray[np.float32]]:
    """Return the smoothed borders of a mask but specks; of a mask of specks the longest."""
    lines, _ = cv2.findContours(
        (coverage > 127).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    if not lines:  # thinner than a pixel
        height, width = coverage.shape
        x, y = start
        corners = [(x, y), (x + width - 1, y), (x + width - 1, y + height - 1), (x, y + height - 1)]
        return [np.array(corners, np.float32)]
    longest = max(len(line) for line in lines)
    least = min(max(_LEAST_BORDER, min(_MOST_SPECK, longest * _SPECK_SHARE)), longest)
    kept = [line[:, 0].astype(np.float32) for line in lines if len(line) >= least]
    return [_smooth(line) + np.array(start, np.float32) for line in kept]


def _smooth(line: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a closed line whose points are means of themselves and their neighbours."""
    if len(line) < 2 * _SMOOTHED:
        return line
    half = _SMOOTHED // 2
    shifted = [np.roll(line, shift, axis=0) for shift in range(-half, half + 1)]
    return np.asarray(np.mean(shifted, axis=0), np.float32)


def _cut(line: NDArray[np.int32], thickness: int) -> list[NDArray[np.int32]]:
    """Return the dashes of a closed line, longer where it is thicker."""
    closed = np.concatenate([line, line[:1]])
    steps = np.linalg.norm(np.diff(closed, axis=0).astype(np.float32), axis=1) / (1 << _SHIFT)
    along = np.concatenate([[0], np.cumsum(steps)])
    scale = max(1.0, thickness / 2)
    # Whole dashes around it; a short line has two, so that it does not look whole.
    count = max(2, round(float(along[-1]) / (_DASH_AND_GAP * scale)))
    phase = along * (count / max(along[-1], 1e-6))
    is_drawn = phase % 1 < _DASH / _DASH_AND_GAP
    number = np.floor(phase).astype(int)
    return [
        piece for index in range(count) if len(piece := closed[is_drawn & (number == index)]) > 1
    ]


def _grow(box: Box, margin: int, shape: Sequence[int]) -> Box:
    left, top, right, bottom = box
    height, width = shape[:2]
    return (
        min(max(0, left - margin), width), min(max(0, top - margin), height),
        max(0, min(width, right + margin + 1)), max(0, min(height, bottom + margin + 1)),
    )  # fmt: skip
