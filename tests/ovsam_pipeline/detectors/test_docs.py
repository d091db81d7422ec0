"""The example of docs/detectors.md is run as it stands there."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from locations import DOCS
from PIL import Image
from typer.testing import CliRunner

from ovsam.decode import IMAGE_SUFFIXES
from ovsam.text.vocabulary_files import load_vocabulary
from ovsam_pipeline.commands.contents import app
from ovsam_pipeline.detectors.base import Detector, DetectorImage
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.detectors.class_match import match_detector_classes
from ovsam_pipeline.records import ImageRecord


def read_example():
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "detectors.md").read_text(), re.DOTALL)
    return code


def test_the_example_detector_is_one(tmp_path):
    (tmp_path / "mine.py").write_text(read_example())
    detector = build_detector(f"python:{tmp_path / 'mine.py'}")
    assert isinstance(detector, Detector)
    image = DetectorImage(ImageRecord(1, "a.jpg", Path("a.jpg")), np.zeros((40, 80, 3), np.uint8))
    (found,) = detector.detect([image])
    assert found.boxes_xyxy.tolist() == [[20, 10, 60, 30]]


def test_the_example_class_map_leaves_what_the_page_says(tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "detectors.md").read_text(), re.DOTALL)
    (tmp_path / "map.yaml").write_text(text)
    coco, lvis = load_vocabulary("coco").names, load_vocabulary("lvis")
    assert len(match_detector_classes(coco, lvis)) == 72
    matched = match_detector_classes(coco, lvis, tmp_path / "map.yaml")
    assert set(coco) - set(matched) == {"hot dog", "sports ball"}


def test_the_example_labels_images_as_a_file_on_the_command_line(tmp_path):
    (tmp_path / "mine.py").write_text(read_example())
    (tmp_path / "images").mkdir()
    Image.new("RGB", (80, 40), (200, 30, 30)).save(tmp_path / "images/a.png")
    command = ["label", str(tmp_path / "images"), "-o", str(tmp_path / "out"), "--model", "nano"]
    result = CliRunner().invoke(app, [*command, "--detector", f"python:{tmp_path / 'mine.py'}"])
    assert result.exit_code == 0, result.output
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert run["detector"]["name"] == "centre"
    (row,) = pq.read_table(tmp_path / "out/parts").to_pylist()
    assert row["status"] == "labelled"
    (item,) = row["objects"]
    assert item["detector_category"] == "thing"


def test_the_page_on_inputs_lists_the_suffixes():
    text = (DOCS / "inputs.md").read_text()
    listed = re.search(r"Known suffixes.*?: (.*?)\. Archives", text, re.DOTALL)
    assert listed is not None
    assert frozenset(listed[1].split()) == IMAGE_SUFFIXES
