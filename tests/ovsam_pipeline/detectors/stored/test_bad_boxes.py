"""Files of boxes that other programs wrote badly: dropped and counted, or one sentence."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ovsam_pipeline.detectors.base import DetectorImage
from ovsam_pipeline.detectors.box_rules import clean
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.records import ImageRecord

IMAGE = DetectorImage(ImageRecord(7, "a.jpg", Path("a.jpg")), np.zeros((80, 100, 3), np.uint8))
NAN = float("nan")


def build(path, conf=0.25):
    return build_detector(f"boxes:{path}", conf=conf)


def write_json(path, rows):
    path.write_text(json.dumps(rows))
    return path


def write_parquet(path, objects):
    """Write one image with these objects, in the types that pyarrow takes for them."""
    rows = [{"image_id": 7, "file_name": "a.jpg", "objects": objects}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize(
    "values",
    [{"score": 10**400}, {"bbox": [0, 0, 10**400, 5]}, {"score": -(10**400)}],
)
def test_numbers_of_hundreds_of_digits_are_not_finite(tmp_path, values):
    good = {"image_id": 7, "bbox": [1, 1, 5, 5], "score": 0.9}
    detector = build(write_json(tmp_path / "r.json", [{**good, **values}, good]))
    (found,) = detector.detect([IMAGE])
    assert (len(found), found.dropped) == (1, {"not finite": 1})


@pytest.mark.parametrize("name", ["image_id", "category_id"])
def test_ids_of_hundreds_of_digits_are_refused(tmp_path, name):
    row = {"image_id": 7, "category_id": 1, "bbox": [1, 1, 5, 5], name: 10**400}
    with pytest.raises(
        DatasetError, match="expected a whole number or a text as id, got a huge number"
    ):
        build(write_json(tmp_path / "r.json", [row]))


@pytest.mark.parametrize("entry", ["\ud800", None, 7, [1]])
def test_entries_that_are_no_objects_are_refused_in_letters_that_can_be_written(tmp_path, entry):
    with pytest.raises(
        DatasetError, match=r"expected COCO boxes in .*expected an object"
    ) as caught:
        build(write_json(tmp_path / "r.json", [entry]))
    assert str(caught.value).encode()


def test_an_image_whose_boxes_all_lie_outside_is_told_once(tmp_path, caplog):
    row = {"image_id": 7, "bbox": [500, 500, 5, 5], "score": 0.9}
    detector = build(write_json(tmp_path / "r.json", [row, row]))
    detector.detect([IMAGE, IMAGE])
    assert caplog.text.count("all 2 boxes of a.jpg are outside its 100 x 80 pixels") == 1


@pytest.mark.parametrize("bad", [[1, 2, 3], [1, None, 3, 4], [1, 2, 3, 4, 5], []])
def test_parquet_corners_that_are_not_four_numbers_are_dropped(tmp_path, bad):
    corners = [bad, [1.0, 2.0, 30.0, 40.0], None]
    objects = [{"bbox": [0.0, 0.0, 5.0, 5.0], "detector_box_xyxy": box} for box in corners]
    detector = build(write_parquet(tmp_path / "x.parquet", objects))
    (found,) = detector.detect([IMAGE])
    assert found.boxes_xyxy.tolist() == [[1, 2, 30, 40], [0, 0, 5, 5]]
    assert found.dropped == {"not four numbers and a score": 1}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"detector_category": 3}, "expected text in objects.detector_category of .*, got int64"),
        ({"category": 0.5}, "expected text in objects.category of .*, got double"),
        ({"prompt_id": "x"}, "expected whole numbers in objects.prompt_id of .*, got string"),
    ],
)
def test_parquet_columns_of_another_type_are_refused(tmp_path, values, sentence):
    path = write_parquet(tmp_path / "x.parquet", [{"bbox": [0, 0, 5, 5], **values}])
    with pytest.raises(DatasetError, match=sentence):
        build(path)


def test_parquet_categories_may_be_a_dictionary_or_null(tmp_path):
    kind = pa.dictionary(pa.int32(), pa.string())
    element = pa.struct([("bbox", pa.list_(pa.float32())), ("category", kind)])
    objects = [{"bbox": [0, 0, 5, 5], "category": name} for name in ("cup", None)]
    table = pa.table({
        "image_id": [7], "file_name": ["a.jpg"], "objects": pa.array([objects], pa.list_(element)),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "x.parquet")
    assert build(tmp_path / "x.parquet").detect([IMAGE])[0].category_names == ("cup", None)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ([1.0, 2.0, 3.0], "point not two finite numbers"),
        ([1.0], "point not two finite numbers"),
        ([1.0, None], "point not two finite numbers"),
        ([1.0, NAN], "point not two finite numbers"),
        ([1.0, 1e300], "point not two finite numbers"),
        ([500.0, 2.0], "point outside the image"),
        ([5.0, -1.0], "point outside the image"),
    ],
)
def test_parquet_points_are_checked_as_boxes_are(tmp_path, bad, reason):
    points = [bad, [3.0, 4.0], [100.0, 80.0]]
    objects = [
        {"bbox": [index, 0, 5, 5], "detector_point_xy": point, "prompt_id": index}
        for index, point in enumerate(points)
    ]
    detector = build(write_parquet(tmp_path / "x.parquet", objects))
    found, dropped = clean(detector.detect([IMAGE])[0], (80, 100))
    assert found.points_xy.tolist() == [[3, 4], [100, 80]]
    assert found.prompt_ids.tolist() == [1, 2]
    assert dropped == {reason: 1}


def test_parquet_points_that_some_boxes_lack_are_not_used(tmp_path):
    objects = [{"bbox": [0, 0, 5, 5], "detector_point_xy": point} for point in ([1.0, 2.0], None)]
    (found,) = build(write_parquet(tmp_path / "x.parquet", objects)).detect([IMAGE])
    assert (len(found), found.points_xy) == (2, None)


def test_a_hash_may_be_part_of_a_file_name(tmp_path):
    path = write_json(tmp_path / "a#b.json", [{"image_id": 7, "bbox": [1, 1, 5, 5]}])
    dataset = {
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 1, 5, 5]}],
        "categories": [{"id": 1, "name": "cup"}],
    }
    truth = write_json(tmp_path / "c#d.json", dataset)
    results = [{"image_id": 7, "category_id": 1, "bbox": [1, 1, 5, 5]}]
    both = f"{write_json(tmp_path / 'e#f.json', results)}#{truth}"
    assert len(build(path).detect([IMAGE])[0]) == 1
    assert build(both).detect([IMAGE])[0].category_names == ("cup",)
    for argument, has_points in ((truth, False), (f"{truth}#points", True)):
        (found,) = build_detector(f"gt:{argument}").detect([IMAGE])
        assert (found.points_xy is not None) == has_points
    with pytest.raises(DatasetError, match=r"got .*x, which does not exist"):
        build(tmp_path / "x#y.json")
