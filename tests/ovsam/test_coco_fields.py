import math

import pytest

from ovsam.coco_fields import (
    normalise_name,
    to_box,
    to_flag,
    to_id,
    to_number,
    to_side,
    to_text,
)

HUGE = 10**400


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7), (7.0, 7), ("7", 7), (" 0007 ", 7), (-3, -3), (2**63 - 1, 2**63 - 1),
        (True, None), (None, None), (7.5, None), (math.nan, None), (math.inf, None), (1e308, None),
        (2**63, None), (-(2**70), None), (HUGE, None), ("", None), ([7], None), ({"a": 1}, None),
    ],
)  # fmt: skip
def test_ids_are_whole_numbers_of_64_bits(value, number):
    assert to_id(value) == number


def test_texts_are_ids_too_the_same_everywhere_and_below_53_bits():
    texts = ["5968c0f9-23d2-11e8", "x-2", "a.jpg", "\ud800", "9" * 40, "7.0", "-7"]
    numbers = [to_id(text) for text in texts]
    assert len(set(numbers)) == len(texts)
    assert all(0 <= number < 1 << 53 for number in numbers)
    # By hand: BLAKE2b-64 of "x-2", its first 53 bits.
    assert to_id("x-2") == to_id(" x-2 ") == 3_102_036_254_117_439


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0), (0.5, 0.5), (HUGE, math.inf), (-HUGE, -math.inf),
        (True, None), ("1", None), (None, None), ([1], None),
    ],
)  # fmt: skip
def test_numbers_are_no_texts_or_flags(value, number):
    assert to_number(value) == number


@pytest.mark.parametrize("value", [1, 1.0, True, "1", "true", " TRUE ", "yes"])
def test_flags_that_are_set(value):
    assert to_flag(value) is True


@pytest.mark.parametrize("value", [0, 0.0, False, None, "0", "false", "False", " ", "no", []])
def test_flags_that_are_not(value):
    assert to_flag(value) is False


@pytest.mark.parametrize(
    "value", [None, [], [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, "4"], [[1, 2], [3, 4]], 4, "1234"]
)
def test_boxes_are_four_numbers(value):
    assert to_box(value) is None
    assert to_box([1, 2.5, HUGE, -4]) == (1, 2.5, math.inf, -4)


def test_sides_texts_and_names():
    assert [to_side(value) for value in (640, 640.0, "640", 0, -1, 2**40, None)] == [
        *(640, 640, 640),
        *(None, None, None, None),
    ]
    assert [to_text(value) for value in ("a", "é", "x\ud800", "", None, 3)] == [
        *("a", "é", "x?"),
        *(None, None, None),
    ]
    assert normalise_name("images\\sub\\a.jpg") == "images/sub/a.jpg"
    assert normalise_name("././/a.jpg") == "a.jpg"
    assert normalise_name("fu\u0308r.jpg") == "f\u00fcr.jpg"
