"""CVAT for images 1.1 → what people left in each image.

All images of the file count as looked at: CVAT does not say which ones were. Shapes of one group
and label are one object. Attributes tell which of our objects a shape is, and its batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ovsam.errors import show_value
from ovsam_pipeline.export.editor_images import BATCH_FIELD, KEY_FIELD
from ovsam_pipeline.export.review_tasks import CorrectedImage, LeftObject
from ovsam_pipeline.outcomes import Reasons
from ovsam_pipeline.review.editors.shapes import (
    check_size,
    draw_ellipse,
    draw_pixels,
    draw_polygons,
    draw_turned_box,
    join_masks,
    to_float,
)
from ovsam_pipeline.review.editors.untaken import counting_untaken
from ovsam_pipeline.review.editors.xml_events import End, Start, iterate_xml

if TYPE_CHECKING:
    from ovsam.structures import RLE

_SHAPES = ("mask", "box", "polygon", "ellipse")
# They cover no pixels, or say something of the whole image.
_OTHER_SHAPES = ("polyline", "points", "cuboid", "skeleton")


@dataclass
class _Shape:
    tag: str
    attributes: dict[str, str]
    facts: dict[str, str] = field(default_factory=dict)


@dataclass
class _Image:
    attributes: dict[str, str]
    shapes: list[_Shape] = field(default_factory=list)


def read_cvat(stream: IO[bytes], left_out: Reasons) -> Iterator[CorrectedImage]:
    """Yield the images of a CVAT XML file; what gives none is counted in `left_out`.

    Raises:
        ValueError: it is no XML, or not that of CVAT for images.
    """
    for image in _iterate_images(stream):
        found: list[CorrectedImage] = []
        with counting_untaken(left_out, image.attributes.get("name")):
            found.append(_read_image(image))
        yield from found


def _iterate_images(stream: IO[bytes]) -> Iterator[_Image]:
    image: _Image | None = None
    fact = ""
    is_first = True
    for event in iterate_xml(stream):
        if is_first and event[0] != "annotations":
            raise ValueError(f"expected <annotations> of CVAT, got <{event[0][:40]}>")
        is_first = False
        if event.tag == "track":
            raise ValueError("expected CVAT for images 1.1, got CVAT for video 1.1; export again")
        if event.tag == "image":
            if isinstance(event, Start):
                image = _Image(event.attributes)
            elif image is not None:
                yield image
                image = None
        elif image is not None:
            fact = _add(image, event, fact)


def _add(image: _Image, event: Start | End, fact: str) -> str:
    """Add a shape, or a fact of the last one, to an image; return the fact whose text follows."""
    if isinstance(event, End):
        if event.tag == "attribute" and image.shapes:
            image.shapes[-1].facts[fact] = event.text
        return ""
    if event.tag in (*_SHAPES, *_OTHER_SHAPES):
        image.shapes.append(_Shape(event.tag, event.attributes))
    return event.attributes.get("name", "") if event.tag == "attribute" else ""


def _read_image(image: _Image) -> CorrectedImage:
    size = check_size(to_float(image.attributes["height"]), to_float(image.attributes["width"]))
    groups: dict[Any, list[_Shape]] = {}
    for number, shape in enumerate(image.shapes):
        group = shape.attributes.get("group_id", "0")
        # What is in no group is an object of its own.
        key = number if group in ("", "0") else (group, shape.attributes["label"])
        groups.setdefault(key, []).append(shape)
    objects = tuple(_read_object(shapes, size) for shapes in groups.values())
    batches = {shape.facts[BATCH_FIELD] for shape in image.shapes if shape.facts.get(BATCH_FIELD)}
    batch = batches.pop() if len(batches) == 1 else None
    return CorrectedImage(image.attributes["name"], objects, batch=batch)


def _read_object(shapes: Sequence[_Shape], size: tuple[int, int]) -> LeftObject:
    keys = (shape.facts.get(KEY_FIELD) for shape in shapes)
    mask = join_masks([_draw(shape, size) for shape in shapes])
    return LeftObject(shapes[0].attributes["label"], mask, next((key for key in keys if key), None))


def _draw(shape: _Shape, size: tuple[int, int]) -> RLE:
    values = shape.attributes
    if shape.tag == "mask":
        return _draw_mask(values, size)
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in values["points"].split(";")]
        return draw_polygons([np.array([[to_float(x), to_float(y)] for x, y in pairs])], size)
    degrees = to_float(values.get("rotation", "0"))
    if shape.tag == "ellipse":
        centre, radii = (
            [to_float(values[n]) for n in names] for names in (("cx", "cy"), ("rx", "ry"))
        )
        return draw_ellipse(centre, radii, degrees, size)
    if shape.tag == "box":
        box = [to_float(values[name]) for name in ("xtl", "ytl", "xbr", "ybr")]
        centre = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
        return draw_turned_box(box, degrees, centre, size)
    raise ValueError(f"a shape of the type {show_value(shape.tag, 20)} covers no pixels")


def _draw_mask(values: dict[str, str], size: tuple[int, int]) -> RLE:
    names = ("left", "top", "width", "height")
    left, top, width, height = (int(to_float(values[name])) for name in names)
    is_inside = min(left, top) >= 0 and left + width <= size[1] and top + height <= size[0]
    if not is_inside or min(width, height) < 1:
        raise ValueError("a mask reaches beyond the image")
    try:
        runs = np.array(values["rle"].split(","), np.int64)
    except OverflowError:
        runs = np.array([-1])
    if (runs < 0).any() or (runs > width * height).any() or int(runs.sum()) != width * height:
        raise ValueError("the run lengths of a mask do not fill its box")
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return draw_pixels(pixels, left, top, size)
