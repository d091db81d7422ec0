import pytest

from ovsam_pipeline.outcomes import Reasons, Tally, count_things, is_transient


@pytest.mark.parametrize(
    "reason",
    [
        "the storage failed: cannot reach the server: timed out",
        "the storage refused access: check AWS_PROFILE",
        "out of memory; a smaller --max-det or --dtype bf16 needs less",
        "not enough memory to decode the image",
        "the networks refused it: ConnectionError",
        "internal error: KeyError: 'x'",
        "its worker died 3 times while it was labelled (killed)",
        "file not found: it was moved or deleted, or the list is wrong",
        "permission denied: the file cannot be read by this user",
        "cannot be read: Too many open files",
        "cannot be read: Input/output error",
        "the archive has changed since it was listed: run again",
        "expected an image of 4 x 3 pixels as in out, got 8 x 6; label it again with ovsam label",
        "a reason that nobody thought of",
    ],
)
def test_what_the_image_cannot_help_is_tried_again(reason):
    assert is_transient(reason)


@pytest.mark.parametrize(
    "reason",
    [
        None,
        "damaged JPEG: cut off or overwritten, 3 of 9 rows are whole",
        "file is empty (0 bytes)",
        "expected an image, got a web page: the download failed",
        "expected at most 256 megapixels, got a PNG of 30000 x 30000 = 900",
        "expected at least one pixel, got a PPM of 0 x 3",
        "the archive ends in the middle of this image: copy it again",
        "the cell holds no image bytes",
    ],
)
def test_bad_bytes_stay_failed(reason):
    assert not is_transient(reason)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("torn: 12 of 340 bytes of 'a b.jpg' in /data/x", "torn: 7 of 9 bytes of 'c.jpg' in /y/z"),
        ("no class 'a' in it", 'no class "it\'s" in it'),
        ("starts with b'abc'", 'starts with b"it\'s"'),
        ("no class 'it's' in it", "no class 'b' in it"),
    ],
)
def test_sentences_that_differ_in_names_numbers_and_quotes_are_one_kind(first, second):
    reasons = Reasons()
    reasons.add(second, "b.jpg")
    reasons.add(first, "a.jpg")
    reasons.add(second, "c.jpg", 2)
    # People see the whole sentence of the first file, and its name.
    assert reasons.to_counts() == {first: 4}
    assert reasons.to_examples() == {first: "a.jpg"}


def test_other_sentences_are_other_kinds_and_the_largest_comes_first():
    reasons, more = Reasons(), Reasons()
    reasons.add("damaged PNG", "a.png")
    more.add("file is empty (0 bytes)", "b.png", 2)
    reasons.merge(more)
    assert list(reasons.to_counts().items()) == [("file is empty (0 bytes)", 2), ("damaged PNG", 1)]


def test_tallies_add_up_with_what_is_tried_again():
    first, second = Tally(), Tally()
    first.count("failed", 0, "damaged PNG", None, "a.png")
    second.count("failed", 0, "file not found", None, "b.png")
    first.merge(second)
    assert (first.failed, first.transient) == (2, 1)


@pytest.mark.parametrize(
    ("number", "thing", "text"),
    [
        (1, "image", "1 image"),
        (0, "image", "0 images"),
        (2, "box", "2 boxes"),
        (2, "class", "2 classes"),
    ],
)
def test_one_thing_has_no_s(number, thing, text):
    assert count_things(number, thing) == text
