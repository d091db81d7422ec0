import numpy as np
import pytest
from pycocotools import mask as coco_mask

from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.masks import compute_mask_areas, compute_tight_boxes, to_rle


def test_a_ring_of_two_points_is_no_mask() -> None:
    assert coco_mask.decode(to_rle([[1, 1, 5, 5]], 8, 8)).sum() == 0


def test_a_square_polygon_has_its_area_and_box() -> None:
    rle = to_rle([[2, 3, 6, 3, 6, 8, 2, 8]], 10, 10)
    assert compute_mask_areas([rle]).tolist() == [20]
    assert compute_tight_boxes([rle]).tolist() == [[2, 3, 4, 5]]


def test_areas_of_more_than_255_masks_are_read() -> None:
    rle = to_rle({"size": [4, 4], "counts": [2, 3, 11]}, 4, 4)
    np.testing.assert_array_equal(compute_mask_areas([rle] * 600), np.full(600, 3.0))


def test_a_polygon_without_image_size_is_refused() -> None:
    with pytest.raises(DatasetError, match="height and width"):
        to_rle([[0, 0, 4, 0, 4, 4]], -1, -1)
