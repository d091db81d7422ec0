"""Colour profiles: known colours come out as what they are in sRGB."""

import threading

import numpy as np
import pytest
from odd_pictures import (
    ADOBE_RGB,
    DISPLAY_P3,
    drop_segments,
    encode,
    make_cmyk_profile,
    make_grey_profile,
    make_profile,
    make_rgb_profile,
    make_scene,
)
from PIL import Image, ImageCms

from ovsam.decode import decode_bytes
from ovsam.decoding.colour import _build_transform

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# CIE XYZ (D50) → linear sRGB: the inverse of the primaries in IEC 61966-2-1 after Bradford.
TO_SRGB = np.array(
    [[3.13386, -1.61687, -0.49061], [-0.97877, 1.91614, 0.03345], [0.07195, -0.22899, 1.40523]]
)


def encode_srgb(linear):
    linear = np.clip(linear, 0, 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * curve)


def decode_colour(colour, kind="PNG", mode="RGB", **options):
    warnings = []
    image = Image.new(mode, (16, 16), colour)
    pixels = decode_bytes(encode(image, kind, **options), warn=warnings.append)
    return pixels[0, 0].astype(int), warnings


@pytest.mark.parametrize(("primaries", "gamma"), [(DISPLAY_P3, 2.2), (ADOBE_RGB, 2.19921875)])
@pytest.mark.parametrize(
    "colour", [(200, 100, 50), (30, 180, 90), (128, 128, 128), (255, 255, 255)]
)
def test_rgb_profiles_give_the_colours_of_the_standard(primaries, gamma, colour):
    linear = (np.array(colour) / 255) ** (round(gamma * 256) / 256)
    expected = encode_srgb(TO_SRGB @ np.array(primaries) @ linear)
    found, warnings = decode_colour(colour, icc_profile=make_rgb_profile(primaries, gamma))
    assert np.abs(found - expected).max() <= 1
    assert not warnings


def test_display_p3_red_is_the_reddest_of_srgb():
    profile = make_rgb_profile(DISPLAY_P3, 2.2)
    assert decode_colour((255, 0, 0), icc_profile=profile)[0].tolist() == [255, 0, 0]
    # sRGB's red, as a Display P3 photo has it: (234, 51, 35).
    assert np.abs(decode_colour((234, 51, 35), icc_profile=profile)[0] - (255, 0, 0)).max() <= 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_profiles_of_every_format_are_applied(kind):
    profile = make_rgb_profile(ADOBE_RGB, 2.2)
    expected, _ = decode_colour((60, 180, 90), "PNG", icc_profile=profile)
    found, _ = decode_colour((60, 180, 90), kind, icc_profile=profile, quality=100)
    assert np.abs(found - expected).max() <= 4
    assert np.abs(found - (60, 180, 90)).max() > 20


def test_grey_of_another_gamma():
    found, _ = decode_colour(100, mode="L", icc_profile=make_grey_profile(1.0))
    assert np.abs(found - encode_srgb(100 / 255)).max() <= 1


def test_16_bit_grey_follows_its_profile():
    image = Image.fromarray(np.full((4, 4), 100 * 257, np.uint16))
    found = decode_bytes(encode(image, "PNG", icc_profile=make_grey_profile(1.0)))
    assert np.abs(found[0, 0] - encode_srgb(100 / 255)).max() <= 1


def test_cmyk_follows_its_profile_and_else_the_plain_formula():
    profile = make_cmyk_profile()
    cyan, _ = decode_colour((255, 0, 0, 0), "TIFF", "CMYK", icc_profile=profile)
    assert np.abs(cyan - (0, 148, 216)).max() <= 4  # Lab (55, -37, -50)
    assert decode_colour((0, 0, 0, 0), "TIFF", "CMYK", icc_profile=profile)[0].min() >= 254
    assert decode_colour((0, 0, 0, 255), "TIFF", "CMYK", icc_profile=profile)[0].max() <= 1
    plain, _ = decode_colour((255, 0, 51, 0), "TIFF", "CMYK")
    assert plain.tolist() == [0, 255, 204]


def test_cmyk_jpegs_are_inverted_only_where_adobe_wrote_them():
    jpeg = encode(Image.new("CMYK", (16, 16), (255, 0, 51, 0)), "JPEG", quality=100)
    assert b"Adobe" in jpeg
    assert np.abs(decode_bytes(jpeg)[0, 0].astype(int) - (0, 255, 204)).max() <= 2
    # Without the marker the same bytes mean their complement: cyan 0, the others 1, 0.8 and 1.
    plain = drop_segments(jpeg, 0xEE)
    assert decode_bytes(plain)[0, 0].max() <= 1


def test_lab_pixels_are_colours():
    found, _ = decode_colour((255, 128, 128), "TIFF", "LAB")
    assert found.min() >= 254
    found, _ = decode_colour((140, 91, 78), "TIFF", "LAB")  # Lab (55, -37, -50)
    assert np.abs(found - (0, 148, 216)).max() <= 4


def test_transparency_is_laid_on_white_of_srgb():
    image = Image.new("RGBA", (2, 1), (60, 180, 90, 255))
    image.putpixel((1, 0), (60, 180, 90, 0))
    profile = make_rgb_profile(ADOBE_RGB, 2.2)
    pixels = decode_bytes(encode(image, "PNG", icc_profile=profile))
    opaque, _ = decode_colour((60, 180, 90), icc_profile=profile)
    assert pixels.tolist() == [[opaque.tolist(), [255, 255, 255]]]


def test_srgb_profiles_change_nothing_and_are_known_by_what_they_do():
    scene = make_scene()
    by_another_name = make_rgb_profile(
        ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410)), 2.2
    )
    assert (decode_bytes(encode(scene, "PNG", icc_profile=SRGB)) == scene).all()
    assert _build_transform(SRGB, "RGB") is None
    assert _build_transform(by_another_name, "RGB") is not None  # 2.2 is not sRGB's curve


@pytest.mark.parametrize(
    "profile",
    [b"", b"nonsense", SRGB[:100], SRGB[:-300], make_profile(b"RGB ", {}), bytes(4000)],
    ids=["empty", "text", "header", "cut", "without tags", "zeros"],
)
def test_broken_profiles_are_told_and_left_aside(profile):
    found, warnings = decode_colour((60, 180, 90), icc_profile=profile)
    assert found.tolist() == [60, 180, 90]
    assert warnings == (["broken colour profile: its colours are taken as sRGB"] if profile else [])


@pytest.mark.parametrize(
    ("mode", "colour", "profile"),
    [("L", 77, SRGB), ("RGB", (9, 8, 7), make_grey_profile(1.0))],
    ids=["grey pixels, RGB profile", "RGB pixels, grey profile"],
)
def test_profiles_of_another_space_are_left_aside(mode, colour, profile):
    found, warnings = decode_colour(colour, mode=mode, icc_profile=profile)
    assert found.tolist() == ([colour] * 3 if mode == "L" else list(colour))
    assert not warnings


def test_threads_share_transforms():
    content = encode(make_scene(), "PNG", icc_profile=make_rgb_profile(DISPLAY_P3, 2.2))
    expected, found = decode_bytes(content), []
    _build_transform.cache_clear()
    threads = [
        threading.Thread(target=lambda: found.append(decode_bytes(content))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all((pixels == expected).all() for pixels in found)
