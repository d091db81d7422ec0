import numpy as np
import pytest

from ovsam.masks import (
    compute_mask_areas,
    compute_mask_ious,
    compute_tight_boxes,
    decode_mask,
    encode_mask,
    intersect_masks,
    to_rle,
)

SQUARE = [[2, 3, 6, 3, 6, 8, 2, 8]]


def test_a_ring_of_two_points_has_no_pixel() -> None:
    assert decode_mask([[1, 1, 5, 5]], 8, 8).sum() == 0


def test_a_square_polygon_has_its_area_and_box() -> None:
    rle = to_rle(SQUARE, 10, 10)
    assert compute_mask_areas([rle]).tolist() == [20]
    assert compute_tight_boxes([rle]).tolist() == [[2, 3, 4, 5]]


def test_areas_of_more_than_255_masks_are_read() -> None:
    rle = to_rle({"size": [4, 4], "counts": [2, 3, 11]}, 4, 4)
    np.testing.assert_array_equal(compute_mask_areas([rle] * 600), np.full(600, 3.0))


def test_a_polygon_without_image_size_is_refused() -> None:
    with pytest.raises(ValueError, match="height and width"):
        to_rle([[0, 0, 4, 0, 4, 4]], -1, -1)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_run_lengths_decode_to_the_mask_that_was_encoded(as_bytes) -> None:
    mask = np.random.default_rng(0).random((7, 9)) > 0.5
    rle = encode_mask(mask)
    counts = rle["counts"].encode() if as_bytes else rle["counts"]
    np.testing.assert_array_equal(decode_mask({"size": [7, 9], "counts": counts}, 7, 9), mask)


@pytest.mark.parametrize("nothing", [None, [], [[]], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]]])
def test_nothing_to_draw_is_an_empty_mask(nothing) -> None:
    np.testing.assert_array_equal(decode_mask(nothing, 3, 4), np.zeros((3, 4)))


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ("text", "expected polygons or run lengths"),
        ({"size": [10, 10], "counts": [5, 5]}, "do not fill its size"),
        ({"size": [10, 10], "counts": [-5, 105]}, "do not fill its size"),
        ({"size": [10, 10], "counts": ""}, "no runs"),
        ({"size": [10, 10]}, "no runs"),
        ({"counts": "0"}, "with the size of their image"),
        ({"size": [10, 10], "counts": "1" * 40}, "Invalid RLE"),
        ({"size": [10, 8], "counts": [80]}, "expected a mask of 10 x 10 pixels, got 8 x 10"),
        ([[1, 2, 3, None, 5, 6]], "not all numbers"),
        ([[1, 2, 3, "x", 5, 6]], "not all numbers"),
        ([[1, 2, 3, [4], 5, 6]], "not all numbers"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(segmentation, message) -> None:
    with pytest.raises(ValueError, match=message):
        decode_mask(segmentation, 10, 10)


def test_overlaps_divide_by_the_union_or_for_a_crowd_by_the_first_area() -> None:
    whole, part = (
        to_rle({"size": [4, 4], "counts": [0, 16]}, 4, 4),
        to_rle({"size": [4, 4], "counts": [0, 4, 12]}, 4, 4),
    )
    assert compute_mask_ious([part], [whole, whole], [0, 1]).tolist() == [[0.25, 1.0]]
    assert compute_mask_areas([intersect_masks(whole, part)]).tolist() == [4]
