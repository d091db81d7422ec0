import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from ovsam_pipeline.detectors.base import DetectorImage
from ovsam_pipeline.detectors.box_rules import clean
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.detectors.stored.ground_truth import (
    compute_centre_point,
    decode_segmentation,
)
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.records import ImageRecord

RGB = np.zeros((40, 60, 3), np.uint8)
# A 20 x 10 rectangle with its left top at (30, 10).
RECTANGLE = [[30, 10, 50, 10, 50, 20, 30, 20]]


def make_image(image_id=1):
    return DetectorImage(ImageRecord(image_id, "ab"[image_id - 1] + ".jpg", Path("a.jpg")), RGB)


def make_annotation(bbox, segmentation=None, **values):
    more = {} if segmentation is None else {"segmentation": segmentation}
    return {"id": 1, "image_id": 1, "category_id": 3, "bbox": bbox, **more, **values}


def build(tmp_path, annotations, prompt=""):
    path = tmp_path / "gt.json"
    data = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "cup"}, {"id": 4, "name": "mug"}],
    }
    path.write_text(json.dumps(data))
    return build_detector(f"gt:{path}{prompt}")


def test_annotations_come_in_file_order_with_score_one_and_no_crowds(tmp_path):
    annotations = [
        make_annotation([5, 5, 5, 5], category_id=4),
        make_annotation([0, 0, 60, 40], iscrowd=1),
        make_annotation([1, 1, 2, 2], score=0.1),
        make_annotation([3, 3, 0, 5]),
    ]
    (found, other) = build(tmp_path, annotations).detect([make_image(), make_image(2)])
    assert found.boxes_xyxy.tolist() == [[5, 5, 10, 10], [1, 1, 3, 3]]
    assert found.scores.tolist() == [1, 1]
    assert found.category_names == ("mug", "cup")
    assert found.category_ids.tolist() == [4, 3]
    assert found.points_xy is None
    assert (len(other), other.category_names) == (0, ())


def test_each_prompt_carries_the_id_of_its_annotation(tmp_path):
    annotations = [
        make_annotation([5, 5, 5, 5], id=11, image_id=2),
        make_annotation([0, 0, 60, 40], id=12, iscrowd=1),
        make_annotation([3, 3, 0, 5], id=13),
        make_annotation([90, 90, 2, 2], id=14),
        make_annotation([1, 1, 2, 2], id="15"),
    ]
    for prompt in ("", "#points"):
        detector = build(tmp_path, annotations, prompt)
        (found, other) = (
            clean(given, (40, 60))[0] for given in detector.detect([make_image(), make_image(2)])
        )
        assert (found.prompt_ids.tolist(), other.prompt_ids.tolist()) == ([15], [11])
        assert found.select(np.array([0, 0])).prompt_ids.tolist() == [15, 15]


def test_annotation_ids_are_whole_numbers(tmp_path):
    with pytest.raises(DatasetError, match=r"whole numbers or texts as annotation ids in .*\[1\]"):
        build(tmp_path, [make_annotation([1, 1, 2, 2], id=[1])])


def test_points_are_centres_of_masks_beside_their_boxes(tmp_path):
    rle = coco_mask.encode(np.asfortranarray(make_mask((4, 4), 3), np.uint8))
    compressed = {"size": [40, 60], "counts": rle["counts"].decode()}
    plain = {"size": [40, 60], "counts": [0, 40 * 60]}
    annotations = [
        make_annotation([30, 10, 20, 10], RECTANGLE),
        make_annotation([1, 1, 7, 7], compressed),
        make_annotation([0, 0, 0, 5], RECTANGLE),
        make_annotation([0, 0, 60, 40], plain),
        make_annotation([2, 4, 10, 20]),
    ]
    detector = build(tmp_path, annotations, "#points")
    (found,) = detector.detect([make_image()])
    assert len(found) == 4
    x, y = found.points_xy[0]
    assert 34 <= x <= 45
    assert y in (14, 15)
    assert found.points_xy[1].tolist() == [4, 4]
    assert found.points_xy[2][1] in (19, 20)
    assert found.points_xy[3].tolist() == [7, 14]


def make_mask(centre, radius):
    rows, columns = np.mgrid[0:40, 0:60]
    return (rows - centre[1]) ** 2 + (columns - centre[0]) ** 2 <= radius**2


def brute_force(mask):
    """The first set pixel in reading order that is farthest from every unset one."""
    padded = np.pad(mask, 1)
    unset = np.argwhere(~padded) - 1
    best = max(np.argwhere(mask), key=lambda p: ((unset - p) ** 2).sum(axis=1).min())
    return int(best[1]), int(best[0])


@pytest.mark.parametrize("seed", range(4))
def test_centre_point_is_the_farthest_pixel_from_the_edge(seed):
    rng = np.random.default_rng(seed)
    mask = make_mask(rng.integers(0, 40, 2), 9) | make_mask(rng.integers(0, 40, 2), 6)
    assert compute_centre_point(mask) == brute_force(mask)


def test_centre_point_of_one_pixel_and_of_a_full_image():
    mask = np.zeros((40, 60), bool)
    mask[39, 59] = True
    assert compute_centre_point(mask) == (59, 39)
    assert compute_centre_point(np.ones((5, 5), bool)) == (2, 2)


def test_centre_point_lies_on_the_object_even_where_its_box_centre_does_not():
    ring = make_mask((30, 20), 18) & ~make_mask((30, 20), 12)
    x, y = compute_centre_point(ring)
    assert ring[y, x]


@pytest.mark.parametrize("segmentation", [None, [], [[1, 2, 3, 4]], {"size": [40, 60]}, "text"])
def test_segmentation_without_a_mask_has_no_pixel(segmentation):
    assert not decode_segmentation(segmentation, 40, 60).any()


def test_run_lengths_of_another_size_are_refused():
    rle = {"size": [60, 40], "counts": [0, 2400]}
    with pytest.raises(DatasetError, match="expected a mask of 60 x 40 pixels, got 40 x 60"):
        decode_segmentation(rle, 40, 60)


def test_fingerprint_differs_between_boxes_and_points(tmp_path):
    annotations = [make_annotation([30, 10, 20, 10], RECTANGLE)]
    fingerprints = {build(tmp_path, annotations, p).fingerprint for p in ("", "#boxes", "#points")}
    assert len(fingerprints) == 2


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("no.json", "no.json, which does not exist"),
        ("gt.json#middle", "expected gt:FILE or gt:FILE#points, got gt:gt.json#middle"),
        ("list.json", "got a list; use boxes:FILE"),
        ("unknown.json", "among the 1 categories of the file, got 9"),
    ],
)
def test_what_is_not_ground_truth_is_refused(tmp_path, monkeypatch, argument, reason):
    monkeypatch.chdir(tmp_path)
    Path("list.json").write_text("[]")
    annotations = [make_annotation([1, 1, 5, 5], category_id=9)]
    categories = [{"id": 3, "name": "cup"}]
    data = {"images": [{"id": 1}], "annotations": annotations, "categories": categories}
    Path("unknown.json").write_text(json.dumps(data))
    with pytest.raises(DatasetError, match=reason):
        build_detector(f"gt:{argument}")
