"""The example of docs/detectors.md is run as it stands there."""

import re
from pathlib import Path

import numpy as np

from ovsam.vocabulary import load_vocabulary
from ovsam_pipeline.detectors.base import Detector, DetectorImage
from ovsam_pipeline.detectors.class_match import match_detector_classes
from ovsam_pipeline.images import IMAGE_SUFFIXES
from ovsam_pipeline.records import ImageRecord

DOCS = Path(__file__).parents[2] / "docs"


def test_the_example_detector_is_one():
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "detectors.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(compile(code, "docs/detectors.md", "exec"), names)
    detector = names["CentreDetector"](share=0.5)
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


def test_the_page_on_inputs_lists_the_suffixes():
    text = (DOCS / "inputs.md").read_text()
    listed = re.search(r"Known suffixes.*?: (.*?)\. Other", text, re.DOTALL)
    assert listed is not None
    assert frozenset(listed[1].split()) == IMAGE_SUFFIXES
