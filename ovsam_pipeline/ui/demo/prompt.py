"""What a person pointed at: points, a box, a scribble; from JSON, and checked when made.

All in pixels of the upright original image, as `ovsam.structures.Prompts` has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ovsam.errors import PromptError, show_value
from ovsam.masks import decode_mask, encode_mask, to_rle
from ovsam_pipeline.output.reviews import read_mask

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE

MOST_POINTS = 200
MOST_STROKE_POINTS = 20_000
_MOST_SCRIBBLE_PIXELS = 1 << 26
# A stroke without a width, as a share of the image's longer side.
_STROKE_SHARE = 1 / 64
# Of the longer side; points chosen in it need not be more exact.
_SCRIBBLE_SIDE, _MOST_BRUSH = 1024, 4096
_FAR = 1e7


@dataclass(frozen=True)
class Prompt:
    """One object, as somebody pointed it out.

    Attributes:
        points: x, y and 1 (on the object) or 0 (beside it) of each click, in order.
        box: left, top, right, bottom; or None.
        scribble: a coarse mask, at any scale of the whole image; or None.

    Raises:
        PromptError: nothing says where the object is, a number is not finite, the box is upside
            down.
    """

    points: tuple[tuple[float, float, int], ...] = ()
    box: tuple[float, float, float, float] | None = None
    scribble: RLE | None = None

    def __post_init__(self) -> None:
        """Refuse what points at nothing."""
        if self.box is None and self.scribble is None and not any(p[2] for p in self.points):
            raise PromptError(
                "expected a point on the object, a box or a scribble, got none; click on the object"
            )
        if len(self.points) > MOST_POINTS:
            raise PromptError(f"expected at most {MOST_POINTS} points, got {len(self.points)}")
        if any(label not in (0, 1) for _, _, label in self.points):
            raise PromptError("expected each point as x, y and 1 (object) or 0 (background)")
        numbers = [value for point in self.points for value in point] + [*(self.box or ())]
        if not all(math.isfinite(value) and abs(value) < _FAR for value in numbers):
            raise PromptError("expected coordinates as numbers of pixels of the image")
        if self.box is not None and (self.box[0] > self.box[2] or self.box[1] > self.box[3]):
            raise PromptError(f"expected a box as left, top, right, bottom, got {[*self.box]}")

    @property
    def is_refined(self) -> bool:
        """Whether there is more than one thing to go by."""
        return len(self.points) + (self.box is not None) + (self.scribble is not None) > 1

    def draw_scribble(self, size_hw: tuple[int, int]) -> NDArray[np.uint8] | None:
        """Return the scribble as (h, w) of 0 and 1, a side 1,024 at most; None without one.

        A PromptError where it is empty, or has another shape than the image.
        """
        if self.scribble is None:
            return None
        height, width = self.scribble["size"]
        # A scaled picture has whole pixels: half a pixel more or less on each side is its shape.
        if abs(width * size_hw[0] - height * size_hw[1]) > max(*size_hw, height, width):
            raise PromptError(
                f"expected a scribble of the image's shape, {size_hw[1]} x {size_hw[0]}, got "
                f"{width} x {height}"
            )
        # OpenCV takes no columns that follow each other.
        drawn = np.ascontiguousarray(decode_mask(self.scribble, height, width))
        if not drawn.any():
            raise PromptError("expected a scribble with pixels, got an empty one")
        return _shrink(drawn)


def read_prompt(given: Any, size_hw: tuple[int, int]) -> Prompt:
    """Return the prompt of a request about an image of `size_hw`; other keys are passed over.

    Args:
        given: {"points": [[x, y, 1|0], …], "box": [l, t, r, b] | null, "scribble": a COCO mask,
            {"size": [h, w], "counts": text or runs}, at any scale of the image; or strokes,
            [[x, y], …] or a list of such lines, or {"strokes": lines, "width": pixels} | null}.

    Raises:
        PromptError: it is anything else.
    """
    if not isinstance(given, dict):
        raise PromptError(f"expected a prompt with points, box or scribble, got {_show(given)}")
    points = given.get("points") or []
    if not isinstance(points, list) or len(points) > MOST_POINTS:
        raise PromptError(f"expected at most {MOST_POINTS} points, got {_show(points)}")
    read = [_read_numbers(point, 3, "a point as [x, y, 1 or 0]") for point in points]
    if any(label not in (0, 1) for _, _, label in read):
        raise PromptError("expected a point as [x, y, 1 or 0]")
    box = given.get("box")
    corners = None if box is None else _read_numbers(box, 4, "a box as [left, top, right, bottom]")
    return Prompt(
        tuple((x, y, int(label)) for x, y, label in read),
        None if corners is None else (corners[0], corners[1], corners[2], corners[3]),
        _read_scribble(given.get("scribble"), size_hw),
    )


def _shrink(drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a scribble of 0 and 1 with a longer side of at most 1,024; nothing thin is lost.

    Label Studio's are as large as the image, where finding points would take seconds.
    """
    scale = _SCRIBBLE_SIDE / max(drawn.shape)
    if scale >= 1:
        return drawn
    height, width = (max(1, round(side * scale)) for side in drawn.shape)
    # The rest of a thin stroke in a pixel may be a small share of it.
    shares = cv2.resize(drawn.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return (shares > 0).astype(np.uint8)


def _read_numbers(value: Any, count: int, what: str) -> list[float]:
    is_list = isinstance(value, list) and len(value) == count
    if not is_list or not all(type(number) in (int, float) for number in value):
        raise PromptError(f"expected {what}, got {_show(value)}")
    try:
        numbers = [float(number) for number in value]
    except OverflowError as error:
        raise PromptError(f"expected {what}, got {_show(value)}") from error
    if not all(math.isfinite(number) and abs(number) < _FAR for number in numbers):
        raise PromptError(f"expected {what} in pixels of the image, got {_show(value)}")
    return numbers


def _read_scribble(value: Any, size_hw: tuple[int, int]) -> RLE | None:
    if value is None or value == []:
        return None
    if isinstance(value, dict) and "strokes" not in value:
        return _read_mask(value)
    strokes, width = value, None
    if isinstance(value, dict):
        strokes, width = value["strokes"], value.get("width")
    if not isinstance(strokes, list) or not strokes:
        raise PromptError(f"expected a scribble as a mask or as strokes, got {_show(value)}")
    lines = strokes if isinstance(strokes[0], list) and _is_line(strokes[0]) else [strokes]
    return _draw_strokes(lines, width, size_hw)


def _is_line(value: list[Any]) -> bool:
    """Whether a list is one of points, and not a point."""
    return bool(value) and isinstance(value[0], list)


def _read_mask(value: dict[str, Any]) -> RLE:
    size: Any = value.get("size")
    is_size = isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)
    if not is_size or min(size) < 1 or size[0] * size[1] > _MOST_SCRIBBLE_PIXELS:
        raise PromptError(f"expected a scribble with its size [height, width], got {_show(size)}")
    try:
        if isinstance(value.get("counts"), list):
            value = to_rle(value, *size)
            value["counts"] = value["counts"].decode("ascii")
        mask = read_mask(value)
    except ValueError as error:
        raise PromptError(f"the scribble cannot be read: {error}") from error
    assert mask is not None
    return mask


def _draw_strokes(lines: Sequence[Any], width: Any, size_hw: tuple[int, int]) -> RLE:
    """Return lines drawn with a round brush, at a scale at which a side is 1,024 at most."""
    if not all(isinstance(line, list) for line in lines):
        raise PromptError(f"expected strokes as lists of [x, y], got {_show(lines)}")
    if sum(map(len, lines)) > MOST_STROKE_POINTS:
        raise PromptError(f"expected a scribble of at most {MOST_STROKE_POINTS:,} points")
    if width is not None and (type(width) not in (int, float) or not 0 < width < _FAR):
        raise PromptError(f"expected the width of a stroke in pixels, got {_show(width)}")
    read = [
        [_read_numbers(point, 2, "a stroke as [[x, y], …]") for point in line] for line in lines
    ]
    if not any(read):
        raise PromptError("expected a scribble with points, got an empty one")
    longer = max(size_hw)
    scale = min(1.0, _SCRIBBLE_SIDE / longer)
    height, wide = (max(1, round(side * scale)) for side in size_hw)
    drawn = np.zeros((height, wide), np.uint8)
    # A wider one covers the image, and OpenCV draws none of 32,768 pixels.
    brush = min(max(1, round((width or longer * _STROKE_SHARE) * scale)), _MOST_BRUSH)
    factors = (wide / size_hw[1], height / size_hw[0])
    for line in filter(None, read):
        places = np.rint(np.array(line) * factors - 0.5).clip(-1e6, 1e6).astype(np.int32)
        # A line of one point is a dot.
        cv2.polylines(drawn, [np.repeat(places, 2, axis=0)], False, 1, brush)
    if not drawn.any():
        raise PromptError("expected a scribble on the image, got one beside it")
    return encode_mask(drawn)


def _show(value: Any) -> str:
    return show_value(value, 60)
