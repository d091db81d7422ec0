import numpy as np
import pytest

from ovsam.masks import encode_mask
from ovsam_pipeline.export.brush_runs import MOST_PIXELS, decode_brush, encode_brush
from ovsam_pipeline.export.mask_crops import MaskCrop, crop_mask


def make_masks():
    rng = np.random.default_rng(5)
    for share in (0, 0.05, 0.5, 0.95, 1):
        for size in ((1, 1), (3, 5), (40, 30), (300, 280)):
            yield rng.random(size) < share


def encode(mask):
    return encode_brush(crop_mask(encode_mask(mask)), *mask.shape)


def test_a_brush_comes_back_exactly():
    for mask in make_masks():
        assert np.array_equal(decode_brush(encode(mask), *mask.shape), mask)


def test_bits_are_those_of_the_sdk():
    # label_studio_sdk 2.1.2: mask2rle(np.array([[0, 255, 255], [0, 0, 255]], np.uint8)).
    mask = np.array([[0, 1, 1], [0, 0, 1]], bool)
    sdk = [0, 0, 0, 24, 57, 27, 252, 96, 19, 255, 206, 1, 31, 248]
    assert encode(mask).tolist() == sdk


def pack(bits: str):
    return np.packbits(np.array(list(map(int, bits)), np.uint8))


HEAD = f"{8:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"


def test_values_one_by_one_as_an_editor_writes_strokes():
    # Two pixels: red half transparent, green opaque.
    values = [200, 0, 0, 127, 0, 200, 0, 128]
    bits = HEAD + "0" + "00" + f"{7:03b}" + "".join(f"{value:08b}" for value in values)
    assert decode_brush(pack(bits), 1, 2).tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("bits", "reason"),
    [
        ("0" * 40, "ends within"),
        (HEAD, "cut off"),
        (HEAD + "1" + "00", "cut off"),
        (HEAD + "0" + "00" + "111" + "0" * 20, "cut off"),
        (HEAD + "1" + "11" + "1" * 16 + "0" * 8, "more values"),
        (HEAD.replace(f"{7:05b}", f"{15:05b}", 1), "values of 8 bits, got 16"),
        (f"{4:032b}" + HEAD[32:], "has 4 values, where an image of 2 x 1 pixels has 8"),
        (f"{2**32 - 1:032b}" + HEAD[32:], "has 4294967295 values"),
    ],
)
def test_what_is_no_brush_is_a_sentence(bits, reason):
    with pytest.raises(ValueError, match=reason):
        decode_brush(pack(bits), 1, 2)


def test_an_image_beyond_the_format():
    nothing = MaskCrop(0, 0, np.zeros((0, 0), bool))
    assert MOST_PIXELS < 1 << 30
    with pytest.raises(ValueError, match="too large for Label Studio's brush"):
        encode_brush(nothing, 1 << 15, 1 << 15)
