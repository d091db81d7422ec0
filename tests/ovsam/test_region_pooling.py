import torch
from torchvision.ops import roi_align

from ovsam.region_pooling import region_weights


def test_matrices_equal_torchvisions_roi_align() -> None:
    torch.manual_seed(0)
    feature = torch.randn(1, 5, 9, 12)
    boxes = torch.tensor(
        [
            [10.0, 20, 200, 150],
            [0, 0, 5, 5],  # smaller than a cell
            [-40, -60, 120, 90],  # outside, top left
            [300, 200, 500, 400],  # outside, bottom right
            [7, 7, 7, 60],  # no width
            [0, 0, 384, 288],  # the whole map
        ]
    )
    rois = torch.cat([torch.zeros(len(boxes), 1), boxes], dim=1)
    expected = roi_align(feature, rois, 4, 1 / 32, -1, aligned=True)
    weights = region_weights(boxes, 32, 4, (9, 12))
    actual = (weights @ feature[0].flatten(1).T).transpose(1, 2).reshape(expected.shape)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_no_regions_give_no_matrices() -> None:
    assert region_weights(torch.zeros(0, 4), 32, 3, (4, 4)).shape == (0, 9, 16)
