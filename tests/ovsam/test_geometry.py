import numpy as np
import pytest

from ovsam.geometry import clip_boxes, resized_size_hw


def test_boxes_are_clipped_to_width_and_height() -> None:
    boxes = np.array([[-5, -1, 30, 7]], np.float32)
    assert clip_boxes(boxes, (6, 20)).tolist() == [[0, 0, 20, 6]]


@pytest.mark.parametrize(
    ("size_hw", "expected"),
    [
        ((480, 640), (768, 1024)),
        ((600, 420), (1024, 717)),
        ((1, 4000), (1, 1024)),
        ((3, 3), (1024, 1024)),
    ],
)
def test_longer_side_becomes_the_input_size(size_hw, expected) -> None:
    assert resized_size_hw(size_hw, 1024) == expected
