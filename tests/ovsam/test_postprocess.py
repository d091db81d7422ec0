import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask

from ovsam.postprocess import MaskRegion, mask_region, stability_scores
from ovsam.preprocess import resized_size_hw


def smooth_logits(seed: int, cells: int = 64) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 1, 5, 5, generator=generator)
    return F.interpolate(coarse, size=cells, mode="bicubic")[0, 0].numpy() - 0.4


def full_values(logits: np.ndarray, input_size: int, size_hw: tuple[int, int]) -> np.ndarray:
    """The released way: two bilinear resizes of the whole map."""
    height, width = resized_size_hw(size_hw, input_size)
    padded = F.interpolate(
        torch.from_numpy(logits)[None, None], size=(input_size, input_size), mode="bilinear"
    )
    return F.interpolate(padded[..., :height, :width], size=size_hw, mode="bilinear")[0, 0].numpy()


@pytest.mark.parametrize(
    "size_hw", [(480, 640), (600, 420), (33, 97), (1, 50), (256, 256), (700, 20)]
)
@pytest.mark.parametrize("seed", range(4))
def test_region_equals_two_full_resizes(seed, size_hw) -> None:
    logits = smooth_logits(seed)
    region = mask_region(logits, 256, resized_size_hw(size_hw, 256), size_hw)
    values = full_values(logits, 256, size_hw)
    differs = region.full() != (values > 0)
    assert np.abs(values[differs]).max(initial=0) < 1e-5


@pytest.mark.parametrize("seed", range(8))
def test_rle_is_byte_equal_to_pycocotools(seed) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((40, 30)) < rng.choice([0.02, 0.5, 0.98])
    region = MaskRegion(mask[5:40, 3:], 5, 3, (40, 30))
    expected = coco_mask.encode(np.asfortranarray(region.full().astype(np.uint8)))
    assert region.rle()["counts"].encode() == expected["counts"]
    assert region.area() == coco_mask.area(expected)
    assert region.rle()["size"] == [40, 30]


@pytest.mark.parametrize("value", [False, True])
def test_rle_of_an_empty_and_of_a_full_mask(value) -> None:
    region = MaskRegion(np.full((6, 4), value), 0, 0, (6, 4))
    expected = coco_mask.encode(np.asfortranarray(region.full().astype(np.uint8)))
    assert region.rle()["counts"].encode() == expected["counts"]


def test_a_mask_without_positive_logits_is_empty() -> None:
    region = mask_region(np.full((64, 64), -1, np.float32), 256, (256, 100), (480, 188))
    assert region.area() == 0
    assert region.box_xyxy() == (0, 0, 0, 0)
    assert not region.full().any()
    assert coco_mask.area(region.rle()) == 0


def test_positive_logits_in_the_padding_alone_are_empty() -> None:
    logits = np.full((64, 64), -1, np.float32)
    logits[:, 40:] = 1
    assert mask_region(logits, 256, (256, 100), (480, 188)).area() == 0


def test_box_is_tight_in_original_pixels() -> None:
    mask = np.zeros((10, 10), bool)
    mask[2:5, 4:9] = True
    assert MaskRegion(mask, 100, 50, (200, 200)).box_xyxy() == (54, 102, 59, 105)


def test_stability_counts_cells_inside_the_image_only() -> None:
    logits = np.full((1, 8, 8), -2, np.float32)
    logits[0, :2, :2] = 2
    logits[0, 0, 2:4] = 0.5
    logits[0, 6:] = 9  # padding
    assert stability_scores(logits, 32, (16, 32)).tolist() == pytest.approx([4 / 6])
    assert stability_scores(logits[:, :0], 32, (0, 32)).tolist() == [0]
