import numpy as np

from ovsam_pipeline.detectors.base import Detections
from ovsam_pipeline.detectors.box_rules import (
    clean,
    describe_dropped,
    keep_classes,
    list_class_names,
    suppress_duplicates,
    to_detections,
)

# to_detections


def test_what_a_network_found_is_clipped_filtered_and_sorted():
    boxes = [[-5, -5, 9, 9], [1, 1, 5, 5], [40, 0, 50, 9], [0, 0, np.nan, 9], [0, 0, 9, 9]]
    scores, labels = np.array([0.3, 0.9, 0.9, 0.9, 0.29]), np.array([0, 2, 0, 0, 0])
    raw = to_detections(np.array(boxes), scores, labels, ("cat", None, "dog"))
    assert raw.boxes_xyxy.tolist() == [[1, 1, 5, 5], [40, 0, 50, 9], [-5, -5, 9, 9], [0, 0, 9, 9]]
    found, dropped = clean(raw, (20, 30), conf=0.3, max_det=5)
    assert found.boxes_xyxy.tolist() == [[1, 1, 5, 5], [0, 0, 9, 9]]
    assert found.category_names == ("dog", "cat")
    assert found.category_ids.tolist() == [2, 0]
    assert dropped == {"not finite": 1, "outside the image": 1, "below --conf": 1}


def test_labels_without_a_name_are_no_boxes():
    boxes = np.tile([0.0, 0, 9, 9], (3, 1))
    found = to_detections(boxes, np.ones(3), np.array([1, 3, 0]), ("cat", None))
    assert found.category_names == ("cat",)


def test_a_detector_may_number_its_classes_as_it_likes():
    boxes, labels = np.tile([0.0, 0, 9, 9], (2, 1)), np.array([1, 0])
    found = to_detections(boxes, np.ones(2), labels, ("cat", "dog"), np.array([17, 18]))
    assert found.category_ids.tolist() == [18, 17]


def test_boxes_without_classes_are_refused_by_the_same_rules():
    boxes = np.array([[0, 0, 9, 9], [9, 0, 0, 9], [0, 0, np.inf, 9]])
    found = to_detections(boxes, np.array([0.5, 0.6, 0.7]))
    assert found.boxes_xyxy.tolist() == [[0, 0, 9, 9]]
    assert found.category_names is None
    assert found.dropped == {"not finite": 1, "no area": 1}


def test_class_names_are_listed_once():
    assert list_class_names(("cat", None, "dog", "cat")) == ("cat", "dog")


# clean


def make(boxes):
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.1, count, dtype=np.float32),
        tuple("abcdef"[:count]),
        prompt_ids=np.arange(count),
    )


def test_boxes_inside_stay_the_very_same():
    for boxes in ([[0, 0, 40, 20], [1.5, 2, 3, 4]], []):
        found = make(boxes)
        kept, dropped = clean(found, (20, 40))
        assert kept is found
        assert not dropped


def test_boxes_are_clipped_and_what_is_left_of_none_is_dropped_and_counted():
    found = make(
        [[-5, 2, 10, 30], [50, 0, 60, 9], [3, 3, 3, 9], [40, 0, 50, 9], [1, 1, 2, 2], [0, -9, 9, 0]]
    )
    kept, dropped = clean(found, (20, 40))
    assert kept.boxes_xyxy.tolist() == [[0, 2, 10, 20], [1, 1, 2, 2]]
    assert kept.category_names == ("a", "e")
    assert kept.prompt_ids.tolist() == [0, 4]
    assert kept.scores.tolist() == found.scores[[0, 4]].tolist()
    assert dropped == {"outside the image": 3, "no area": 1}


def test_a_score_at_the_threshold_stays_and_lower_ones_are_counted():
    found = Detections(boxes([0, 0, 9, 9], [0, 0, 8, 8]), scores(0.7, 0.6999999))
    kept, dropped = clean(found, (20, 30), conf=0.7)
    assert kept.boxes_xyxy.tolist() == [[0, 0, 9, 9]]
    assert dropped == {"below --conf": 1}


def test_at_most_ten_times_the_kept_boxes_come_out_and_these_are_the_best():
    found = Detections(boxes(*[[0, 0, 9, 9]] * 40), np.linspace(0, 1, 40, dtype=np.float32))
    kept, dropped = clean(found, (20, 30), max_det=3)
    assert kept.scores.tolist() == found.scores[:9:-1].tolist()
    assert dropped == {"beyond --max-det": 10}
    assert clean(found, (20, 30))[0] is found


def test_boxes_go_with_points_outside_the_image():
    points = np.array([[5, 5], [31, 5], [5, -1]], np.float32)
    found = Detections(boxes(*[[0, 0, 9, 9]] * 3), scores(1, 1, 1), points_xy=points)
    kept, dropped = clean(found, (20, 30))
    assert kept.points_xy.tolist() == [[5, 5]]
    assert dropped == {"point outside the image": 2}


def test_what_the_detector_dropped_is_counted_too():
    found = Detections(boxes([0, 0, 0, 9]), scores(1), dropped={"no area": 2, "not a number": 1})
    assert clean(found, (20, 30))[1] == {"no area": 3, "not a number": 1}


# keep_classes


def make_detections(*names):
    boxes = np.zeros((len(names), 4), np.float32)
    return Detections(boxes, np.zeros(len(names), np.float32), names)


def test_filter_keeps_boxes_of_the_named_classes():
    found = keep_classes(make_detections("cat", "dog", "cat"), frozenset({"cat"}))
    assert found.category_names == ("cat", "cat")
    assert len(keep_classes(make_detections("cat"), frozenset())) == 0


def test_filter_leaves_class_agnostic_boxes_alone():
    found = Detections(np.zeros((2, 4), np.float32), np.zeros(2, np.float32))
    assert len(keep_classes(found, frozenset({"cat"}))) == 2


# suppress_duplicates


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def scores(*values):
    return np.array(values, np.float32)


# 10 x 10 boxes shifted by 5: intersection 50, union 150.
SHIFTED = boxes([0, 0, 10, 10], [5, 0, 15, 10], [100, 0, 110, 10])


def test_overlap_above_the_limit_goes_and_at_the_limit_stays():
    two = boxes([0, 0, 10, 10], [0, 0, 10, 5])  # IoU exactly 1/2
    assert suppress_duplicates(two, scores(0.9, 0.8), 0.5).tolist() == [0, 1]
    assert suppress_duplicates(two, scores(0.9, 0.8), 0.49).tolist() == [0]
    assert suppress_duplicates(SHIFTED, scores(0.5, 0.9, 0.1), 0.3).tolist() == [1, 2]
    assert suppress_duplicates(SHIFTED, scores(0.5, 0.9, 0.1), 0.34).tolist() == [1, 0, 2]


def test_limits_zero_and_one():
    same = boxes([0, 0, 9, 9], [0, 0, 9, 9], [9, 0, 12, 9])
    assert suppress_duplicates(same, scores(0.1, 0.2, 0.3), 1.0).tolist() == [2, 1, 0]
    assert suppress_duplicates(same, scores(0.1, 0.2, 0.3), 0.0).tolist() == [2, 1]


def test_of_equal_scores_the_first_stays_and_order_is_kept():
    same = boxes(*[[0, 0, 9, 9]] * 50, *[[20 * i, 30, 20 * i + 9, 39] for i in range(50)])
    kept = suppress_duplicates(same, np.full(100, 0.5, np.float32), 0.5)
    assert kept.tolist() == [0, *range(50, 100)]


def test_classes_do_not_matter():
    pair = boxes([0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 9, 8])
    assert suppress_duplicates(pair, scores(0.5, 0.9, 0.7), 0.5).tolist() == [1]


def test_no_boxes_stay_none():
    assert suppress_duplicates(boxes(), scores(), 0.5).tolist() == []


def test_result_equals_a_plain_loop_on_random_boxes():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 80, (200, 2))
    some = np.concatenate([corners, corners + rng.uniform(1, 40, (200, 2))], 1).astype(np.float32)
    ranked = rng.uniform(size=200).astype(np.float32).round(2)
    kept: list[int] = []
    for index in sorted(range(200), key=lambda i: -ranked[i]):
        if all(compute_iou(some[index], some[other]) <= 0.4 for other in kept):
            kept.append(index)
    assert suppress_duplicates(some, ranked, 0.4).tolist() == kept


def compute_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inside = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return inside / (sum(areas) - inside)


# describe_dropped


def test_reasons_are_counted_in_singular_and_plural():
    assert describe_dropped({"duplicate": 1, "empty mask": 1}) == "1 duplicate, 1 empty mask"
    assert describe_dropped({"below --conf": 2, "duplicate mask": 1_200}) == (
        "1,200 duplicate masks, 2 below --conf"
    )
