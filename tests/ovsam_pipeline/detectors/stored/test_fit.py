"""Files of boxes that do not belong to the images of a run are refused before it begins."""

import json
from pathlib import Path

import numpy as np
import pytest

from ovsam_pipeline.detectors.base import DetectorImage
from ovsam_pipeline.detectors.build import build_detector, hold_stored_detector
from ovsam_pipeline.detectors.stored.fit import fit_boxes
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.records import ImageRecord

POLYGON = [[40, 30, 110, 30, 110, 80, 40, 80]]
RUNS = {"size": [120, 160], "counts": [4830, 50, 14320]}


def make_records(names, width=160, height=120):
    return [
        ImageRecord(900 + i, name, Path(name), width=width, height=height)
        for i, name in enumerate(names)
    ]


def make_dataset(names, annotations=None, **more):
    """A data set with one annotation an image, that is changed by `more`."""
    images = [
        {"id": i, "file_name": n, "width": 160, "height": 120} for i, n in enumerate(names, 1)
    ]
    box = {"category_id": 1, "bbox": [40, 30, 70, 50], "segmentation": POLYGON}
    made = [{"id": i["id"], "image_id": i["id"], **box, **more} for i in images]
    rows = made if annotations is None else annotations
    return {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cat"}]}


def fit(tmp_path, data, names, family="gt", share=0.5, **size):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(data))
    return fit_boxes(
        build_detector(f"{family}:{path}", conf=0.25), make_records(names, **size), share
    )


def refuse(match, *args, **options):
    with pytest.raises(DatasetError, match=match) as caught:
        fit(*args, **options)
    assert "--min-match 0" in str(caught.value)
    assert fit(*args, **options, share=0)


NAMES = ("a.png", "b.png", "c.png")


def test_boxes_of_the_run_are_counted_by_rule_and_reason(tmp_path):
    data = make_dataset(["a.png", "x/b.png", "d.png"])
    data["annotations"] += [{**data["annotations"][0], "id": 9, "iscrowd": 1}]
    found = fit(tmp_path, data, NAMES)
    assert found.to_dict() == {
        "images": 3,
        "matched": 2,
        "by": {"name": 1, "end of the name": 1, "unknown": 1},
        "examples": {"end of the name": "b.png is x/b.png"},
        "boxes": 2,
        "dropped": {"crowds (iscrowd)": 1},
        "boxes_of_other_images": 1,
    }
    matched, other, dropped = found.describe()
    assert matched.endswith(
        "2 of 3 images found: 1 by name, 1 by end of the name (b.png is x/b.png), 1 unknown"
    )
    assert other.endswith(": 1 box not used: of 1 image not here")
    assert dropped.endswith(": 1 of 3 boxes not used: 1 crowds (iscrowd)")


def test_a_file_that_fits_is_not_worth_a_word(tmp_path):
    assert fit(tmp_path, make_dataset(NAMES), NAMES).describe() == []


@pytest.mark.parametrize("data", [[], make_dataset(()), make_dataset(("x.png", "y.png"))])
def test_a_file_of_other_images_is_refused(tmp_path, data):
    refuse("got none of 3 there; it has", tmp_path, data, NAMES, "boxes")


def test_results_of_another_data_set_than_the_one_behind_hash_are_refused(tmp_path):
    dataset = tmp_path / "set.json"
    dataset.write_text(json.dumps({**make_dataset(NAMES), "annotations": []}))
    rows = [{"image_id": 900 + i, "category_id": 1, "bbox": [1, 1, 50, 50]} for i in range(3)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    detector = build_detector(f"boxes:{tmp_path / 'rows.json'}#{dataset}")
    with pytest.raises(DatasetError, match="boxes of 3 other images, such as id 900; it lists"):
        fit_boxes(detector, make_records(NAMES), 0.5)
    assert fit_boxes(detector, make_records(NAMES), 0).num_unused_boxes == 3


def test_a_partial_file_and_a_partial_run_are_welcome(tmp_path):
    many = [f"{i}.png" for i in range(100)]
    assert fit(tmp_path, make_dataset(many[:20]), many).images.matched == 20
    assert fit(tmp_path, make_dataset(many), many[:20]).images.matched == 20
    assert fit(tmp_path, make_dataset(many[:20]), many[10:]).images.matched == 10
    refuse("got 9 of 89 there; it has 20 images", tmp_path, make_dataset(many[:20]), many[11:])


@pytest.mark.parametrize("family", ["gt", "boxes"])
def test_a_file_of_crowds_alone_is_refused(tmp_path, family):
    data = make_dataset(NAMES, iscrowd=1)
    refuse("none of 3 boxes .* 3 crowds", tmp_path, data, NAMES, family)
    assert fit(tmp_path, make_dataset(NAMES, iscrowd="0"), NAMES, family).num_boxes == 3


@pytest.mark.parametrize("more", [{"bbox": [1, 2, 3]}, {"bbox": [1, 2, 0, 4]}, {"bbox": "x"}])
def test_a_file_of_bad_boxes_alone_is_refused(tmp_path, more):
    refuse("none of 3 boxes of these", tmp_path, make_dataset(NAMES, **more), NAMES)


@pytest.mark.parametrize(("shape", "box"), [(POLYGON, [40, 30, 110, 80]), (RUNS, [40, 30, 41, 80])])
@pytest.mark.parametrize("bbox", [None, []])
def test_a_missing_box_is_that_of_the_mask(tmp_path, shape, box, bbox):
    data = make_dataset(NAMES, bbox=bbox, segmentation=shape)
    assert fit(tmp_path, data, NAMES).num_boxes == 3
    image = DetectorImage(make_records(NAMES)[0], np.zeros((120, 160, 3), np.uint8))
    (found,) = build_detector(f"gt:{tmp_path / 'boxes.json'}").detect([image])
    assert found.boxes_xyxy.tolist() == [box]


@pytest.mark.parametrize(
    "shape", [None, [], "x", [[1, 2]], {"size": [120, 160], "counts": "0oooo0"}]
)
def test_a_missing_box_without_a_mask_is_counted(tmp_path, shape):
    data = make_dataset(NAMES, bbox=None, segmentation=shape)
    refuse("3 without a box", tmp_path, data, NAMES)


def test_a_list_that_is_none_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="expected a list of annotations"):
        fit(tmp_path, {**make_dataset(NAMES), "annotations": None}, NAMES)


def test_centres_between_0_and_1_are_refused(tmp_path):
    """As YOLO writes them."""
    data = make_dataset(NAMES, bbox=[0.5, 0.5, 0.9, 0.9])
    refuse("boxes between 0 and 1, such as", tmp_path, data, NAMES)


def test_boxes_between_0_and_1_are_refused(tmp_path):
    data = make_dataset(NAMES, bbox=[0.25, 0.25, 0.5, 0.5])
    refuse(r"boxes in pixels in .* such as \[0.25, 0.25, 0.5, 0.5\]", tmp_path, data, NAMES)


def test_corners_in_place_of_sides_are_refused_where_sizes_are_known(tmp_path):
    data = make_dataset(NAMES, bbox=[40, 30, 140, 100])
    refuse("left, top, right, bottom, such as .* in 160 x 120", tmp_path, data, NAMES)
    results = [{"image_id": 900, "category_id": 1, "bbox": [40, 30, 140, 100]}]
    refuse("left, top, right, bottom", tmp_path, results, NAMES, "boxes")
    assert fit(tmp_path, results, NAMES, "boxes", width=None, height=None).num_boxes == 1
    assert fit(tmp_path, make_dataset(NAMES, bbox=[40, 30, 90, 80]), NAMES).num_boxes == 3


def test_boxes_below_conf_are_said_and_no_fault_of_the_file(tmp_path):
    rows = [{"file_name": n, "category_id": 1, "bbox": [1, 1, 50, 50], "score": 0.1} for n in NAMES]
    found = fit(tmp_path, rows, NAMES, "boxes")
    assert found.describe()[0].endswith(": 3 of 3 boxes not used: 3 below --conf")


def test_two_images_for_one_name_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"got x/a\.png and y/a\.png for the same one"):
        fit(tmp_path, make_dataset(["a.png"]), ["x/a.png", "y/a.png"])


def test_one_id_of_two_images_is_refused(tmp_path):
    data = make_dataset(["a.png", "b.png"])
    data["images"][1]["id"] = 1
    with pytest.raises(DatasetError, match=r"different image ids, got 1 for a\.png and for b\.png"):
        fit(tmp_path, data, NAMES)


@pytest.mark.parametrize("is_first", [True, False])
def test_text_ids_lead_from_annotations_to_images(tmp_path, is_first):
    data = make_dataset(NAMES)
    for part, key in (("images", "id"), ("annotations", "image_id")):
        data[part] = [{**row, key: f"uuid-{row[key]}"} for row in data[part]]
    if not is_first:
        data = dict(reversed(data.items()))
    assert fit(tmp_path, data, NAMES).to_dict()["by"] == {"name": 3}


def test_file_names_in_results_go_before_ids(tmp_path):
    """The id is the number in the name, as Ultralytics writes it, and the data set has others."""
    dataset = tmp_path / "set.json"
    names = ["0003.png", "0001.png", "0002.png"]
    dataset.write_text(json.dumps({**make_dataset(names), "annotations": []}))
    rows = [
        {"image_id": int(n[:4]), "file_name": n, "category_id": 1, "bbox": [int(n[:4]), 1, 9, 9]}
        for n in names
    ]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    for argument in (path, f"{path}#{dataset}"):
        images = [DetectorImage(r, np.zeros((120, 160, 3), np.uint8)) for r in make_records(names)]
        found = build_detector(f"boxes:{argument}").detect(images)
        assert [boxes.boxes_xyxy[0, 0] for boxes in found] == [3, 1, 2]


def test_megadetector_writes_fractions_failures_and_names(tmp_path):
    found = {"category": "1", "conf": 0.9, "bbox": [0.25, 0.25, 0.5, 0.5]}
    data = {
        "images": [
            {"file": "site\\a.png", "detections": [found, {**found, "conf": 0.1}]},
            {"file": "site/b.png", "detections": []},
            {"file": "site/c.png", "failure": "Image inference error", "detections": None},
        ],
        "detection_categories": {"1": "animal"},
        "info": {"format_version": "1.4"},
    }
    assert fit(tmp_path, data, NAMES, "boxes").to_dict()["matched"] == 3
    detector = build_detector(f"boxes:{tmp_path / 'boxes.json'}", conf=0.25)
    images = [DetectorImage(r, np.zeros((120, 160, 3), np.uint8)) for r in make_records(NAMES)]
    boxes, none = detector.detect(images[:2])
    assert (boxes.boxes_xyxy.tolist(), boxes.category_names) == ([[40, 30, 120, 90]], ("animal",))
    assert boxes.dropped == {"below --conf": 1}
    assert len(none) == 0
    with pytest.raises(Exception, match="MegaDetector failed: Image inference error"):
        detector.detect(images[2:])


def test_the_file_is_read_once_for_the_check_and_the_run(tmp_path):
    (tmp_path / "r.json").write_text("[]")
    spec = f"boxes:{tmp_path / 'r.json'}"
    with hold_stored_detector(spec, 0.25, 300) as held:
        assert build_detector(spec, conf=0.25, max_det=300, device="cpu") is held
        assert build_detector(spec, conf=0.5, max_det=300) is not held
    assert build_detector(spec, conf=0.25, max_det=300) is not held
