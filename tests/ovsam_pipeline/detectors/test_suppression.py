import numpy as np
import pytest

from ovsam_pipeline.detectors.suppression import suppress_duplicates


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


def test_classes_matter_only_when_asked():
    names = ["cat", "dog", "cat"]
    pair = boxes([0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 9, 8])
    ranked = scores(0.5, 0.9, 0.7)
    assert suppress_duplicates(pair, ranked, 0.5).tolist() == [1]
    assert suppress_duplicates(pair, ranked, 0.5, False, names).tolist() == [1, 2]
    with pytest.raises(ValueError, match="expected category_names"):
        suppress_duplicates(pair, ranked, 0.5, class_agnostic=False)


def test_no_boxes_stay_none():
    assert suppress_duplicates(boxes(), scores(), 0.5).tolist() == []
    assert suppress_duplicates(boxes(), scores(), 0.5, False, []).tolist() == []


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
