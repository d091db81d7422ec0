"""coco, yolo, masks and crops, read by the tools that they are for: the IoU of every mask.

A script gets what was exported and prints {name: [[run lengths, None], …]} of the image a.png.
"""

import subprocess
import sys

import numpy as np
import pytest
from seven_masks import CLASSES, make_seven_masks, write_seven_masks

from ovsam.masks import decode_mask

_DONE = """
import json, sys
import numpy as np
from pathlib import Path
from pycocotools import mask as coco
target = Path(sys.argv[1])
def tell(found):
    runs = lambda m: coco.encode(np.asfortranarray(m, np.uint8))["counts"].decode()
    print(json.dumps({name: [[runs(m), None] for m in some] for name, some in found.items()}))
"""
_PYCOCOTOOLS = (
    _DONE
    + """
from pycocotools.coco import COCO
data = COCO(str(target))
assert len(data.imgs) == 2
found = {}
for item in data.anns.values():
    found.setdefault(data.cats[item["category_id"]]["name"], []).append(data.annToMask(item))
tell(found)
"""
)
_ULTRALYTICS = (
    _DONE
    + """
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset, polygon2mask
data = check_det_dataset(str(target / "data.yaml"))
read = YOLODataset(img_path=data["train"], data=data, task="segment", augment=False, rect=False)
assert len(read.labels) == 2 and sum(len(l["cls"]) for l in read.labels) == 7
read[0], read[1]  # as training draws them
found = {}
for labels in read.labels:
    for number, points in zip(labels["cls"][:, 0], labels["segments"]):
        height, width = labels["shape"]
        mask = polygon2mask((height, width), [(points * [width, height]).reshape(-1)])
        found.setdefault(data["names"][int(number)], []).append(mask > 0)
tell(found)
"""
)
_SUPERVISION = """
import supervision as sv
found = {}
for path, _, objects in data:
    for mask, number in zip(objects.mask if len(objects) else (), objects.class_id):
        found.setdefault(data.classes[number], []).append(mask)
assert len(data) == 2
tell(found)
"""
_SUPERVISION_YOLO = (
    _DONE
    + """
import supervision as sv, shutil, tempfile
# It reads one flat folder.
flat = Path(tempfile.mkdtemp())
for kind in ("images", "labels"):
    (flat / kind).mkdir()
    for file in (target / kind).rglob("*.*"):
        shutil.copy(file, flat / kind)
data = sv.DetectionDataset.from_yolo(
    str(flat / "images"), str(flat / "labels"), str(target / "data.yaml"), force_masks=True
)
"""
    + _SUPERVISION
)
_SUPERVISION_COCO = (
    _DONE
    + """
import supervision as sv
data = sv.DetectionDataset.from_coco(
    str(target.parent / "images"), str(target), force_masks=True
)
"""
    + _SUPERVISION
)
_PILLOW = (
    _DONE
    + """
from PIL import Image
names = json.loads((target / "classes.json").read_text())
found = {}
for line in (target / "objects.jsonl").read_text().splitlines():
    entry = json.loads(line)
    picture = np.asarray(Image.open(target / entry["instances"]))
    assert np.asarray(Image.open(target / entry["semantic"])).shape == picture.shape
    for item in entry["objects"]:
        found.setdefault(item["category"], []).append(picture == item["number"])
tell(found)
"""
)
_TORCHVISION = (
    _DONE
    + """
from torchvision.datasets import ImageFolder
read = ImageFolder(str(target))
found = {}
for picture, number in read:
    found[read.classes[number]] = np.asarray(picture).shape
crops = [json.loads(line) for line in (target / "crops.jsonl").read_text().splitlines()]
for crop in crops:
    assert found[crop["category"]] == (*crop["box_xywh"][:1:-1], 3), crop
print(json.dumps(sorted(found)))
"""
)
# OpenCV draws bridges between parts as lines of one pixel.
_BRIDGES = {"three parts": 0.8}
# supervision fills polygons with OpenCV, a pixel too far to the right and below.
_PIXEL_MORE = dict.fromkeys(CLASSES, 0.2)
# Format and flags, ending of the target, packages, script; least IoU where it is not .98.
READERS = [
    ("coco", ".json", "pycocotools", _PYCOCOTOOLS, {}),
    ("coco", ".json", "supervision pycocotools", _SUPERVISION_COCO, {}),
    ("coco --polygons", ".json", "pycocotools", _PYCOCOTOOLS, {}),
    ("coco --polygons", ".json", "supervision pycocotools", _SUPERVISION_COCO, _PIXEL_MORE),
    ("yolo", "", "ultralytics pycocotools", _ULTRALYTICS, _BRIDGES),
    ("yolo", "", "supervision pycocotools", _SUPERVISION_YOLO, _BRIDGES),
    ("masks", "", "pillow pycocotools", _PILLOW, {}),
]


def export(tmp_path, export_format: str, suffix: str = ""):
    """Write the 7 masks in a format by the command; return where it is."""
    output, target = write_seven_masks(tmp_path), tmp_path / f"export{suffix}"
    command = [sys.executable, "-m", "ovsam", "export", output, "--to", target, "--format"]
    subprocess.run([*command, *export_format.split()], check=True, capture_output=True)
    return target


@pytest.mark.consumers
@pytest.mark.parametrize(("export_format", "suffix", "packages", "script", "least"), READERS)
def test_seven_masks_come_back(tmp_path, read_with, export_format, suffix, packages, script, least):
    found = read_with(packages, script, export(tmp_path, export_format, suffix))
    masks = make_seven_masks()
    assert {label: len(some) for label, some in found.items()} == dict.fromkeys(masks, 1)
    for label, mask in masks.items():
        counts = found[label][0][0]
        drawn = decode_mask({"size": list(mask.shape), "counts": counts}, *mask.shape) > 0
        iou = (drawn & mask).sum() / (drawn | mask).sum()
        assert iou >= least.get(label, 0.98), label


@pytest.mark.consumers
def test_crops_open_as_a_folder_of_classes(tmp_path, read_with):
    found = read_with("torchvision", _TORCHVISION, export(tmp_path, "crops"))
    assert found == sorted(make_seven_masks())


@pytest.mark.consumers
def test_masks_that_yolo_cannot_hold_lose_a_line_of_one_pixel(tmp_path, read_with):
    found = read_with("ultralytics pycocotools", _ULTRALYTICS, export(tmp_path, "yolo"))
    for label, mask in make_seven_masks().items():
        counts = found[label][0][0]
        drawn = decode_mask({"size": list(mask.shape), "counts": counts}, *mask.shape) > 0
        assert not (mask & ~drawn).any(), "no pixel of an object is lost"
        assert np.count_nonzero(drawn & ~mask) < 400
