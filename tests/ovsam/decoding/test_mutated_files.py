"""Bytes that were changed, cut or doubled: an ImageError or pixels, and nothing on stderr."""

import subprocess
import sys
import time

import pytest

PROGRAM = """
import io, random, sys, time
import numpy as np
import pillow_heif
from PIL import Image
from odd_pictures import *
from ovsam.decode import decode_bytes
from ovsam.errors import ImageError

scene, profile = make_scene(64, 96), make_rgb_profile(DISPLAY_P3, 2.2)
grey = scene[..., 0]
cmyk = Image.fromarray(scene).convert("CMYK")
heif = io.BytesIO()
image = Image.fromarray(scene); image.info["icc_profile"] = profile
pillow_heif.from_pillow(image).save(heif, quality=80)
seeds = [
    encode(scene, "JPEG", icc_profile=profile), encode(scene, "JPEG", progressive=True),
    encode(scene, "JPEG", restart_marker_blocks=2),
    encode(cmyk, "JPEG", icc_profile=make_cmyk_profile()),
    encode(image, "MPO", save_all=True, append_images=[image]), heif.getvalue(),
    encode(scene, "AVIF", icc_profile=profile), encode(scene, "PNG", icc_profile=profile),
    encode(scene, "WEBP", icc_profile=profile), encode(scene, "TIFF", icc_profile=profile),
    encode(scene, "TIFF", compression="tiff_lzw"), encode(scene, "TIFF", compression="jpeg"),
    make_pages([(grey[:8], {254: (4, 1)}), (grey, {})], in_sub_page=True),
    make_pages([(grey[:8], {254: (4, 1)}), (grey, {})]),
    encode(Image.fromarray(grey), "PNG", icc_profile=make_grey_profile(1.8)),
]
rng = random.Random(int(sys.argv[1]))
def mutate(data):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20))):
        at = rng.randrange(min(len(data), rng.choice((64, 700, 1 << 30))))
        kind = rng.randrange(5)
        if kind == 0: data[at] = rng.randrange(256)
        elif kind == 1: data[at : at + rng.randrange(1, 9)] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 2: del data[at : at + rng.randrange(1, 200)]
        elif kind == 3: data[at:at] = data[at : at + rng.randrange(1, 300)]
        else: data[at : at + 4] = rng.choice((bytes(4), b"\\xff" * 4, b"\\x7f\\xff\\xff\\xff"))
        if not data: break
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data)
counts, slowest = {"read": 0, "refused": 0, "warned": 0}, 0
for number in range(int(sys.argv[2])):
    data, warnings, start = mutate(seeds[number % len(seeds)]), [], time.perf_counter()
    try:
        pixels = decode_bytes(data, 4_000_000, warnings.append)
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
        counts["read"] += 1
        counts["warned"] += bool(warnings)
    except ImageError:
        counts["refused"] += 1
    slowest = max(slowest, time.perf_counter() - start)
print(counts, f"slowest {slowest:.2f} s")
assert slowest < 20
"""


def run_mutations(seed: int, number: int) -> str:
    path = repr(sys.path)
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[:] = {path}\n{PROGRAM}",
            str(seed),
            str(number),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.stderr == ""
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_some_mutated_files_are_refused_or_read():
    start = time.monotonic()
    assert "refused" in run_mutations(0, 150)
    assert time.monotonic() - start < 100


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_many_mutated_files_are_refused_or_read():
    assert "refused" in run_mutations(1, 2000)
