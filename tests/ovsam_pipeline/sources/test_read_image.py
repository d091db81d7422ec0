import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from bad_images import (
    encode,
    make_bad_images,
    make_picture,
    make_png,
    make_png_rgb16,
    make_tiff,
    write_bad_images,
)
from PIL import Image

from ovsam.errors import ImageError
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.read_image import decode_image

PICTURE = make_picture()


def write(tmp_path: Path, data: bytes, name: str = "x.jpg") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def largest_difference(pixels: np.ndarray, expected: np.ndarray) -> int:
    assert pixels.shape == expected.shape
    return int(np.abs(pixels.astype(int) - expected.astype(int)).max())


@pytest.fixture(scope="module")
def bad_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    return folder, write_bad_images(folder)


def test_the_test_folder_has_enough_kinds(bad_folder):
    kinds = list(bad_folder[1].values())
    assert kinds.count("bad") >= 20
    assert kinds.count("good") >= 15


def test_every_good_file_decodes_and_every_bad_file_raises_image_error(bad_folder):
    folder, kinds = bad_folder
    for name, kind in kinds.items():
        if kind == "good":
            pixels = decode_image(folder / name)
            assert pixels.dtype == np.uint8, name
            assert pixels.ndim == 3, name
            assert pixels.shape[2] == 3, name
            assert pixels.flags.c_contiguous, name
            assert pixels.flags.writeable, name
        elif kind == "bad":
            with pytest.raises(ImageError):
                decode_image(folder / name)


def test_decoding_the_bad_folder_writes_nothing_to_stderr(bad_folder):
    code = (
        "import sys, pathlib\n"
        "from ovsam.errors import ImageError\n"
        "from ovsam_pipeline.sources.read_image import decode_image\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).rglob('*')):\n"
        "    try: decode_image(path)\n"
        "    except ImageError: pass\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": ""}
    result = subprocess.run(
        [sys.executable, "-c", code, str(bad_folder[0])],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert result.stderr == ""
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bad_empty.jpg", "file is empty"),
        ("bad_text.jpg", r"got text of no format that ovsam knows"),
        ("bad_web_page.jpg", "a web page"),
        ("bad_git_lfs.png", "git lfs pull"),
        ("bad_heic.heic", "damaged HEIF"),
        ("bad_svg.png", "SVG"),
        ("bad_truncated.jpg", r"damaged JPEG: cut off or overwritten, \d+ of 64 rows are whole"),
        ("bad_middle.jpg", "damaged JPEG"),
        ("bad_truncated.png", "damaged PNG: .*truncated"),
        ("bad_checksum.png", "damaged PNG"),
        ("bad_no_width.png", "at least one pixel|damaged PNG"),
        ("bad_bomb.png", "60000 x 60000 = 3600, maybe a decompression bomb"),
        ("bad_dangling_link.jpg", "file not found"),
        ("bad_circular_link.jpg", "symbolic links"),
        ("bad_pipe.jpg", "got a pipe, socket or device"),
        ("folder.jpg", "expected an image file, got a folder"),
        ("nowhere/at/all.jpg", "file not found"),
        ("plain.jpg/below.jpg", "Not a directory"),
        ("nul\0byte.jpg", "null byte"),
        ("n" * 300 + ".jpg", "name too long"),
    ],
)
def test_reason_names_the_fault(bad_folder, name, reason):
    with pytest.raises(ImageError, match=reason):
        decode_image(bad_folder[0] / name)


def test_record_and_str_are_accepted_as_source(tmp_path):
    path = write(tmp_path, encode(Image.fromarray(PICTURE), "PNG"))
    record = ImageRecord(1, "x.jpg", path)
    assert (decode_image(record) == PICTURE).all()
    assert (decode_image(str(path)) == PICTURE).all()


def test_limit_refuses_before_decoding_and_can_be_raised(tmp_path):
    path = write(tmp_path, encode(Image.fromarray(PICTURE), "PNG"))
    with pytest.raises(ImageError, match="60 x 40"):
        decode_image(path, max_pixels=2399)
    assert decode_image(path, max_pixels=2400).shape == (40, 60, 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "GIF", "BMP", "JPEG"])
def test_pillows_own_limits_are_out_of_the_way(tmp_path, monkeypatch, kind):
    options = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
    path = write(tmp_path, encode(Image.fromarray(PICTURE), kind, **options))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode_image(path, max_pixels=2400).shape == (40, 60, 3)
    with pytest.raises(ImageError, match=r"expected at most 0\.002399 megapixels, got a "):
        decode_image(path, max_pixels=2399)


def test_strip_that_is_too_long_is_named(tmp_path):
    path = write(tmp_path, make_png((100_000_000, 1), 8, 0, b""))
    with pytest.raises(ImageError, match="at most 1,000,000 pixels a side, got a PNG of 100000000"):
        decode_image(path)


def test_pixels_are_told_before_they_are_decoded(tmp_path):
    path, told = write(tmp_path, encode(Image.fromarray(PICTURE), "PNG")), []
    decode_image(path, admit=told.append)
    assert told == [2400]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_says_permission_denied(tmp_path):
    path = write(tmp_path, encode(Image.fromarray(PICTURE), "PNG"))
    path.chmod(0)
    with pytest.raises(ImageError, match="permission denied"):
        decode_image(path)


def test_permission_error_becomes_a_sentence(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, b"x")
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ImageError, match="permission denied: the file cannot be read"):
        decode_image(path)


def test_too_little_memory_becomes_a_sentence(tmp_path, monkeypatch):
    path = write(tmp_path, encode(Image.fromarray(PICTURE), "PNG"))

    def refuse(*arguments):
        raise MemoryError

    monkeypatch.setattr("ovsam.decode._to_array", refuse)
    with pytest.raises(ImageError, match="not enough memory"):
        decode_image(path)


# Where the corner colours of an upright picture end up when it is stored with each orientation.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](PICTURE)))
    lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    data = encode(stored, kind, exif=exif, **lossless.get(kind, {}))
    limit = 6 if kind == "JPEG" else 0
    assert largest_difference(decode_image(write(tmp_path, data)), PICTURE) <= limit


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_exif_orientation_out_of_range_is_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(PICTURE), "PNG", exif=exif)
    assert (decode_image(write(tmp_path, data)) == PICTURE).all()


def test_16_bit_rgb_and_grey_equal_their_8_bit_originals(tmp_path):
    assert (decode_image(write(tmp_path, make_png_rgb16(PICTURE))) == PICTURE).all()
    assert (decode_image(write(tmp_path, make_tiff(PICTURE, 16))) == PICTURE).all()
    grey = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    for kind in ("PNG", "TIFF"):
        pixels = decode_image(write(tmp_path, encode(Image.fromarray(grey), kind)))
        assert largest_difference(pixels[..., 0], np.rint(grey / 257)) <= 1
        assert (pixels[..., 0] == pixels[..., 2]).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.0, 0.5, 1.0]], [0, 128, 255]),
        ([[0.0, 100.0, 255.0]], [0, 100, 255]),
        ([[0.0, 25700.0, 65535.0]], [0, 100, 255]),
        ([[-1.0, 0.0, 1.0]], [0, 128, 255]),
        ([[np.nan, 0.5, 1.0]], [128, 128, 255]),
        ([[7.0, 7.0, 7.0]], [7, 7, 7]),
    ],
    ids=["unit", "bytes", "words", "signed", "nan", "constant"],
)
def test_float_tiff_is_scaled_by_its_range(tmp_path, values, expected):
    data = encode(Image.fromarray(np.array(values, np.float32)), "TIFF")
    assert decode_image(write(tmp_path, data))[0, :, 1].tolist() == expected


def test_float_tiff_without_a_finite_value_is_refused(tmp_path):
    data = encode(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "TIFF")
    with pytest.raises(ImageError, match="expected finite pixel values"):
        decode_image(write(tmp_path, data))


def test_32_bit_integers_in_word_range_are_scaled(tmp_path):
    data = encode(Image.fromarray(np.array([[0, 257, 65535]], np.int32)), "TIFF")
    assert decode_image(write(tmp_path, data))[0, :, 0].tolist() == [0, 1, 255]


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    pixels = decode_image(write(tmp_path, encode(Image.fromarray(rgba), "PNG")))
    assert pixels[0].tolist() == [[255, 0, 0], [255, 255, 255], [127, 127, 127]]


def test_transparent_colours_of_palette_grey_and_rgb_are_laid_on_white(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    pixels = decode_image(write(tmp_path, encode(palette, "PNG", transparency=0)))
    assert pixels[0].tolist() == [[255, 255, 255], [40, 50, 60]]
    grey = encode(Image.fromarray(np.array([[5, 9]], np.uint8)), "PNG", transparency=5)
    assert decode_image(write(tmp_path, grey))[0].tolist() == [[255] * 3, [9] * 3]
    rgb = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    pixels = decode_image(write(tmp_path, encode(rgb, "PNG", transparency=(1, 2, 3))))
    assert pixels[0].tolist() == [[255] * 3, [4, 5, 6]]


def test_grey_alpha_is_laid_on_white(tmp_path):
    data = make_png((2, 1), 8, 4, b"\0" + bytes([100, 255, 100, 0]))
    assert decode_image(write(tmp_path, data))[0].tolist() == [[100] * 3, [255] * 3]


def test_adobe_cmyk_has_the_right_colours(tmp_path):
    red = Image.new("RGB", (16, 16), (230, 30, 20))
    data = encode(red.convert("CMYK"), "JPEG", quality=100, subsampling=0)
    pixels = decode_image(write(tmp_path, data))
    assert largest_difference(pixels, np.asarray(red)) <= 4


@pytest.mark.parametrize("name", ["animated.gif", "animated.png", "two_pages.tiff"])
def test_first_frame_is_taken(bad_folder, name):
    tolerance = 40 if name.endswith("gif") else 0
    assert largest_difference(decode_image(bad_folder[0] / name), PICTURE) <= tolerance


def test_content_decides_the_format_not_the_suffix(bad_folder):
    assert (decode_image(bad_folder[0] / "really_a_png.jpg") == PICTURE).all()


def test_jpeg_pixels_equal_opencvs(tmp_path):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (37, 53, 3), dtype=np.uint8)
    path = write(tmp_path, encode(Image.fromarray(noise), "JPEG", quality=80))
    expected = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert largest_difference(decode_image(path), expected) <= 1


def test_image_taller_than_one_strip_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("ovsam.decode._STRIP_BYTES", 60 * 3 * 7)
    path = write(tmp_path, encode(Image.fromarray(PICTURE), "PNG"))
    assert (decode_image(path) == PICTURE).all()


def test_threads_decode_broken_and_whole_files_side_by_side(bad_folder):
    folder, kinds = bad_folder
    names = [name for name, kind in kinds.items() if kind != "ignored"]
    wrong: list[str] = []

    def work() -> None:
        for name in names:
            try:
                decode_image(folder / name)
            except ImageError:
                wrong.extend([name] if kinds[name] == "good" else [])
            else:
                wrong.extend([name] if kinds[name] == "bad" else [])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_every_bad_file_is_different():
    files = make_bad_images()
    assert len(set(files.values())) == len(files)
