"""Any value in any field of a file of boxes: it is read, dropped and counted, or one sentence."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from ovsam.errors import OvsamError
from ovsam_pipeline.detectors.base import DetectorImage
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.detectors.stored.fit import fit_boxes
from ovsam_pipeline.records import ImageRecord

VALUES = [
    None, True, "", "x", "7", "\ud800", [], [1, 2], [[1], [2]], {}, {"a": [1]}, 0, -1, 7.5, 1e308,
    2**64, -(2**70), 10**400, math.nan, math.inf, {"size": [120, 160], "counts": "0oooo"},
    {"size": ["a", 2], "counts": [1]}, {"size": [2**40, 2**40], "counts": [2**80]},
    [[1, 2, 3, 4, 5, 2**70]],
]  # fmt: skip
NAMES = ("a.png", "b.png", "c.png")
FIELDS = {
    "images": ("id", "file_name", "width", "coco_url", "file", "detections", "failure"),
    "annotations": ("id", "image_id", "category_id", "bbox", "iscrowd", "score", "segmentation"),
    "categories": ("id", "name"),
}
CASES = [(part, name) for part, names in FIELDS.items() for name in names]


def make_dataset():
    box = {"category_id": 1, "bbox": [9, 9, 50, 40], "segmentation": [[9, 9, 60, 9, 60, 50]]}
    size = {"width": 160, "height": 120}
    return {
        "images": [{"id": i, "file_name": name, **size} for i, name in enumerate(NAMES)],
        "annotations": [{"id": i, "image_id": i, **box} for i in range(3)],
        "categories": [{"id": 1, "name": "cat"}],
    }


def read(spec):
    """Check and use a file; one of our errors is as good as an answer."""
    records = [ImageRecord(900 + i, name, Path(name)) for i, name in enumerate(NAMES)]
    try:
        detector = build_detector(spec)
        found = fit_boxes(detector, records, 0.5)
        json.dumps([found.to_dict(), found.describe()]).encode()
        for record in records:
            detector.detect([DetectorImage(record, np.zeros((120, 160, 3), np.uint8))])
    except OvsamError as error:
        assert len(str(error)) < 800  # noqa: PT017 - both endings are right


@pytest.mark.parametrize(("part", "name"), CASES, ids=str)
def test_a_field_of_any_value_is_no_traceback(tmp_path, part, name):
    path = tmp_path / "boxes.json"
    for value in VALUES:
        data = make_dataset()
        for row in data[part][1:]:
            row[name] = value
            if name == "segmentation":  # the box is then that of the mask
                row["bbox"] = None
        path.write_text(json.dumps(data))
        read(f"gt:{path}#points")
        path.write_text(json.dumps(data[part]))
        read(f"boxes:{path}")
