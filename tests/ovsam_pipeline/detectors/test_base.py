import numpy as np
import pytest

from ovsam_pipeline.detectors.base import (
    Detections,
    Detector,
    compute_fingerprint,
    hash_file,
    run_grouped,
)

BOXES = np.array([[0, 0, 4, 4], [1, 2, 3, 5]], np.float32)
SCORES = np.array([0.9, 0.5], np.float32)
NAN_BOX = np.array([[0, 0, 4, np.nan], [1, 2, 3, 5]], np.float32)
INVERTED = np.array([[5, 0, 4, 4], [1, 2, 3, 5]], np.float32)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"boxes_xyxy": BOXES.astype(np.float64)}, r"float32 array .* got float64 \(2, 4\)"),
        ({"boxes_xyxy": BOXES[:1]}, r"shape \(2, 4\), got float32 \(1, 4\)"),
        ({"boxes_xyxy": BOXES.tolist()}, "got list"),
        ({"boxes_xyxy": NAN_BOX}, "finite boxes_xyxy"),
        ({"boxes_xyxy": INVERTED}, "inverted box"),
        ({"scores": np.array([0.9, np.inf], np.float32)}, "finite scores"),
        ({"scores": SCORES[:, None]}, r"scores as float32 array of shape \(2,\)"),
        ({"category_names": ("cat",)}, "expected 2 category_names, got 1"),
        ({"points_xy": np.zeros((1, 2), np.float32)}, r"points_xy .* shape \(2, 2\)"),
        ({"category_ids": np.zeros(2, np.float32)}, "category_ids as int64"),
    ],
)
def test_detections_refuse_what_is_not_boxes(values, reason):
    with pytest.raises(ValueError, match=reason):
        Detections(**{"boxes_xyxy": BOXES, "scores": SCORES, **values})


def test_select_takes_every_field_in_the_order_given():
    points, ids = np.array([[1, 1], [2, 3]], np.float32), np.array([7, 9])
    found = Detections(BOXES, SCORES, ("cat", "dog"), points, ids)
    chosen = found.select(np.array([1, 0]))
    assert chosen.boxes_xyxy.tolist() == BOXES[::-1].tolist()
    assert chosen.scores.tolist() == SCORES[::-1].tolist()
    assert chosen.category_names == ("dog", "cat")
    assert chosen.points_xy.tolist() == [[2, 3], [1, 1]]
    assert chosen.category_ids.tolist() == [9, 7]
    assert len(found.select(np.zeros(0, np.int64))) == 0


def test_empty_has_no_boxes_and_names_on_request():
    assert len(Detections.empty()) == 0
    assert Detections.empty().category_names is None
    assert Detections.empty(with_categories=True).category_names == ()


def test_fingerprint_depends_on_every_part_and_its_place():
    assert compute_fingerprint("a", 1) == compute_fingerprint("a", 1)
    assert len({compute_fingerprint(*p) for p in [("a", 1), ("a", 2), (1, "a"), (["a", 1],)]}) == 4
    assert compute_fingerprint({"x": 1, "y": 2}) == compute_fingerprint({"y": 2, "x": 1})


def test_file_hash_depends_on_content_alone(tmp_path):
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).write_text(text)
    hashes = [hash_file(tmp_path / name) for name in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_derived_class_needs_four_attributes_and_detect():
    class Constant(Detector):
        name, fingerprint, class_names, device = "constant", "0", None, "cpu"

        def detect(self, images):
            return [Detections(BOXES, SCORES) for _ in images]

    assert isinstance(Constant(), Detector)
    assert Constant().licence == ""


def test_items_of_one_key_run_together_and_results_keep_their_order():
    groups = []

    def run(items):
        groups.append(items)
        return [item.upper() for item in items]

    assert run_grouped(["aa", "b", "cc", "d"], len, run) == ["AA", "B", "CC", "D"]
    assert groups == [["aa", "cc"], ["b", "d"]]
    assert run_grouped([], len, run) == []
