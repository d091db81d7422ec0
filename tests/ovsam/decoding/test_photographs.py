"""Photographs as phones, cameras and scanners write them."""

import io
import struct

import cv2
import numpy as np
import pillow_heif
import pytest
from odd_pictures import DISPLAY_P3, encode, make_pages, make_rgb_profile, make_scene
from PIL import Image

from ovsam.decode import decode_bytes
from ovsam.errors import ImageError

SCENE = make_scene(64, 96)


def encode_heif(image, **options):
    content = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    pillow_heif.from_pillow(image).save(content, quality=95, **options)
    return content.getvalue()


def differ(pixels, expected):
    assert pixels.shape == expected.shape
    return np.abs(pixels.astype(int) - expected.astype(int)).mean()


def make_exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_heic_is_read():
    assert differ(decode_bytes(encode_heif(SCENE)), SCENE) < 4


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotation_is_applied_once(kind, orientation):
    image, exif = Image.fromarray(SCENE), make_exif(orientation)
    upright = decode_bytes(encode(image, "PNG", exif=exif))
    if kind == "HEIF":
        content = encode_heif(image, exif=exif.tobytes())
    else:
        content = encode(image, "AVIF", exif=exif, quality=95)
    assert differ(decode_bytes(content), upright) < 4


def test_heic_profiles_are_applied():
    image = Image.new("RGB", (64, 64), (200, 100, 50))
    profile = make_rgb_profile(DISPLAY_P3, 2.2)
    image.info["icc_profile"] = profile
    expected = decode_bytes(encode(image, "PNG", icc_profile=profile))
    found = decode_bytes(encode_heif(image))
    assert differ(found, expected) < 4
    assert differ(found, np.asarray(image)) > 5


def test_heic_transparency_is_laid_on_white():
    image = Image.new("RGBA", (64, 64), (200, 0, 0, 0))
    assert decode_bytes(encode_heif(image)).min() >= 250


def test_heic_of_more_bits_is_scaled_to_eight():
    deep = (SCENE.astype(np.uint16) << 8) + 128
    file = pillow_heif.from_bytes("RGB;16", (96, 64), deep.tobytes())
    content = io.BytesIO()
    file.save(content, quality=95)
    assert differ(decode_bytes(content.getvalue()), SCENE) < 4


def test_of_a_burst_the_primary_image_is_read():
    file = pillow_heif.from_pillow(Image.fromarray(255 - SCENE))
    file.add_from_pillow(Image.fromarray(SCENE))
    content = io.BytesIO()
    file.save(content, quality=95, primary_index=1)
    assert differ(decode_bytes(content.getvalue()), SCENE) < 4


def test_a_heic_bomb_is_refused_before_it_is_decoded():
    with pytest.raises(ImageError, match=r"got a HEIF of 96 x 64"):
        decode_bytes(encode_heif(SCENE), max_pixels=96 * 64 - 1)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_heic_that_was_cut_is_damaged(share):
    content = encode_heif(SCENE)
    with pytest.raises(ImageError, match=r"^damaged HEIF"):
        decode_bytes(content[: round(len(content) * share)])


def test_avif_of_several_frames_and_with_transparency():
    frames = [Image.fromarray(SCENE), Image.fromarray(255 - SCENE)]
    content = encode(frames[0], "AVIF", save_all=True, append_images=frames[1:], quality=95)
    assert differ(decode_bytes(content), SCENE) < 4
    clear = Image.new("RGBA", (64, 64), (200, 0, 0, 0))
    assert decode_bytes(encode(clear, "AVIF")).min() >= 250


def test_of_a_phone_photo_with_more_pictures_the_first_is_read():
    frames = [Image.fromarray(SCENE), Image.fromarray(255 - SCENE)]
    mpo = encode(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=95)
    assert differ(decode_bytes(mpo), SCENE) < 6
    jpeg = encode(SCENE, "JPEG", quality=95)
    for trailer in (b"\0\0\0\x18ftypmp42" + bytes(500), b"\0\0\x01\nSEFH" + bytes(50) + b"SEFT"):
        warnings = []
        pixels = decode_bytes(jpeg + trailer, warn=warnings.append)
        assert (pixels == decode_bytes(jpeg)).all()
        assert not warnings


GREY = np.asarray(Image.fromarray(SCENE).convert("L"))
SMALL = np.full((8, 12), 7, np.uint8)
REDUCED, MASK = {254: (4, 1)}, {254: (4, 4), 262: (3, 4)}


@pytest.mark.parametrize(
    "content",
    [
        make_pages([(SMALL, REDUCED), (GREY, {})]),
        make_pages([(SMALL, REDUCED), (GREY, {})], in_sub_page=True),
        make_pages([(SMALL, {255: (3, 2)}), (GREY, {})]),
        make_pages(
            [(SMALL, REDUCED), (np.ones((999, 9), np.uint8), MASK), (SMALL, {}), (GREY, {})]
        ),
        make_pages([(GREY, {}), (np.ones((200, 300), np.uint8), {})]),
    ],
    ids=["reduced first", "in a SubIFD", "old tag", "the largest picture", "first of several"],
)
def test_of_a_tiff_the_full_size_page_is_read(content):
    assert (decode_bytes(content)[..., 0] == GREY).all()


def test_tiffs_of_thumbnails_only_are_read_as_they_are():
    assert (decode_bytes(make_pages([(SMALL, REDUCED)])) == 7).all()


def test_a_page_that_is_too_large_is_refused():
    with pytest.raises(ImageError, match=r"got a TIFF of 96 x 64"):
        decode_bytes(make_pages([(SMALL, REDUCED), (GREY, {})]), max_pixels=1000)


@pytest.mark.parametrize(
    "content",
    [
        make_pages([(SMALL, REDUCED | {50706: (1, 0x0401)})]),
        make_pages([(SMALL, REDUCED), (GREY, {262: (3, 32803)})], in_sub_page=True),
        make_pages([(SMALL, {}), (GREY, {262: (3, 34892)})]),
        b"II*\0\x10\0\0\0CR\2\0" + bytes(100),
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(100),
        b"FUJIFILMCCD-RAW 0201" + bytes(100),
        b"IIRO\x08\0\0\0" + bytes(100),
        b"IIU\0\x18\0\0\0" + bytes(100),
    ],
    ids=["DNG", "NEF", "LinearRaw", "CR2", "CR3", "RAF", "ORF", "RW2"],
)
def test_raw_files_are_named_and_not_read_as_their_thumbnail(content):
    with pytest.raises(ImageError, match=r"got a camera's RAW file: develop it, or export"):
        decode_bytes(content)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\xff\x0a" + bytes(50), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"8BPS\0\1", "Photoshop document"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "a video"),
        (b"\0\0\0\x14ftypqt  \0\0\2\0qt  ", "a video"),
        (b"\x1aE\xdf\xa3", "a video"),
        (b"<svg/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF", "PostScript"),
        (b"PK\3\4", "an archive"),
        (bytes(128) + b"DICM", "DICOM"),
    ],
)
def test_what_is_not_read_is_named(content, name):
    with pytest.raises(ImageError, match=f"^expected an image, got .*{name}.*: "):
        decode_bytes(content)


def test_brands_of_avif_and_heic_behind_mif1_are_told_apart():
    head = struct.pack(">I", 28) + b"ftypmif1\0\0\0\0mif1"
    with pytest.raises(ImageError, match=r"damaged AVIF"):
        decode_bytes(head + b"avifmiaf" + bytes(50))
    with pytest.raises(ImageError, match=r"damaged HEIF"):
        decode_bytes(head + b"heicmiaf" + bytes(50))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_16_bit_tiffs_keep_their_high_byte(mode):
    scene = SCENE if mode == "RGB" else GREY
    ok, content = cv2.imencode(
        ".tif", (scene[..., ::-1] if mode == "RGB" else scene) * np.uint16(257)
    )
    assert ok
    pixels = decode_bytes(content.tobytes())
    assert (pixels == (scene if mode == "RGB" else scene[..., None])).all()


def test_pixels_that_pillow_does_not_know_are_not_called_damage():
    ok, content = cv2.imencode(".tif", SCENE.astype(np.float32) / 255)
    assert ok
    with pytest.raises(
        ImageError, match=r"^expected pixels that Pillow reads, got a TIFF of others"
    ):
        decode_bytes(content.tobytes())
    jpeg = encode(SCENE, "JPEG")
    at = jpeg.index(b"\xff\xc0") + 4
    with pytest.raises(ImageError, match=r"got a JPEG of others \(cannot handle 12-bit layers\)"):
        decode_bytes(jpeg[:at] + b"\x0c" + jpeg[at + 1 :])
