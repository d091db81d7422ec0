"""Boxes in COCO JSON files, read item by item: data sets, and lists of detection results.

A data set is an object with images, annotations and categories; results are a list of
{image_id, category_id, bbox, score}. The output of MegaDetector is read as well. Input: a path.
Output: a `BoxTable`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ovsam.coco_fields import to_flag, to_id, to_side, to_text
from ovsam.coco_json import get_image_file_name, iterate_json
from ovsam.errors import explain_json, show_value
from ovsam.masks import bound_mask
from ovsam_pipeline.detectors.stored.box_table import CROWD, BoxTable, BoxTableBuilder
from ovsam_pipeline.errors import DatasetError


class CocoBoxes:
    """The boxes of one or two COCO files.

    `names` maps category ids to class names; it is empty where no file has categories. `is_dataset`
    tells a data set from a list of results, for the file read last. `on_box` is called with each
    annotation or result, in the order of the rows.
    """

    def __init__(self, on_box: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.builder = BoxTableBuilder()
        self.names: dict[int, str] = {}
        self.is_dataset = True
        self.is_relative = False
        self.failures: dict[int, str] = {}
        self._on_box = on_box

    def build(self, conf: float | None) -> BoxTable:
        """Return the table of all boxes read, see `BoxTableBuilder.build`."""
        table = self.builder.build(conf, self.names, has_categories=True)
        return replace(table, failures=self.failures, is_relative=self.is_relative)

    def read(self, path: Path, *, with_boxes: bool = True) -> None:
        """Read a data set or a list of results; without boxes, its images and categories only.

        Raises a DatasetError where it is neither of the two, or an entry lacks a field.
        """
        keys: set[str] = set()
        with explain_json(path, DatasetError):
            for key, value in iterate_json(path):
                keys.add(key)
                try:
                    self._take(key, value, with_boxes)
                except (KeyError, TypeError, AttributeError) as error:
                    raise DatasetError(
                        f"expected COCO boxes in {path}, got {show_value(value, 100)} in "
                        f"{key.removesuffix('[]') or 'the list'} ({type(error).__name__}: {error})"
                    ) from error
        self.is_dataset = "" not in keys
        wanted = {"images", "annotations"} if with_boxes else {"images", "categories"}
        if self.is_relative:
            wanted = {"images", "detection_categories"}
        if self.is_dataset and not wanted <= keys:
            raise DatasetError(
                f"expected a list of results or a COCO data set in {path}, got an object without "
                f"{' and '.join(sorted(wanted - keys))}"
            )

    def _take(self, key: str, value: Any, with_boxes: bool) -> None:
        if key in ("images", "annotations", "categories") and not isinstance(value, list):
            raise TypeError(f"expected a list of {key}")
        if key.endswith("[]") and not isinstance(value, dict):
            raise TypeError("expected an object")
        if key == "images[]" and "file" in value and "id" not in value:
            self._add_detections(value)
        elif key == "images[]":
            width, height = (to_side(value.get(side)) or 0 for side in ("width", "height"))
            name = to_text(get_image_file_name(value)[0])
            self.builder.add_image(_to_id(value["id"]), name, width, height)
        elif key == "categories[]":
            self.names[_to_id(value["id"])] = to_text(value["name"]) or str(value["name"])
        elif key == "detection_categories":
            self.names |= {_to_id(number): str(name) for number, name in value.items()}
        elif (key == "annotations[]" and with_boxes) or key == "[]":
            self._add(value)

    def _add(self, value: dict[str, Any]) -> None:
        # Without a name the id is needed: a missing one is a KeyError, reported with its entry.
        name = to_text(value.get("file_name"))
        image_id = value.get("image_id") if name else value["image_id"]
        if image_id is not None and not isinstance(image_id, str):
            image_id = _to_id(image_id)
        image = self.builder.find_image(image_id, name)
        category_id = value.get("category_id")
        category_id = -1 if category_id is None else _to_id(category_id)
        if to_flag(value.get("iscrowd")):
            self.builder.add_unusable(image, CROWD)
        else:
            box = value.get("bbox") or bound_mask(value.get("segmentation"))
            self.builder.add(image, box, value.get("score", 1.0), category_id)
        if self._on_box is not None:
            self._on_box(value)

    def _add_detections(self, image: dict[str, Any]) -> None:
        """Add the boxes of an image in MegaDetector's format: fractions of the image's sides."""
        self.is_relative = True
        index = self.builder.find_image(None, to_text(image["file"]))
        if failure := image.get("failure"):
            self.failures[index] = f"MegaDetector failed: {to_text(failure) or 'no reason given'}"
        for found in image.get("detections") or ():
            category_id = _to_id(found["category"])
            self.builder.add(index, found["bbox"], found["conf"], category_id)


def _to_id(value: Any) -> int:
    number = to_id(value)
    if number is None:
        raise TypeError(f"expected a whole number or a text as id, got {show_value(value)}")
    return number
