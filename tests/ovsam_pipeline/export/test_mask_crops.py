import numpy as np
import pytest

from ovsam.masks import encode_mask
from ovsam_pipeline.export.mask_crops import crop_mask, list_image_row_runs, list_row_runs


def make_masks():
    rng = np.random.default_rng(3)
    for share in (0, 0.05, 0.5, 0.95, 1):
        for _ in range(40):
            yield rng.random(rng.integers(1, 12, 2)) < share


def test_a_crop_is_the_mask_in_its_tight_box():
    for mask in make_masks():
        crop = crop_mask(encode_mask(mask))
        left, top, width, height = crop.box_xywh
        drawn = np.zeros_like(mask)
        drawn[top : top + height, left : left + width] = crop.pixels
        assert np.array_equal(drawn, mask)
        if mask.any():
            assert crop.pixels[[0, -1]].any(axis=1).all()
            assert crop.pixels[:, [0, -1]].any(axis=0).all()


def test_row_runs_of_the_image_need_only_the_crop():
    for mask in make_masks():
        runs = list_image_row_runs(crop_mask(encode_mask(mask)), *mask.shape)
        assert runs.tolist() == list_row_runs(mask).tolist()
        values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        assert np.array_equal(values.reshape(mask.shape), mask)


@pytest.mark.parametrize(("row", "runs"), [([0, 1, 1], [1, 2]), ([1, 0, 0], [0, 1, 2]), ([], [])])
def test_the_first_run_is_of_zeros(row, runs):
    assert list_row_runs(np.array([row], bool)).tolist() == runs
