"""Milliseconds to decode an image: `decode_image`, plain Pillow and OpenCV, side by side.

    python benchmarks/speed/decode_images.py [--repeats 15]

Prints one JSON object. Every way gives upright RGB uint8; the smallest of the repeats counts.
"""

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from ovsam_pipeline.sources.read_image import decode_image

SIZES = ((480, 640), (1200, 1600), (3000, 4000))
KINDS = {"JPEG": {"quality": 90}, "PNG": {}, "WEBP": {"quality": 90}}


def make_picture(height: int, width: int) -> np.ndarray:
    """Smooth colours with a little noise: compresses about as photos do."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(height // 16, width // 16, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(size=smooth.shape).astype(np.float32)
    return np.clip(smooth * 50 + noise * 7 + 128, 0, 255).astype(np.uint8)


def measure(decode: Callable[[], np.ndarray], repeats: int) -> float:
    """Return the least milliseconds of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        decode()
        times.append(time.perf_counter() - start)
    return round(min(times) * 1e3, 2)


def decode_with_pillow(path: Path) -> np.ndarray:
    """Decode as most programs do."""
    with Image.open(path) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def decode_with_opencv(path: Path) -> np.ndarray:
    """Decode with OpenCV, which hides damage and writes to stderr."""
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)


def main() -> None:
    """Measure every size and kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    cv2.setNumThreads(1)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for height, width in SIZES:
            picture = Image.fromarray(make_picture(height, width))
            for kind, options in KINDS.items():
                path = Path(folder) / f"{height}.{kind.lower()}"
                stream = io.BytesIO()
                picture.save(stream, kind, **options)
                path.write_bytes(stream.getvalue())
                equal = np.array_equal(decode_image(path), decode_with_opencv(path))
                results.append(
                    {
                        "size": f"{width}x{height}",
                        "kind": kind,
                        "kib": len(stream.getvalue()) // 1024,
                        "ovsam_ms": measure(lambda p=path: decode_image(p), repeats),
                        "pillow_ms": measure(lambda p=path: decode_with_pillow(p), repeats),
                        "opencv_ms": measure(lambda p=path: decode_with_opencv(p), repeats),
                        "pixels_equal_opencv": equal,
                    }
                )
    print(json.dumps({"results": results}, indent=2))


if __name__ == "__main__":
    main()
