"""COCO as CVAT, FiftyOne and Label Studio write it → what people left in each image.

All images of the file count as looked at. Our key is a field of the annotation, or of its
`attributes`, where the editor keeps those. Most editors write masks as polygons, without holes and
small parts: their own format (CVAT for images 1.1, FiftyOneDataset, Label Studio's JSON) is better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ovsam.coco_fields import to_box, to_id
from ovsam.coco_json import get_image_file_name, iterate_json
from ovsam.errors import show_value
from ovsam_pipeline.export.editor_images import BATCH_FIELD, KEY_FIELD
from ovsam_pipeline.export.review_tasks import CorrectedImage, LeftObject
from ovsam_pipeline.outcomes import Reasons
from ovsam_pipeline.review.editors.shapes import check_size, draw_box, read_segmentation
from ovsam_pipeline.review.editors.untaken import counting_untaken, take_text

if TYPE_CHECKING:
    from ovsam.coco_json import JsonFile

_OWN_NAME = "ovsam_file_name"


def read_coco(path: JsonFile, left_out: Reasons) -> Iterator[CorrectedImage]:
    """Yield the images of a COCO file; what gives none is counted in `left_out`.

    Memory is that of the file's annotations.

    Raises:
        ValueError: it is no JSON, or no COCO.
    """
    lists: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
    for key, value in iterate_json(path):
        name = key.removesuffix("[]")
        if name in lists and key != name:
            if not isinstance(value, dict):
                raise ValueError(f"expected objects in {name}, got {show_value(value, 40)}")
            lists[name].append(value)
    names = {to_id(item.get("id")): take_text(item, "name") for item in lists["categories"]}
    of_image: dict[int | None, list[dict[str, Any]]] = {}
    for annotation in lists["annotations"]:
        of_image.setdefault(to_id(annotation.get("image_id")), []).append(annotation)
    times = Counter(to_id(image.get("id")) for image in lists["images"])
    for image in lists["images"]:
        found: list[CorrectedImage] = []
        number = to_id(image.get("id"))
        annotations = of_image.pop(number, [])
        with counting_untaken(left_out, get_image_file_name(image)[0]):
            if number is None or times[number] > 1:
                shown = show_value(image.get("id"), 20)
                raise ValueError(f"expected an id that no other image has, got {shown}")
            found.append(_read_image(image, annotations, names))
        yield from found
    for annotation in (item for items in of_image.values() for item in items):
        place = f"image_id {show_value(annotation.get('image_id'), 20)}"
        left_out.add("an annotation of an image that the file does not list", place)


def _read_image(
    image: dict[str, Any], annotations: list[dict[str, Any]], names: dict[int | None, str | None]
) -> CorrectedImage:
    name = take_text(image, _OWN_NAME) or get_image_file_name(image)[0]
    if name is None:
        raise ValueError("it has no file_name")
    size = check_size(image.get("height"), image.get("width"))
    objects = tuple(_read_annotation(item, size, names) for item in annotations)
    batches = {_find(item, BATCH_FIELD) for item in annotations} - {None}
    batch = take_text(image, BATCH_FIELD) or (batches.pop() if len(batches) == 1 else None)
    return CorrectedImage(name, objects, batch=batch)


def _read_annotation(
    annotation: dict[str, Any], size: tuple[int, int], names: dict[int | None, str | None]
) -> LeftObject:
    category = names.get(to_id(annotation.get("category_id")))
    if category is None:
        number = show_value(annotation.get("category_id"), 20)
        raise ValueError(f"its category_id {number} is none of the categories")
    segmentation = annotation.get("segmentation")
    if segmentation:
        mask = read_segmentation(segmentation, size)
    else:
        box = to_box(annotation.get("bbox"))
        if box is None:
            raise ValueError("an annotation has neither segmentation nor bbox")
        mask = draw_box([box[0], box[1], box[0] + box[2], box[1] + box[3]], size)
    return LeftObject(category, mask, _find(annotation, KEY_FIELD))


def _find(annotation: dict[str, Any], name: str) -> str | None:
    return take_text(annotation, name) or take_text(annotation.get("attributes"), name)
