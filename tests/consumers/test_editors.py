"""The annotators' formats, read by the tools that they are for: every mask, and its key.

A script gets an export's folder and prints {name: [[run lengths, key], …]} of the image a.png.
"""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from seven_masks import make_seven_masks, write_seven_masks

from ovsam.masks import decode_mask, encode_mask
from ovsam_pipeline.export.brush_runs import encode_brush
from ovsam_pipeline.export.mask_crops import crop_mask

_DONE = """
import json
import numpy as np
from pycocotools import mask as coco
def tell(found):
    runs = lambda m: coco.encode(np.asfortranarray(m, np.uint8))["counts"].decode()
    print(json.dumps({name: [[runs(m), key] for m, key in some] for name, some in found.items()}))
"""
_DATUMARO = (
    _DONE
    + """
import sys
import datumaro as dm
data = dm.Dataset.import_from(sys.argv[1], sys.argv[2])
labels = data.categories()[dm.AnnotationType.label]
assert len(data) == 2, [item.id for item in data]
found = {}
for item in data:
    assert item.id in ("a", "sub/b"), item.id
    assert item.media.size == (240, 320) and item.media.data.shape == (240, 320, 3)
    for a in item.annotations:
        if a.type == dm.AnnotationType.mask:
            key = a.attributes.get("ovsam_key")
            found.setdefault(labels[a.label].name, []).append((a.image, key))
tell(found)
"""
)
_CVAT_SDK = (
    _DONE
    + """
import sys
import xml.etree.ElementTree as tree
from cvat_sdk.masks import decode_mask
found = {}
for image in tree.parse(sys.argv[1] + "/annotations.xml").iter("image"):
    for m in image.iter("mask"):
        left, top, width, height = (int(m.get(n)) for n in ("left", "top", "width", "height"))
        points = [*map(int, m.get("rle").split(",")), left, top, left + width - 1, top + height - 1]
        size = {"image_width": int(image.get("width")), "image_height": int(image.get("height"))}
        facts = {a.get("name"): a.text for a in m}
        mask = decode_mask(points, **size)
        found.setdefault(m.get("label"), []).append((mask, facts["ovsam_key"]))
tell(found)
"""
)
_LABEL_STUDIO = (
    _DONE
    + """
import sys
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface
from pathlib import Path
interface = LabelInterface(Path(sys.argv[1], "labeling_config.xml").read_text())
found = {}
for task in json.loads(Path(sys.argv[1], "tasks.json").read_text()):
    errors = interface.validate_prediction(task["predictions"][0], return_errors=True)
    assert not errors, errors
    for r in task["predictions"][0]["result"]:
        image = decode_rle(r["value"]["rle"]).reshape(r["original_height"], r["original_width"], 4)
        name = r["value"]["brushlabels"][0]
        found.setdefault(name, []).append((image[..., 3] > 128, r["meta"]["ovsam_key"]))
tell(found)
"""
)
_LABELME = (
    _DONE
    + """
import os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from labelme._label_file import read_label_file
from labelme.utils import shapes_to_label
found = {}
data = read_label_file(sys.argv[1] + "/images/a.json")
assert read_label_file(sys.argv[1] + "/images/sub/b.json").shapes == []
for shape in data.shapes:
    _, drawn = shapes_to_label((240, 320), [shape], {shape["label"]: 1})
    found.setdefault(shape["label"], []).append((drawn > 0, shape["other_data"]["ovsam_key"]))
tell(found)
"""
)
_FIFTYONE = (
    _DONE
    + """
import sys
from fiftyone.utils.coco import COCODetectionDatasetImporter
found = {}
importer = COCODetectionDatasetImporter(
    sys.argv[1], label_types="segmentations", include_annotation_id=True
)
with importer:
    assert len(importer) == 2
    for path, metadata, objects in importer:
        if isinstance(objects, dict):
            objects = objects.get("segmentations")
        for d in objects.detections if objects else []:
            width, height = metadata.width, metadata.height
            x, y, w, h = (round(v * s) for v, s in zip(d.bounding_box, [width, height] * 2))
            mask = np.zeros((height, width), bool)
            mask[y : y + h, x : x + w] = d.mask
            assert d.confidence == 0.5 and d.coco_id
            found.setdefault(d.label, []).append((mask, d.ovsam_key))
tell(found)
"""
)

READERS = [
    ("cvat", "datumaro", _DATUMARO, "cvat"),
    ("datumaro", "datumaro", _DATUMARO, "datumaro"),
    ("voc", "datumaro", _DATUMARO, "voc"),
    ("cvat", "cvat-sdk numpy pycocotools", _CVAT_SDK, ""),
    ("label-studio", "label-studio-sdk pycocotools", _LABEL_STUDIO, ""),
    ("labelme", "labelme pycocotools", _LABELME, ""),
    ("fiftyone", "fiftyone pycocotools", _FIFTYONE, ""),
]


@pytest.mark.consumers
@pytest.mark.parametrize(("export_format", "packages", "script", "name"), READERS)
def test_seven_masks_come_back(tmp_path, read_with, export_format, packages, script, name):
    output, target = write_seven_masks(tmp_path), tmp_path / "export"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "ovsam",
            "export",
            output,
            "--format",
            export_format,
            "--to",
            target,
        ],
        check=True,
        capture_output=True,
    )
    found = read_with(packages, script, target, name)
    masks = make_seven_masks()
    assert {label: len(some) for label, some in found.items()} == dict.fromkeys(masks, 1)
    for label, mask in masks.items():
        [(counts, key)] = found[label]
        drawn = decode_mask({"size": list(mask.shape), "counts": counts}, *mask.shape)
        assert np.array_equal(drawn, mask), label
        assert (key is None) == (export_format == "voc")


_BRUSHES = """
import json, sys, hashlib
import numpy as np
from label_studio_sdk.converter.brush import decode_rle
said = []
for case in json.load(open(sys.argv[1])):
    height, width = case["size"]
    image = decode_rle(case["rle"]).reshape(height, width, 4)[..., 3]
    said.append(hashlib.sha1((image > 128).tobytes()).hexdigest())
print(json.dumps(said))
"""


@pytest.mark.consumers
def test_the_sdk_decodes_our_brushes_to_the_same_pixels(tmp_path, read_with):
    rng = np.random.default_rng(11)
    masks = [rng.random((40, 30)) < share for share in (0, 0.1, 0.5, 1)]
    y, x = np.ogrid[:3000, :4000]
    masks.append(np.hypot(y - 1500, x - 2000) < 1400)
    cases = [
        {
            "size": mask.shape,
            "rle": encode_brush(crop_mask(encode_mask(mask)), *mask.shape).tolist(),
        }
        for mask in masks
    ]
    file = tmp_path / "brushes.json"
    file.write_text(json.dumps(cases))
    said = read_with("label-studio-sdk pycocotools", _BRUSHES, file)
    expected = [hashlib.sha1(mask.tobytes()).hexdigest() for mask in masks]
    assert said == expected
