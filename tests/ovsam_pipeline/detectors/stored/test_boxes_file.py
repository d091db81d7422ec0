import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ovsam.errors import ImageError
from ovsam_pipeline.detectors.base import Detector, DetectorImage
from ovsam_pipeline.detectors.box_rules import clean
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.records import ImageRecord, compute_image_id

RGB = np.zeros((80, 100, 3), np.uint8)
NAN, INFINITY = float("nan"), float("inf")


def make_image(name="a.jpg", image_id=None, rgb=RGB, **size):
    record = ImageRecord(
        compute_image_id(name) if image_id is None else image_id, name, Path(name), **size
    )
    return DetectorImage(record, rgb)


def write(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data))
    return path


def build(path, conf=0.25, max_det=300):
    return build_detector(f"boxes:{path}", conf=conf, max_det=max_det)


def result(image_id, bbox, score=0.9, category_id=3, **more):
    return {"image_id": image_id, "bbox": bbox, "score": score, "category_id": category_id, **more}


def make_dataset(**more):
    return {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "sub/b.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 2, "category_id": 18, "bbox": [1, 2, 3, 4]},
            {"id": 2, "image_id": 1, "category_id": 17, "bbox": [5, 6, 7, 8], "score": 0.5},
            {"id": 3, "image_id": 1, "category_id": 17, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}],
        **more,
    }


# COCO results


def test_results_are_found_by_image_id_best_first(tmp_path):
    rows = [result(7, [1, 2, 3, 4], 0.3), result(8, [0, 0, 5, 5]), result(7, [10, 20, 30, 40], 0.6)]
    detector = build(write(tmp_path / "r.json", rows))
    assert isinstance(detector, Detector)
    found, other, unknown = detector.detect(
        [make_image("x.jpg", 7), make_image("y.jpg", 8), make_image("z.jpg", 9)]
    )
    assert found.boxes_xyxy.tolist() == [[10, 20, 40, 60], [1, 2, 4, 6]]
    assert found.scores.tolist() == pytest.approx([0.6, 0.3])
    assert found.category_names is None
    assert found.category_ids.tolist() == [3, 3]
    assert (len(other), len(unknown)) == (1, 0)


def test_confidence_is_inclusive_and_missing_scores_count_as_one(tmp_path):
    rows = [result(7, [i, 0, 5, 5], score) for i, score in enumerate([0.3, 0.29999, 0.7])]
    del rows[2]["score"]
    detector = build(write(tmp_path / "r.json", rows), conf=0.3)
    (found,) = detector.detect([make_image(image_id=7)])
    assert found.scores.tolist() == pytest.approx([1.0, 0.3])


def test_bad_boxes_are_dropped_and_counted_by_reason(tmp_path):
    bad = [[NAN, 0, 5, 5], [0, 0, INFINITY, 5], [0, 0, -5, 5], [0, 0, 0, 5], [1, 2, 3], None]
    bad += [["x", 0, 5, 5], [1e300, 0, 5, 5]]
    rows = [result(7, bbox) for bbox in bad]
    rows += [result(7, [0, 0, 5, 5], NAN), result(7, [0, 0, 5, 5], None), result(7, [1, 1, 5, 5])]
    detector = build(write(tmp_path / "r.json", rows))
    (found,) = detector.detect([make_image(image_id=7)])
    assert found.boxes_xyxy.tolist() == [[1, 1, 6, 6]]
    assert found.dropped == {
        "not finite": 4,
        "no area": 2,
        "not four numbers and a score": 3,
        "without a box": 1,
    }


def test_boxes_are_clipped_to_the_image_and_those_outside_dropped(tmp_path):
    bboxes = [[-5, -5, 20, 20], [90, 70, 50, 50], [100, 0, 5, 5], [-9, 0, 9, 9], [0, 0, 100, 80]]
    detector = build(write(tmp_path / "r.json", [result(7, bbox) for bbox in bboxes]))
    found, dropped = clean(detector.detect([make_image(image_id=7)])[0], (80, 100))
    assert found.boxes_xyxy.tolist() == [[0, 0, 15, 15], [90, 70, 100, 80], [0, 0, 100, 80]]
    assert dropped == {"outside the image": 2}


def test_a_hundred_thousand_boxes_on_an_image_are_cut_to_the_best(tmp_path):
    scores = np.linspace(0.3, 0.9, 100_000)
    rows = [result(7, [1, 1, 5, 5], float(score)) for score in scores]
    (found,) = build(write(tmp_path / "r.json", rows)).detect([make_image(image_id=7)])
    found, dropped = clean(found, (80, 100), max_det=20)
    assert (len(found), dropped) == (200, {"beyond --max-det": 99_800})
    assert found.scores[0] == pytest.approx(0.9)


def test_results_with_a_file_name_need_no_image_id(tmp_path):
    rows = [
        {"file_name": "a.jpg", "bbox": [1, 1, 5, 5]},
        {"file_name": "b.jpg", "bbox": [0, 0, 3, 3]},
    ]
    detector = build(write(tmp_path / "r.json", rows))
    first, second = detector.detect([make_image("a.jpg"), make_image("b.jpg")])
    assert (first.boxes_xyxy.tolist(), second.boxes_xyxy.tolist()) == (
        [[1, 1, 6, 6]],
        [[0, 0, 3, 3]],
    )


@pytest.mark.parametrize(
    ("image_id", "name"),
    [
        ("a.jpg", "a.jpg"),
        ("sub/a.jpg", "sub/a.jpg"),
        ("photo_1", "deep/photo_1.jpg"),
        (139, "000000000139.jpg"),
        (139, "val/COCO_val2014_000000000139.jpg"),
        (7.0, "x.jpg"),
    ],
    ids=["name", "path", "stem", "coco", "coco2014", "float"],
)
def test_results_of_other_tools_find_their_image(tmp_path, image_id, name):
    detector = build(write(tmp_path / "r.json", [result(image_id, [1, 1, 5, 5])]))
    record_id = 7 if name == "x.jpg" else None
    assert len(detector.detect([make_image(name, record_id)])[0]) == 1


def test_file_names_beside_ids_are_used(tmp_path):
    detector = build(write(tmp_path / "r.json", [result(5, [1, 1, 5, 5], file_name="b.jpg")]))
    assert len(detector.detect([make_image("b.jpg")])[0]) == 1


def test_dataset_behind_hash_gives_names_and_classes_to_results(tmp_path):
    dataset = write(tmp_path / "d.json", make_dataset())
    path = write(tmp_path / "r.json", [result(2, [1, 1, 5, 5], category_id=18)])
    detector = build(f"{path}#{dataset}")
    (found,) = detector.detect([make_image("sub/b.jpg")])
    assert found.category_names == ("dog",)
    assert detector.class_names == ("cat", "dog")
    with pytest.raises(DatasetError, match="a COCO data set after #, got a list"):
        build(f"{path}#{path}")


def test_category_that_the_dataset_lacks_is_refused(tmp_path):
    dataset = write(tmp_path / "d.json", make_dataset())
    path = write(tmp_path / "r.json", [result(2, [1, 1, 5, 5], category_id=99)])
    with pytest.raises(
        DatasetError, match="category ids among the 2 categories of the file, got 99"
    ):
        build(f"{path}#{dataset}")


# COCO data sets


def test_dataset_gives_names_scores_and_leaves_crowds_out(tmp_path):
    detector = build(write(tmp_path / "d.json", make_dataset()))
    first, second = detector.detect([make_image("a.jpg"), make_image("sub/b.jpg")])
    assert (first.category_names, first.scores.tolist()) == (("cat",), [0.5])
    assert (second.category_names, second.scores.tolist()) == (("dog",), [1.0])
    assert second.boxes_xyxy.tolist() == [[1, 2, 4, 6]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"images": []}, "without annotations"),
        ({"annotations": []}, "without images"),
        ({"hello": 1}, "without annotations and images"),
        ([{"bbox": [1, 2, 3, 4]}], r"^expected COCO boxes in .*KeyError: 'image_id'"),
        ([[1, 2]], "expected COCO boxes in .* in the list"),
        ([result(1.5, [1, 2, 3, 4])], "or a text as id, got 1.5"),
        (make_dataset(categories=[{"id": 17}]), "in categories .*KeyError: 'name'"),
    ],
)
def test_json_of_another_shape_is_refused(tmp_path, data, reason):
    with pytest.raises(DatasetError, match=reason):
        build(write(tmp_path / "d.json", data))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("no.json", None, "which does not exist"),
        ("cut.json", '[{"image_id": 1', "expected JSON in"),
        ("no.parquet", "hello", "cannot read .* as Parquet"),
    ],
)
def test_file_that_cannot_be_read_is_refused(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=reason):
        build(tmp_path / name)


# Our Parquet


def make_object(bbox, **values):
    return {"bbox": bbox, "category_id": 1, "category": "mug", "score": 0.1, **values}


def write_parts(folder: Path, *parts: list) -> Path:
    folder.mkdir(parents=True)
    element = pa.struct([
        ("bbox", pa.list_(pa.float32(), 4)), ("category_id", pa.int64()), ("category", pa.string()),
        ("score", pa.float32()), ("detector_score", pa.float32()),
        ("detector_category", pa.string()),
        ("segmentation", pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])),
    ])  # fmt: skip
    schema = pa.schema([
        ("image_id", pa.int64()), ("file_name", pa.string()), ("status", pa.string()),
        ("objects", pa.list_(element)),
    ])  # fmt: skip
    for index, rows in enumerate(parts):
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"part-{index}.parquet")
    return folder


PARTS = (
    [
        {
            "image_id": 5,
            "file_name": "a.jpg",
            "status": "labelled",
            "objects": [
                make_object([1, 2, 3, 4], detector_score=0.9, detector_category="cup"),
                make_object([0, 0, 9, 9], detector_score=0.2, detector_category="cup"),
            ],
        },
        {"image_id": 6, "file_name": "empty.jpg", "status": "empty", "objects": []},
        {"image_id": 7, "file_name": "failed.jpg", "status": "failed", "objects": None},
    ],
    [
        {
            "image_id": 8,
            "file_name": "sub/b.jpg",
            "status": "labelled",
            "objects": [make_object([5, 5, 5, 5], detector_score=0.8, detector_category="dog")],
        }
    ],
)


@pytest.mark.parametrize("where", ["out", "out/parts"])
def test_our_own_output_gives_the_detectors_boxes_back(tmp_path, where):
    write_parts(tmp_path / "out/parts", *PARTS)
    detector = build(tmp_path / where)
    names = ["a.jpg", "empty.jpg", "failed.jpg", "sub/b.jpg"]
    found = detector.detect([make_image(name) for name in names])
    assert [len(item) for item in found] == [1, 0, 0, 1]
    assert found[0].boxes_xyxy.tolist() == [[1, 2, 4, 6]]
    assert found[0].scores.tolist() == pytest.approx([0.9])
    assert (found[0].category_names, found[3].category_names) == (("cup",), ("dog",))
    assert detector.class_names == ("cup", "dog")


def test_one_parquet_file_and_class_agnostic_boxes_have_no_names(tmp_path):
    rows = [{"image_id": 5, "file_name": "a.jpg", "objects": [make_object([1, 2, 3, 4])]}]
    rows[0]["objects"][0] |= {"detector_score": 0.5}
    folder = write_parts(tmp_path / "out", rows)
    detector = build(folder / "part-0.parquet")
    (found,) = detector.detect([make_image("a.jpg")])
    assert (found.scores.tolist(), found.category_names) == ([0.5], None)
    assert detector.class_names is None


def test_parquet_of_another_shape_and_empty_folder_are_refused(tmp_path):
    pq.write_table(pa.table({"image_id": [1], "text": ["x"]}), tmp_path / "x.parquet")
    with pytest.raises(DatasetError, match="got none for bbox, file_name"):
        build(tmp_path / "x.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="expected Parquet files in"):
        build(tmp_path / "empty")


# Names and coverage


def test_names_relative_to_another_folder_are_found_by_their_end(tmp_path):
    detector = build(write(tmp_path / "d.json", make_dataset()))
    assert len(detector.detect([make_image("images/sub/b.jpg")])[0]) == 1
    assert len(detector.detect([make_image("b.jpg")])[0]) == 1
    assert len(detector.detect([make_image("other/b.jpg")])[0]) == 0
    assert len(detector.detect([make_image("ub/b.jpg")])[0]) == 0


def test_numbers_in_names_mean_nothing_where_the_file_has_names(tmp_path):
    images = [{"id": 139, "file_name": "a.jpg"}]
    annotations = [{"image_id": 139, "category_id": 17, "bbox": [0, 0, 9, 9]}]
    data = make_dataset(images=images, annotations=annotations)
    detector = build(write(tmp_path / "d.json", data))
    assert len(detector.detect([make_image("000000000139.jpg")])[0]) == 0


def test_ambiguous_names_are_not_guessed(tmp_path):
    images = [{"id": 1, "file_name": "x/a.jpg"}, {"id": 2, "file_name": "y/a.jpg"}]
    annotations = [{"image_id": i, "category_id": 17, "bbox": [0, 0, 9, 9]} for i in (1, 2)]
    data = make_dataset(images=images, annotations=annotations)
    detector = build(write(tmp_path / "d.json", data))
    with pytest.raises(ImageError, match=r"boxes of several images in .* may be those of this one"):
        detector.detect([make_image("a.jpg")])


def test_image_of_another_size_than_annotated_is_warned_of_once(tmp_path, caplog):
    detector = build(write(tmp_path / "d.json", make_dataset()))
    detector.detect([make_image("a.jpg", width=100, height=80)])
    assert caplog.text == ""
    detector.detect([make_image("a.jpg", width=80, height=100)] * 2)
    assert caplog.text.count("a.jpg is 100 x 80, and 80 x 100 in the JSON file") == 1


def test_fingerprint_follows_content_and_settings_not_the_path(tmp_path):
    first = write(tmp_path / "a.json", [result(1, [1, 1, 5, 5])])
    copy = write(tmp_path / "b.json", [result(1, [1, 1, 5, 5])])
    other = write(tmp_path / "c.json", [result(1, [1, 1, 5, 6])])
    assert build(first).fingerprint == build(copy).fingerprint
    others = [build(other), build(first, conf=0.5), build(first, max_det=3)]
    assert build(first).fingerprint not in {detector.fingerprint for detector in others}


def test_empty_results_are_boxes_of_no_image(tmp_path):
    detector = build(write(tmp_path / "r.json", []))
    assert len(detector.detect([make_image()])[0]) == 0
    assert detector.detect([]) == []
