"""Processor milliseconds to decode a 12-megapixel photo: profiles, a missing end, HEIC.

    python benchmarks/speed/decode_photos.py [--repeats 15]

Prints one JSON object: the median of the repeats, which take turns on the same machine.
"""

import argparse
import io
import json
import statistics
import sys
import time
from pathlib import Path

import pillow_heif
from decode_images import make_picture
from PIL import Image, ImageCms

from ovsam.decode import decode_bytes

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "doubles"))

from odd_pictures import DISPLAY_P3, encode, make_rgb_profile


def make_photos() -> dict[str, bytes]:
    """Encode one picture in several ways."""
    picture = Image.fromarray(make_picture(3008, 4000))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    display_p3 = make_rgb_profile(DISPLAY_P3, 2.2)
    heic = io.BytesIO()
    pillow_heif.from_pillow(picture).save(heic, quality=80)
    plain = encode(picture, "JPEG", quality=90)
    return {
        "jpeg": plain,
        "jpeg_srgb": encode(picture, "JPEG", quality=90, icc_profile=srgb),
        "jpeg_display_p3": encode(picture, "JPEG", quality=90, icc_profile=display_p3),
        "jpeg_without_end": plain[:-2],
        "heic": heic.getvalue(),
    }


def main() -> None:
    """Measure every kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    photos = make_photos()
    times: dict[str, list[float]] = {name: [] for name in photos}
    for _ in range(parser.parse_args().repeats):
        for name, content in photos.items():
            start_s = time.process_time()
            decode_bytes(content)
            times[name].append(1e3 * (time.process_time() - start_s))
    print(json.dumps({name: round(statistics.median(spent)) for name, spent in times.items()}))


if __name__ == "__main__":
    main()
