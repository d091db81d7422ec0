import numpy as np

from ovsam_pipeline.detectors.base import Detections
from ovsam_pipeline.detectors.inside_image import keep_inside


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
        kept, dropped = keep_inside(found, (20, 40))
        assert kept is found
        assert not dropped


def test_boxes_are_clipped_and_what_is_left_of_none_is_dropped_and_counted():
    found = make(
        [[-5, 2, 10, 30], [50, 0, 60, 9], [3, 3, 3, 9], [40, 0, 50, 9], [1, 1, 2, 2], [0, -9, 9, 0]]
    )
    kept, dropped = keep_inside(found, (20, 40))
    assert kept.boxes_xyxy.tolist() == [[0, 2, 10, 20], [1, 1, 2, 2]]
    assert kept.category_names == ("a", "e")
    assert kept.prompt_ids.tolist() == [0, 4]
    assert kept.scores.tolist() == found.scores[[0, 4]].tolist()
    assert dropped == {"outside the image": 3, "no area": 1}
