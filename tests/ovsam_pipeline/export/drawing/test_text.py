import re

import cv2
import numpy as np
import pytest

from ovsam_pipeline.export.drawing.text import (
    UNKNOWN,
    _is_in_other_font,
    _render_run,
    draw_text,
    get_line_height,
    measure_text,
    shorten_text,
    to_drawable,
    to_line,
    wrap_text,
)

has_other_font = pytest.mark.skipif(not hasattr(cv2, "FontFace"), reason="needs OpenCV 5")


def draw(text, size=14, start=(10, 10), shape=(60, 400)):
    picture = np.zeros((*shape, 3), np.uint8)
    end = draw_text(picture, text, start, size, (255, 255, 255))
    return picture[..., 0], end


@pytest.mark.parametrize("text", ["cat", "crème brûlée", "μπουκάλι", "собака", "قطة", "Ågjpqy|"])
def test_text_is_where_it_was_measured_and_smooth(text):
    ink, end = draw(text)
    rows, columns = np.nonzero(ink)
    assert end == 10 + measure_text(text, 14)
    assert 10 <= columns.min() <= columns.max() < end
    assert 10 <= rows.min() <= rows.max() < 10 + get_line_height(14)
    assert ((ink > 40) & (ink < 215)).any()


@pytest.mark.parametrize("text", ["собака", "μπουκάλι", "naïve", "قطة"])
def test_letters_of_other_alphabets_are_no_question_marks_or_boxes(text):
    assert to_drawable(text) == text
    blank = draw("?" * len(text))[0]
    assert not np.array_equal(draw(text)[0], blank)
    assert not np.array_equal(draw(text)[0], draw(UNKNOWN * len(text))[0])


@has_other_font
def test_letters_that_the_font_lacks_are_taken_from_another():
    assert to_drawable("a 猫 한국어") == "a 猫 한국어"
    ink, end = draw("猫")
    assert ink.any()
    assert 10 + 12 < end < 10 + 24, "about as wide as it is high"
    assert not np.array_equal(ink, draw("犬")[0])


def test_without_that_font_letters_are_boxes(monkeypatch):
    monkeypatch.delattr(cv2, "FontFace", raising=False)  # OpenCV 4
    _is_in_other_font.cache_clear()
    assert to_drawable("a 猫") == f"a {UNKNOWN}"
    _render_run.cache_clear()
    draw("猫")
    _is_in_other_font.cache_clear()
    _render_run.cache_clear()


def test_symbols_that_no_font_has_become_their_names_and_letters_a_box():
    assert to_drawable("\N{FACE WITH COWBOY HAT}") == "face with cowboy hat"
    assert to_drawable("my\N{ROBOT FACE}pet") == "my robot face pet"
    assert to_drawable("\N{EGYPTIAN HIEROGLYPH A001}x") == f"{UNKNOWN}x"


@pytest.mark.parametrize(
    "text", ["", " ", "a\tb", "\0", "\ud800", "\N{ZERO WIDTH JOINER}", "a" * 999]
)
def test_every_text_can_be_drawn(text):
    draw(shorten_text(to_drawable(text), 100, 12))


def test_names_from_files_become_one_line_without_marks_of_direction():
    assert to_line("a\nb\r\n\tc\x1b[31m") == "a b c[31m"
    assert to_line("a\N{RIGHT-TO-LEFT OVERRIDE}b\N{ZERO WIDTH SPACE}") == "ab"


def test_a_name_as_long_as_a_book_takes_no_time():
    assert len(to_drawable("x" * 10**6)) == 2000


@pytest.mark.parametrize("start", [(-20, 10), (390, 10), (10, -8), (10, 55), (500, 500), (-500, 0)])
def test_text_beyond_the_picture_is_cut_off(start):
    draw("a cat", start=start)


def test_text_is_wrapped_between_words_and_nothing_is_lost():
    text = "we call it penguin, and annotation 2, named penguin, we call cow"
    lines = wrap_text(text, 120, 12)
    assert len(lines) > 1
    assert " ".join(lines) == text
    for line in lines:
        assert shorten_text(line, 120, 12) == line, "fits"
    long = "a/very/long/path/to/an/image.png"
    assert wrap_text(long, 100, 12) == [long]
    assert wrap_text("", 100, 12) == [""]


def test_text_is_shortened_in_the_middle():
    short = shorten_text("a/very/long/path/to/an/image.png", 100, 12)
    assert re.fullmatch(r"a/v.*….*png", short)
    assert measure_text(short, 12) <= 100
    assert shorten_text("image.png", 100, 12) == "image.png"
    assert shorten_text("image.png", 12, 12) == "…"
    assert shorten_text("image.png", 2, 12) == ""
