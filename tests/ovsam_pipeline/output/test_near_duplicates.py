from base64 import b64decode
from dataclasses import replace

import cv2
import numpy as np
import pytest
from row_objects import make_object

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.output.near_duplicates import find_groups, group_near_duplicates
from ovsam_pipeline.output.parts import write_part
from ovsam_pipeline.records import LabelRecord
from ovsam_pipeline.sources.perceptual_hash import NUM_FREQUENCIES, PerceptualHash, compute_phash


def draw(seed: int, size_hw: tuple[int, int] = (120, 160)) -> np.ndarray:
    """A picture of soft blobs; of every seed another."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return cv2.resize(coarse, size_hw[::-1], interpolation=cv2.INTER_CUBIC)


def compute(pixels: np.ndarray) -> PerceptualHash:
    found = compute_phash(pixels)
    assert found is not None
    return found


def group(pictures: list[np.ndarray]) -> list[int]:
    found = [compute(pixels) for pixels in pictures]
    hashes = np.array([item.bits for item in found], np.int64).view(np.uint64)
    details = [np.frombuffer(b64decode(item.detail), np.int8) for item in found]
    return find_groups(hashes, np.array(details)).tolist()


def make_copies(picture: np.ndarray) -> list[np.ndarray]:
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return [
        picture.copy(),
        picture[4:-2, 3:-5],
        cv2.imdecode(encoded, cv2.IMREAD_COLOR),
        cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        cv2.convertScaleAbs(picture, alpha=0.8, beta=20),
        cv2.copyMakeBorder(picture, 4, 4, 5, 5, cv2.BORDER_CONSTANT, value=(255, 255, 255)),
    ]


def test_copies_are_grouped_with_their_original_and_nothing_else():
    others = [draw(seed) for seed in range(200)]
    pictures = [*others, *make_copies(others[7]), *make_copies(others[3])]
    groups = group(pictures)
    # Groups count in the order of their first image.
    assert (groups[3], groups[7]) == (0, 1)
    assert groups[200:] == [1] * 6 + [0] * 6
    assert sum(number >= 0 for number in groups[:200]) == 2


def test_a_chain_of_crops_is_one_group():
    picture = draw(5, (200, 300))
    crops = [picture[:, step * 8 : 240 + step * 8] for step in range(6)]
    assert group(crops) == [0] * 6


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_no_group(count):
    assert group([draw(1)] * count) == [-1] * count


def test_very_many_equal_images_are_one_group():
    one = compute(draw(1))
    hashes = np.full(5000, one.bits, np.int64).view(np.uint64)
    details = np.tile(np.frombuffer(b64decode(one.detail), np.int8), (5000, 1))
    assert (find_groups(hashes, details) == 0).all()


def test_equal_bits_alone_are_no_copy():
    hashes = np.zeros(2, np.uint64)
    details = np.random.default_rng(2).integers(-127, 128, (2, NUM_FREQUENCIES), np.int8)
    assert find_groups(hashes, details).tolist() == [-1, -1]


def make_row(name: str, pixels: np.ndarray | None) -> LabelRecord:
    row = LabelRecord(len(name), name, 9, 8, "labelled", objects=(make_object(),), identity=name)
    bits, detail = (None, None) if pixels is None else compute(pixels)
    return replace(row, phash=bits, phash_detail=detail)


def test_groups_of_an_output_are_by_file_name(tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    write_part(parts, [make_row("a.jpg", draw(1)), make_row("old.jpg", None)], "f")
    write_part(parts, [make_row("b/a.jpg", draw(1)[2:]), make_row("c.jpg", draw(2))], "f")
    damaged = replace(make_row("d.jpg", draw(1)), phash_detail="AA")
    write_part(parts, [damaged], "f")
    assert group_near_duplicates(tmp_path) == {"a.jpg": 0, "b/a.jpg": 0}


@pytest.mark.parametrize("detail", ["~" * 88, "é" * 88, "=" * 88])
def test_a_damaged_hash_is_a_sentence(tmp_path, detail):
    (tmp_path / "parts").mkdir()
    row = replace(make_row("a.jpg", draw(1)), phash_detail=detail)
    write_part(tmp_path / "parts", [row], "f")
    with pytest.raises(OutputError, match="expected phash_detail as ovsam writes it"):
        group_near_duplicates(tmp_path)


def test_an_output_without_hashes_has_no_groups(tmp_path):
    (tmp_path / "parts").mkdir()
    assert group_near_duplicates(tmp_path) == {}
    write_part(tmp_path / "parts", [make_row("a.jpg", None)], "f")
    assert group_near_duplicates(tmp_path) == {}
