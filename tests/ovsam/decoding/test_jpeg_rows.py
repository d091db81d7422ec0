"""JPEGs that lack their end: how much is there, and what is done with them."""

import io

import numpy as np
import pytest
from odd_pictures import encode, make_scene
from PIL import Image

from ovsam.decode import decode_bytes
from ovsam.decoding.jpeg_rows import recover
from ovsam.errors import ImageError

KINDS = {
    "4:2:0": {"subsampling": 2},
    "4:4:4": {"subsampling": 0},
    "restarts": {"subsampling": 2, "restart_marker_blocks": 3},
    "restart rows": {"subsampling": 0, "restart_marker_rows": 1},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
}


def open_jpeg(data):
    return Image.open(io.BytesIO(data))


def decode_with_warnings(data):
    warnings = []
    return decode_bytes(data, warn=warnings.append), warnings


def cut_at_row(jpeg, whole, row):
    """The longest beginning of a baseline JPEG that changes a pixel of `row`, or one near it."""
    low, high = 700, len(jpeg)
    while high - low > 1:
        middle = (low + high) // 2
        image = open_jpeg(jpeg[:middle] + b"\xff\xd9")
        image.load()
        same = (np.asarray(image) == whole)[:row].all()
        low, high = (low, middle) if same else (middle, high)
    return jpeg[:low]


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_missing_end_marker_costs_no_row(options, mode):
    jpeg = encode(Image.fromarray(make_scene()).convert(mode), "JPEG", **options)
    pixels, warnings = decode_with_warnings(jpeg[:-2])
    assert (pixels == decode_bytes(jpeg)).all()
    assert warnings == ["incomplete JPEG: 96 of 96 rows are whole"]
    assert decode_with_warnings(jpeg)[1] == []
    assert (decode_bytes(jpeg[:-1]) == pixels).all()


@pytest.mark.parametrize("options", list(KINDS.values())[:4], ids=list(KINDS)[:4])
@pytest.mark.parametrize("row", [16, 33, 64, 80])
def test_rows_are_counted_to_the_block(options, row):
    jpeg = encode(make_scene(), "JPEG", quality=90, **options)
    whole = np.asarray(open_jpeg(jpeg))
    found = recover(cut_at_row(jpeg, whole, row), open_jpeg)
    assert (np.asarray(found.image)[: found.rows] == whole[: found.rows]).all()
    assert row - 18 <= found.rows <= row
    with pytest.raises(ImageError, match=rf"^damaged JPEG: .*, {found.rows} of 96 rows are whole$"):
        decode_bytes(cut_at_row(jpeg, whole, row))


def test_a_picture_that_lacks_its_last_block_is_labelled_with_a_warning():
    scene = make_scene(400, 300)
    jpeg = encode(scene, "JPEG", quality=90)
    pixels, warnings = decode_with_warnings(jpeg[:-8])
    assert warnings == ["incomplete JPEG: 383 of 400 rows are whole"]
    assert (pixels[:383] == decode_bytes(jpeg)[:383]).all()


@pytest.mark.parametrize("missing", [0.005, 0.02, 0.1, 0.5, 0.9])
def test_one_percent_may_be_missing(missing):
    # Noise: bytes are spread evenly over the rows.
    noise = np.random.default_rng(0).integers(0, 256, (800, 400, 3), np.uint8)
    jpeg = encode(noise, "JPEG")
    data = jpeg[: 700 + round((len(jpeg) - 700) * (1 - missing))]
    if missing < 0.01:
        assert decode_with_warnings(data)[1] == ["incomplete JPEG: 783 of 800 rows are whole"]
    else:
        with pytest.raises(ImageError, match=r"rows are whole") as caught:
            decode_bytes(data)
        rows = int(str(caught.value).split("overwritten, ")[1].split()[0])
        assert abs(rows / 800 - (1 - missing)) <= 0.03


@pytest.mark.parametrize("kind", ["4:2:0", "restarts"])
def test_a_jpeg_that_was_cut_and_closed_again_is_found(kind):
    jpeg = encode(make_scene(), "JPEG", **KINDS[kind])
    with pytest.raises(ImageError, match=r"damaged JPEG: .* of 96 rows are whole"):
        decode_bytes(jpeg[: len(jpeg) // 2] + b"\xff\xd9")


def test_a_whole_picture_that_ends_in_grey_has_no_warning():
    scene = make_scene()
    scene[-40:] = 128
    for options in KINDS.values():
        assert decode_with_warnings(encode(scene, "JPEG", **options))[1] == []


def test_space_that_was_reserved_and_not_filled_is_missing():
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    jpeg = encode(noise, "JPEG")
    with pytest.raises(ImageError, match=r"damaged JPEG: .*(3|4|5).* of 96 rows are whole"):
        decode_bytes(jpeg[: len(jpeg) // 2] + bytes(len(jpeg) // 2))
    pixels, warnings = decode_with_warnings(jpeg[:-2] + bytes(5000))
    assert warnings == ["incomplete JPEG: 96 of 96 rows are whole"]
    assert (pixels == decode_bytes(jpeg)).all()


def test_a_progressive_jpeg_without_its_last_scans_has_no_whole_row():
    jpeg = encode(make_scene(), "JPEG", progressive=True)
    last_scan = jpeg.rfind(b"\xff\xda")
    with pytest.raises(ImageError, match=r"0 of 96 rows are whole, as later scans are missing"):
        decode_bytes(jpeg[:last_scan])


def test_what_follows_the_end_marker_does_not_count():
    jpeg = encode(make_scene(), "JPEG")
    film = b"\0\0\0\x18ftypmp42" + bytes(3000) + b"\xff\xd8\xff\xd9"
    assert decode_with_warnings(jpeg + film)[1] == []
    assert (decode_bytes(jpeg + film) == decode_bytes(jpeg)).all()


def test_a_jpeg_cut_in_its_header_is_damaged():
    jpeg = encode(make_scene(), "JPEG")
    for length in (3, 20, 200, 600):
        with pytest.raises(ImageError, match=r"^(damaged JPEG|expected)"):
            decode_bytes(jpeg[:length])


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM"])
def test_other_formats_are_whole_or_damaged(kind):
    content = encode(make_scene(), kind)
    for share in (0.3, 0.9, 0.99):
        with pytest.raises(ImageError):
            decode_bytes(content[: round(len(content) * share)])
