import numpy as np
import pytest
from pycocotools import mask as coco_mask

from ovsam.run_lengths import find_readable_counts


def decode(text):
    """Runs of a text, number by number; None where it is damaged."""
    runs, place, value = [], 0, 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or place > 6:
            return None
        value |= (code & 31) << 5 * place
        place += 1
        if not code & 32:
            value -= (1 << 5 * place) if code & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            place = value = 0
    return None if place or not runs or min(runs) < 0 else runs


@pytest.mark.parametrize(
    ("text", "is_readable"),
    [
        ("0T3", True),
        ("T3", True),
        ("", False),
        ("00", False),
        ("0N", False),
        ("0oooo0", False),
        ("0T3o", False),
        ("0T3 ", False),
        ("0Té", False),
        ("0" + "P" * 8 + "0", False),
    ],
)
def test_runs_that_do_not_fill_the_image_are_refused(text, is_readable):
    assert find_readable_counts([text], np.array([100])).tolist() == [is_readable]


def test_masks_by_pycocotools_are_readable_and_damaged_ones_as_one_by_one():
    random = np.random.default_rng(3)
    masks = [random.random((23, 17)) < p for p in np.linspace(0, 1, 60)]
    texts = [coco_mask.encode(np.asfortranarray(m, np.uint8))["counts"].decode() for m in masks]
    pixels = np.full(len(texts), 23 * 17)
    assert find_readable_counts(texts, pixels).all()
    damaged = []
    for text in texts * 20:
        place = random.integers(len(text))
        damaged.append(text[:place] + chr(random.integers(46, 114)) + text[place + 1 :])
    expected = [runs is not None and sum(runs) == 23 * 17 for runs in map(decode, damaged)]
    found = find_readable_counts(damaged, np.full(len(damaged), 23 * 17))
    assert found.tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_no_masks_at_all():
    assert find_readable_counts([], np.zeros(0, np.int64)).shape == (0,)
